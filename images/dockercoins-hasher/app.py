"""hasher of DockerCoins: ``POST /`` gives the SHA-256 of what was sent, 0.1 s later."""

import hashlib
import socket

from web import Answer, logged, serve

_DELAY_S = 0.1


def answer(request):
    """Answer a request."""
    if request.path != "/":
        return Answer("Not Found\n", 404)
    if request.method == "POST":
        return Answer(hashlib.sha256(request.body).hexdigest(), kind="text/plain", delay_s=_DELAY_S)
    return Answer(f"HASHER running on {socket.gethostname()}\n")


def main(_words, _environ, port=80):
    """Serve until a signal."""
    print(f"HASHER running on port {port}", flush=True)
    serve({("0.0.0.0", port): logged(answer)})
