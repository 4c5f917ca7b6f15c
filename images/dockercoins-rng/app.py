"""rng of DockerCoins: ``GET /32`` gives 32 random bytes, a tenth of a second later."""

import os
import socket

from web import Answer, logged, serve

_DELAY_S = 0.1
_MAX_BYTES = 8 * 1024 * 1024


def answer(request):
    """Answer a request."""
    if request.path == "/":
        return Answer(f"RNG running on {socket.gethostname()}\n")
    count = request.path[1:]
    if not (count.isascii() and count.isdigit() and int(count) <= _MAX_BYTES):
        return Answer("Not Found\n", 404)
    return Answer(os.urandom(int(count)), kind="application/octet-stream", delay_s=_DELAY_S)


def main(_words, _environ, port=80):
    """Serve until a signal."""
    print(f"RNG running on port {port}", flush=True)
    serve({("0.0.0.0", port): logged(answer)})
