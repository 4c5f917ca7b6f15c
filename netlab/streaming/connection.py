"""Takes a connection away from the HTTP server, to speak another protocol on it.

What Go calls hijacking: after ``take_connection`` the HTTP parser sees nothing any more. aiohttp
keeps the transport, so TLS, back-pressure, shutdown and the cancelling of a handler whose caller
is gone work as for any request.

Rules for callers: return ``TakenConnection.response`` from the handler; the connection is closed
when the handler has ended. ``watch_departure`` must run beside whoever may stop reading: a
transport that is not read does not tell that its other side is gone. Even so, a caller that goes
away while the kernel still holds data of it that nobody takes is noticed only after some minutes,
when the kernel gives that data up: its end stands behind it in the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from netlab.errors import ApiError

BUFFER_BYTES = 512 * 1024
"""Beyond this nothing is read until the consumer has caught up."""

DEPARTURE_CHECK_S = 1.0

# The HTTP server turns keep-alive on; the kernel's own first probe comes after two hours.
_KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 4}


class _TakenResponse(web.StreamResponse):
    """The answer of a handler that has written everything itself."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def keep_alive(self) -> bool | None:
        return False


class TakenConnection:
    """Both directions of a connection that HTTP has left. Made by ``take_connection``."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.response: web.StreamResponse = _TakenResponse()
        self._request = request
        self._pieces: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._paused = False
        self._ended = False
        self._arrived = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what arrived; called by the HTTP server."""
        self._pieces.append(data)
        self._buffered_bytes += len(data)
        transport = self._request.transport
        if self._buffered_bytes > BUFFER_BYTES and not self._paused and transport is not None:
            self._paused = True
            transport.pause_reading()
        self._arrived.set()
        return False, b""

    def feed_eof(self) -> None:
        """Note that nothing more will arrive; called by the HTTP server."""
        self._ended = True
        self._arrived.set()

    async def read(self) -> bytes:
        """Return all that has arrived, waiting for something; b"" at the end."""
        while not self._pieces:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered_bytes = 0
        transport = self._request.transport
        if self._paused and transport is not None:
            self._paused = False
            transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other side is slow. What is given in one call stays together.

        Raises: ConnectionError when the other side is gone.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the caller has closed the connection")
        transport.write(data)
        # aiohttp's own way to wait for its transport's buffer
        await self._request.protocol._drain_helper()

    async def linger(self, timeout_s: float) -> None:
        """Wait until the other side closes, dropping what it still sends.

        Closing while unread data waits would reset the connection, and with it what was sent.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while await self.read():
                    pass


def take_connection(request: web.BaseRequest) -> TakenConnection:
    """Return the connection of a request; HTTP is over on it.

    Raises: ApiError when it is gone already.
    """
    protocol = request.protocol
    if request.transport is None:
        raise ApiError(500, "InternalError", "the caller has closed the connection")
    taken = TakenConnection(request)
    protocol.set_parser(taken)  # type: ignore[arg-type]  # any object with feed_data and feed_eof
    protocol.keep_alive(False)
    return taken


async def switch_protocols(request: web.BaseRequest, headers: Mapping[str, str]) -> TakenConnection:
    """Answer 101 with the headers and return the connection."""
    taken = take_connection(request)
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    await taken.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    return taken


@asynccontextmanager
async def watch_departure(request: web.BaseRequest) -> AsyncIterator[None]:
    """Abort the connection when its other side is gone, also while nobody reads it."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if transport is None or sock is None:
        yield
        return
    for option, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    watcher = asyncio.ensure_future(_watch(transport, sock.fileno()))
    try:
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


async def _watch(transport: asyncio.Transport, descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLRDHUP)
    while not transport.is_closing():
        await asyncio.sleep(DEPARTURE_CHECK_S)
        # the descriptor is the transport's: it may have been closed and given away meanwhile
        if not transport.is_closing() and poller.poll(0):
            # what it sent last may still be on its way through the transport
            await asyncio.sleep(DEPARTURE_CHECK_S)
            transport.abort()
            return
