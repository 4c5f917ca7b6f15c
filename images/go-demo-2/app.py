"""go-demo-2, as the course knows it: a greeting, and people kept in a database.

    GET /demo/hello             hello, world!            (?delay=MS waits before answering)
    GET /demo/person            every name, one per line
    PUT /demo/person?name=NAME  remembers a name
    GET /version                the version, from VERSION

Each answer names the pod (X-Hostname) and the version (X-Version). DB is the database's host.
Runs without one: only /demo/person then answers 503. Standard output, the pod's log, tells each
request. aiohttp does HTTP; what it refuses by itself (no HTTP, a header too large) it words.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger
from people import DatabaseError, People

_PORT = 8080
_BACKLOG = 1024
_KEEPALIVE_TIMEOUT_S = 75.0
# Kubernetes kills 30 s after SIGTERM by default.
_DRAIN_TIMEOUT_S = 25.0
_DELAY_MS_MAX = 600_000

_log = logging.getLogger("go-demo-2")


class Api:
    """The routes. people: has ``add(name)`` and ``names()``, as People."""

    def __init__(self, *, people, version, hostname):
        self._people = people
        self._version = version
        self._headers = {"X-Hostname": hostname, "X-Version": version}

    def application(self):
        """Return the aiohttp application that serves the routes."""
        app = web.Application(middlewares=[_answer_errors])
        app.add_routes(
            [
                web.get("/demo/hello", self._hello),
                web.get("/demo/person", self._show_people),
                web.put("/demo/person", self._add_person),
                web.get("/version", self._show_version),
            ]
        )
        app.on_response_prepare.append(self._set_headers)
        return app

    async def _hello(self, request):
        if delay := request.query.get("delay"):
            await asyncio.sleep(_parse_delay_ms(delay) / 1000)
        return web.Response(text="hello, world!\n")

    async def _show_people(self, request):
        del request
        names = await self._people.names()
        return web.Response(text="".join(f"{name}\n" for name in names))

    async def _add_person(self, request):
        if not (name := request.query.get("name")):
            raise web.HTTPBadRequest(text="name is missing\n")
        await self._people.add(name)
        return web.Response(text="")

    async def _show_version(self, request):
        del request
        return web.Response(text=f"{self._version}\n")

    async def _set_headers(self, request, response):
        del request
        response.headers.update(self._headers)
        # aiohttp names itself and Python; the course's server names nothing.
        response.headers.pop(hdrs.SERVER, None)


class AccessLog(AbstractAccessLogger):
    """Logs a line for each answer."""

    def log(self, request, response, time):
        """Log one answer. time: seconds it took."""
        self.logger.info(
            "%s %s %s %d %.1fms",
            request.remote,
            request.method,
            request.raw_path,
            response.status,
            time * 1000,
        )


class Connection(web.RequestHandler):
    """A connection whose client may end its side before it reads the answer, as ``nc`` does.

    By itself aiohttp closes such a connection without an answer (its issue 3659).
    """

    __slots__ = ()

    def eof_received(self):
        """Close once the request under way is answered; True keeps the connection until then."""
        self.close()
        return True

    async def start(self):
        """Serve requests; close the connection also when it ended while it was idle."""
        try:
            await super().start()
        finally:
            if self.transport is not None:
                self.transport.close()


@contextlib.asynccontextmanager
async def serving(app, host, port, *, drain_timeout_s=_DRAIN_TIMEOUT_S):
    """Serve an application; yield its listening socket.

    At the end the port and idle connections close, and requests under way are answered.

    Raises: OSError when the port cannot be had.
    """
    runner = web.AppRunner(app, shutdown_timeout=drain_timeout_s)
    await runner.setup()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: Connection(
            runner.server,
            loop=loop,
            access_log=_log,
            access_log_class=AccessLog,
            keepalive_timeout=_KEEPALIVE_TIMEOUT_S,
        ),
        host,
        port,
        backlog=_BACKLOG,
    )
    try:
        yield listening.sockets[0]
    finally:
        listening.close()
        try:
            # aiohttp waits its own timeout twice: for the handlers, then for their connections.
            async with asyncio.timeout(drain_timeout_s):
                await runner.cleanup()
        except TimeoutError:
            _log.warning("not every request was finished")


async def serve():
    """Serve until SIGTERM or SIGINT, then finish what was begun."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    hostname = socket.gethostname()
    version = os.environ.get("VERSION", "1.0")
    database = os.environ.get("DB") or "localhost"
    people = People(database)
    api = Api(people=people, version=version, hostname=hostname)
    async with serving(api.application(), "0.0.0.0", _PORT):
        _log.info(
            "go-demo-2 %s on %s: listening on port %d, database %s",
            version,
            hostname,
            _PORT,
            database,
        )
        await ending.wait()
    await people.close()
    _log.info("stopped")


def main():
    """Run the app."""
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        datefmt="%Y/%m/%d %H:%M:%S",
    )
    try:
        asyncio.run(serve())
    except OSError as error:
        raise SystemExit(f"go-demo: {error}") from error


@web.middleware
async def _answer_errors(request, handler):
    try:
        return await handler(request)
    except DatabaseError as error:
        _log.warning("%s", error)
        return web.Response(status=503, text=f"{error}\n")
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n")
    except web.HTTPMethodNotAllowed as error:
        methods = ", ".join(sorted(error.allowed_methods))
        return web.Response(status=405, text="method not allowed\n", headers={hdrs.ALLOW: methods})


def _parse_delay_ms(text):
    try:
        delay_ms = int(text)
    except ValueError:
        delay_ms = -1
    if not 0 <= delay_ms <= _DELAY_MS_MAX:
        raise web.HTTPBadRequest(text="delay: not a number of milliseconds\n")
    return delay_ms
