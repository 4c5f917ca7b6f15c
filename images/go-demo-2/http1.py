"""A small HTTP/1.1 server: keep-alive, bodies by length, HEAD, limits and timeouts.

Its reason is start-up time: importing aiohttp takes 0.18 s of processor time here, this module and
asyncio 0.04 s, and a lesson scales this app to dozens of pods. Chunked request bodies, upgrades
and pipelined answers out of order are left out; a request that needs one is refused.

Source: RFC 9112
"""

import asyncio
import time
from urllib.parse import parse_qs, unquote

_HEADER_TIMEOUT_S = 75.0
_BODY_BYTES_MAX = 1 << 20
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request:
    """A request. query: name -> first value; headers: lower-case name -> value."""

    __slots__ = ("headers", "method", "path", "query", "target", "version")

    def __init__(self, method, target, version, headers):
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        path, _, query = target.partition("?")
        self.path = unquote(path)
        self.query = {
            name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()
        }

    @property
    def keeps_alive(self):
        """True when the client wants the connection for its next request."""
        wish = self.headers.get("connection", "").lower()
        return wish != "close" if self.version == "HTTP/1.1" else wish == "keep-alive"


class Response:
    """An answer in plain text."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status, text, headers=None):
        self.status = status
        self.body = text.encode()
        self.headers = headers or {}


class BadRequestError(ValueError):
    """A request that cannot be read; the connection is closed after the answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def parse_head(data):
    """Return the request in the bytes up to and with the empty line."""
    try:
        first, *lines = data.decode("latin-1").split("\r\n")[:-2]
        method, target, version = first.split(" ")
    except ValueError as error:
        raise BadRequestError(400, "malformed request line") from error
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequestError(400, "unknown HTTP version")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequestError(400, "malformed header")
        headers[name.lower()] = value.strip()
    return Request(method, target, version, headers)


def body_length(request):
    """Return how many bytes of body follow a request's head."""
    if "transfer-encoding" in request.headers:
        raise BadRequestError(411, "a body needs a Content-Length")
    text = request.headers.get("content-length", "0")
    if not text.isdigit():
        raise BadRequestError(400, "malformed Content-Length")
    if int(text) > _BODY_BYTES_MAX:
        raise BadRequestError(413, "the body is too large")
    return int(text)


def format_response(response, *, method, keep_alive, now):
    """Return an answer's bytes; a HEAD request gets its header alone."""
    headers = {
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)),
        "Content-Length": str(len(response.body)),
        "Content-Type": "text/plain; charset=utf-8",
        **response.headers,
    }
    if not keep_alive:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if method == "HEAD" else head + response.body


class HttpServer:
    """Serves a handler: ``async (Request) -> Response``. log: called with each line."""

    def __init__(self, handler, log):
        self._handler = handler
        self._log = log
        self._idle = set()
        self._busy = 0
        self._drained = asyncio.Event()
        self._stopping = False

    async def serve_connection(self, reader, writer):
        """Serve one connection: a callback of asyncio.start_server."""
        try:
            while not self._stopping and await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, TimeoutError, OSError):
            pass
        finally:
            writer.close()

    async def drain(self, timeout_s):
        """Close idle connections and wait until requests under way are answered."""
        self._stopping = True
        for writer in list(self._idle):
            writer.close()
        if self._busy:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._drained.wait()
            except TimeoutError:
                self._log(f"{self._busy} requests were not finished")

    async def _serve_one(self, reader, writer):
        self._idle.add(writer)
        try:
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = None
        finally:
            self._idle.discard(writer)
        self._busy += 1
        try:
            return await self._answer(head, reader, writer)
        finally:
            self._busy -= 1
            if self._stopping and not self._busy:
                self._drained.set()

    async def _answer(self, head, reader, writer):
        started = time.monotonic()
        request, keep_alive = None, False
        try:
            if head is None:
                raise BadRequestError(400, "the header is too large")
            request = parse_head(head)
            if request.headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                await reader.readexactly(body_length(request))
            keep_alive = request.keeps_alive and not self._stopping
            response = await self._handle(request)
        except BadRequestError as error:
            response = Response(error.status, f"{error}\n")
        method, target = (request.method, request.target) if request else ("-", "-")
        writer.write(
            format_response(response, method=method, keep_alive=keep_alive, now=time.time())
        )
        await writer.drain()
        peer = writer.get_extra_info("peername") or ("-",)
        took_ms = (time.monotonic() - started) * 1000
        self._log(f"{peer[0]} {method} {target} {response.status} {took_ms:.1f}ms")
        return keep_alive

    async def _handle(self, request):
        try:
            return await self._handler(request)
        except Exception as error:
            self._log(f"{request.method} {request.target}: {error!r}")
            return Response(500, "internal error\n")
