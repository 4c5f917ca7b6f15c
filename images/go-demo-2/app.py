"""go-demo-2, as the course knows it: a greeting, and people kept in a database.

    GET /demo/hello             hello, world!            (?delay=MS waits before answering)
    GET /demo/person            every name, one per line
    PUT /demo/person?name=NAME  remembers a name
    GET /version                the version, from VERSION

Each answer names the pod (X-Hostname) and the version (X-Version). DB is the database's host.
Runs without one: only /demo/person then answers 503.
"""

import asyncio
import os
import signal
import socket
import time

from http1 import HttpServer, Response
from people import DatabaseError, People

_PORT = 8080
# Kubernetes kills 30 s after SIGTERM by default.
_DRAIN_TIMEOUT_S = 25.0
_DELAY_MS_MAX = 600_000


class App:
    """The handler of all requests."""

    def __init__(self, *, people, version, hostname, log):
        self._people = people
        self._version = version
        self._log = log
        self._headers = {"X-Hostname": hostname, "X-Version": version}

    async def handle(self, request):
        """Return the answer to a request."""
        route = {
            "/demo/hello": self._hello,
            "/demo/person": self._person,
            "/version": self._show_version,
        }.get(request.path)
        if route is None:
            return Response(404, "404 page not found\n", self._headers)
        return await route(request)

    async def _hello(self, request):
        if request.method not in ("GET", "HEAD"):
            return self._not_allowed("GET, HEAD")
        if delay := request.query.get("delay"):
            if not delay.isdigit() or int(delay) > _DELAY_MS_MAX:
                return Response(400, "delay: not a number of milliseconds\n", self._headers)
            await asyncio.sleep(int(delay) / 1000)
        return Response(200, "hello, world!\n", self._headers)

    async def _person(self, request):
        try:
            if request.method == "PUT":
                if not (name := request.query.get("name", "")):
                    return Response(400, "name is missing\n", self._headers)
                await self._people.add(name)
                return Response(200, "", self._headers)
            if request.method not in ("GET", "HEAD"):
                return self._not_allowed("GET, HEAD, PUT")
            names = await self._people.names()
        except DatabaseError as error:
            self._log(str(error))
            return Response(503, f"{error}\n", self._headers)
        return Response(200, "".join(f"{name}\n" for name in names), self._headers)

    async def _show_version(self, request):
        del request
        return Response(200, f"{self._version}\n", self._headers)

    def _not_allowed(self, methods):
        return Response(405, "method not allowed\n", {**self._headers, "Allow": methods})


def log(message):
    """Write a line to standard output, which is the pod's log."""
    print(time.strftime("%Y/%m/%d %H:%M:%S"), message, flush=True)


async def serve():
    """Serve until SIGTERM or SIGINT, then finish what was begun."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hostname = socket.gethostname()
    version = os.environ.get("VERSION", "1.0")
    database = os.environ.get("DB") or "localhost"
    people = People(database)
    app = App(people=people, version=version, hostname=hostname, log=log)
    http = HttpServer(app.handle, log)
    server = await asyncio.start_server(http.serve_connection, "0.0.0.0", _PORT, backlog=1024)
    log(f"go-demo-2 {version} on {hostname}: listening on port {_PORT}, database {database}")
    await stop.wait()
    server.close()
    await http.drain(_DRAIN_TIMEOUT_S)
    await people.close()
    log("stopped")


def main():
    """Run the app."""
    try:
        asyncio.run(serve())
    except OSError as error:
        raise SystemExit(f"go-demo: {error}") from error
