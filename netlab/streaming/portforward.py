"""Port-forward: connections of the caller's machine that end inside a pod.

Mirrors ``pkg/kubelet/…/portforward``. Over SPDY (plain, or tunnelled in a WebSocket) the caller
opens two streams per connection, ``error`` and ``data``, that name the port and share a request
id; over a WebSocket of channels it names all ports in the query, and each has one connection for
the life of the socket: channel 2i its data, 2i+1 its errors, which both begin with the port in two
bytes, the lower first. There a connection cannot be half closed.

What containerd does a second after one direction has ended, cutting off the other, netlab does not:
a pod goes on answering a caller that has sent all it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from urllib.parse import parse_qs

from netlab.api.field_errors import bad_request
from netlab.api.streams import ByteStream
from netlab.errors import ApiError, NetlabError
from netlab.streaming.channels import V4, V4_BASE64
from netlab.streaming.spdy_session import SpdySession, SpdyStream, StreamResetError, Wire
from netlab.streaming.websocket import Channels

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{SPDY_PROTOCOL}"
WEBSOCKET_PROTOCOLS = (TUNNEL_PROTOCOL, V4, V4_BASE64)

READ_BYTES = 256 * 1024
PAIR_TIMEOUT_S = 30.0
"""For the second stream of a pair to be opened; the kubelet's own limit."""

CALLER_TIMEOUT_S = 10.0
"""For the caller to finish after the pod has; kubectl does at once."""

CHANNEL_BUFFER_PIECES = 32

Dial: TypeAlias = Callable[[int], Awaitable[ByteStream]]
"""Connects to a port of the pod. Raises: ApiError when nothing listens."""


def parse_ports(raw_query: str, name: str = "ports") -> list[int]:
    """Return the ports of ``?ports=80,443&ports=8080``, in order. name: of the parameter.

    Raises: ApiError BadRequest.
    """
    texts = parse_qs(raw_query, keep_blank_values=True).get(name, [])
    return [_port(text.strip()) for value in texts for text in value.split(",")]


def _port(text: str) -> int:
    if not text:
        raise bad_request('query parameter "port" cannot be empty')
    try:
        port = int(text) if text.isascii() and text.lstrip("+-").isdigit() else -1
    except ValueError:  # more digits than Python converts
        port = -1
    if not 0 <= port < 1 << 16:
        raise bad_request(f'unable to parse "{text}" as a port')
    if port == 0:
        raise bad_request(f'port "{text}" must be > 0')
    return port


def check_ports(ports: Sequence[int]) -> None:
    """Raises: ApiError BadRequest when a WebSocket of channels names no port, or too many."""
    if not ports:
        raise bad_request('query parameter "port" is required')
    if len(ports) > 127:  # channel numbers are one byte, and each port has two
        raise bad_request(f"{len(ports)} ports are more than a WebSocket has channels for")


class SpdyForward:
    """All connections of one ``kubectl port-forward`` to one pod."""

    def __init__(self, wire: Wire, dial: Dial) -> None:
        self._session = SpdySession(wire, self._accept)
        self._dial = dial
        self._waiting: dict[str, SpdyStream] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Forward until the caller goes away."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._session.run())
            await self._session.closed.wait()
            for task in self._running:
                task.cancel()

    def _accept(self, stream: SpdyStream) -> bool:
        headers = stream.headers
        kind = headers.get("streamtype", "")
        try:
            _port(headers.get("port", ""))
        except ApiError:
            return False
        if kind not in ("error", "data") or self._tasks is None:
            return False
        key = _pair_key(stream)
        other = self._waiting.pop(key, None)
        if other is None:
            self._waiting[key] = stream
            self._start(self._give_up(key, stream))
            return True
        if other.headers.get("streamtype") == kind:
            return False
        pair = {kind: stream, str(other.headers.get("streamtype")): other}
        self._start(self._forward(pair["data"], pair["error"]))
        return True

    def _start(self, work: Awaitable[None]) -> None:
        assert self._tasks is not None, "streams are accepted only while serving"
        task = self._tasks.create_task(_completed(work))
        self._running.append(task)
        task.add_done_callback(self._running.remove)

    async def _give_up(self, key: str, stream: SpdyStream) -> None:
        """Reset a stream whose other half does not come."""
        await asyncio.sleep(PAIR_TIMEOUT_S)
        if self._waiting.get(key) is stream:
            del self._waiting[key]
            await stream.reset()

    async def _forward(self, data: SpdyStream, errors: SpdyStream) -> None:
        errors.ignore_input()
        try:
            connection = await self._dial(int(data.headers["port"]))
        except NetlabError as error:
            data.ignore_input()
            await errors.write(str(error).encode())
            await errors.finish()
            await data.finish()
            return
        sending = asyncio.ensure_future(_send_to_pod(data, connection))
        try:
            await _receive_from_pod(data, connection)
            # kubectl waits for the end of the errors before it finishes its side
            await data.finish()
            await errors.finish()
            await asyncio.wait({sending}, timeout=CALLER_TIMEOUT_S)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            connection.writer.close()
            with contextlib.suppress(ConnectionError):
                await data.reset()
                await errors.finish()


async def _completed(work: Awaitable[None]) -> None:
    with contextlib.suppress(ConnectionError):  # the caller is gone: nobody to tell
        await work


def _pair_key(stream: SpdyStream) -> str:
    """What the two streams of a connection share; very old clients only number them."""
    given = stream.headers.get("requestid")
    if given:
        return given
    first = stream.headers.get("streamtype") == "error"
    return f"stream {stream.number if first else stream.number - 2}"


async def _send_to_pod(data: SpdyStream, connection: ByteStream) -> None:
    writer = connection.writer
    try:
        while piece := await data.read():
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except StreamResetError:
        # the caller wants no more: what the pod still sends has no reader
        writer.transport.abort()
    except OSError:
        data.ignore_input()  # the pod reads no more, but may still have something to say


async def _receive_from_pod(data: SpdyStream, connection: ByteStream) -> None:
    while True:
        try:
            piece = await connection.reader.read(READ_BYTES)
        except OSError:
            return  # the pod has reset the connection
        if not piece:
            return
        await data.write(piece)


class ChannelForward:
    """Port-forward over numbered channels: one connection per port, opened at once."""

    def __init__(self, channels: Channels, ports: Sequence[int], dial: Dial) -> None:
        self._channels = channels
        self._ports = ports
        self._dial = dial
        self._input: list[asyncio.Queue[bytes]] = [
            asyncio.Queue(CHANNEL_BUFFER_PIECES) for _ in ports
        ]
        self._closed: set[int] = set()

    async def serve(self) -> None:
        """Forward until the caller goes away or all connections have ended."""
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._channels.send(channel, struct.pack("<H", port))
        async with asyncio.TaskGroup() as group:
            forwards = [group.create_task(self._forward(i)) for i in range(len(self._ports))]
            reading = group.create_task(self._read())
            ended = asyncio.ensure_future(asyncio.wait(forwards))
            try:
                await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended.cancel()
                for task in (reading, *forwards):
                    task.cancel()
        await self._channels.socket.close()

    async def _read(self) -> None:
        while (said := await self._channels.receive()) is not None:
            channel, data = said
            index, is_error = divmod(channel, 2)
            if data and not is_error and index < len(self._input) and index not in self._closed:
                await self._input[index].put(data)

    async def _forward(self, index: int) -> None:
        try:
            connection = await self._dial(self._ports[index])
        except NetlabError as error:
            self._closed.add(index)
            await self._channels.send(2 * index + 1, str(error).encode())
            return
        sending = asyncio.ensure_future(self._send_to_pod(index, connection))
        try:
            while piece := await connection.reader.read(READ_BYTES):
                await self._channels.send(2 * index, piece)
        except OSError:
            pass  # the pod has reset the connection
        finally:
            self._closed.add(index)
            sending.cancel()
            await asyncio.wait({sending})
            # whoever waits to hand in more must not wait for ever
            while not self._input[index].empty():
                self._input[index].get_nowait()
            connection.writer.close()

    async def _send_to_pod(self, index: int, connection: ByteStream) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.writer.write(await self._input[index].get())
                await connection.writer.drain()
        while True:  # the pod reads no more; other ports must go on
            await self._input[index].get()
