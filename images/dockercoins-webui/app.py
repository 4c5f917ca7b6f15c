"""webui of DockerCoins: a page that shows how fast hashes are made and coins are found.

/json gives {"coins":…,"hashes":"…","now":…} from Redis; the page asks for it every second.
"""

import json
import sys
import time
from pathlib import Path

from redis import Redis
from web import Answer, logged, serve


class App:
    """The handler. redis: has ``call``; page: the text of index.html."""

    def __init__(self, redis, page, *, clock=time.time):
        self._redis, self._page, self._clock = redis, page, clock

    def answer(self, request):
        """Answer a request."""
        if request.path == "/":
            return Answer(status=302, headers={"Location": "/index.html"})
        if request.path == "/index.html":
            return Answer(self._page, kind="text/html; charset=utf-8")
        if request.path != "/json":
            return Answer("Not Found\n", 404)
        try:
            coins, hashes = self._redis.call("HLEN", "wallet"), self._redis.call("GET", "hashes")
        except OSError as error:
            print(f"Redis error {error}", file=sys.stderr, flush=True)
            return Answer(f"Redis error {error}\n", 503)
        found = {"coins": coins, "hashes": hashes and hashes.decode(), "now": self._clock()}
        return Answer(json.dumps(found, separators=(",", ":")), kind="application/json")


def main(_words, _environ, port=80):
    """Serve until a signal."""
    app = App(Redis("redis"), (Path(__file__).parent / "index.html").read_text())
    print(f"WEBUI running on port {port}", flush=True)
    serve({("0.0.0.0", port): logged(app.answer)})
