"""worker of DockerCoins: has random bytes hashed, keeps those whose hash begins with 0 as coins.

Finds rng, hasher and redis by their Service names. Counts in Redis: ``hashes`` is a number,
``wallet`` a hash from each coin to its bytes.
"""

import http.client
import sys
import time

from redis import Redis

_UNIT_S = 0.1
_REPORT_S = 1.0
_RETRY_S = 10.0
_TIMEOUT_S = 10.0


def fetch(host, method, path, body=None):
    """Return what an HTTP server answers.

    Raises: OSError when it cannot be reached or answers with an error.
    """
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise OSError(f"http://{host}{path}: {error}") from error
    except http.client.HTTPException as error:
        raise OSError(f"http://{host}{path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"http://{host}{path}: {answer.status} {answer.reason}")
    return content


def log(text, level="INFO"):
    """Print a line as the original's logging does."""
    print(f"{level}:__main__:{text}", file=sys.stderr, flush=True)


class Worker:
    """The loop, with its means handed in. redis: has ``call``; fetch: as above."""

    def __init__(self, redis, fetch, *, sleep=time.sleep, clock=time.monotonic):
        self._redis, self._fetch = redis, fetch
        self._sleep, self._clock = sleep, clock
        self._done, self._report_at = 0, 0.0

    def run(self):
        """Work without end; what is missing is waited for."""
        while True:
            try:
                self.step()
            except OSError as error:
                log(f"In work loop: {error}", "ERROR")
                log(f"Waiting {_RETRY_S:.0f}s and restarting.", "ERROR")
                self._sleep(_RETRY_S)

    def step(self):
        """Report if it is time, then do one unit of work."""
        now = self._clock()
        if now > self._report_at:
            log(f"{self._done} units of work done, updating hash counter")
            self._redis.call("INCRBY", "hashes", self._done)
            self._done, self._report_at = 0, now + _REPORT_S
        self._sleep(_UNIT_S)
        data = self._fetch("rng", "GET", "/32")
        digest = self._fetch("hasher", "POST", "/", data).decode(errors="replace")
        self._done += 1
        if digest.startswith("0"):
            log(f"Coin found: {digest[:8]}...")
            if not self._redis.call("HSET", "wallet", digest, data):
                log("We already had that coin")


def main(_words, _environ):
    """Work until a signal ends the process."""
    Worker(Redis("redis"), fetch).run()
