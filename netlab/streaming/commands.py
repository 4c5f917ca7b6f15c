"""Carries the streams of a process, started or attached to, between its node and the caller.

Mirrors ``pkg/kubelet/…/remotecommand``: the same for exec and attach, over WebSocket and SPDY.

Rules for callers: ``run_command`` owns the process: it is closed when the caller goes away, the
server stops, or it has ended and its outcome was told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from netlab.api.streams import ERROR, RESIZE, STDERR, STDIN, STDOUT, ExecProcess
from netlab.errors import ApiError, NetlabError
from netlab.streaming.channels import CLOSE, V1, V5, encode_outcome, parse_size
from netlab.streaming.connection import TakenConnection
from netlab.streaming.spdy_session import SpdySession, SpdyStream, StreamResetError
from netlab.streaming.websocket import Channels

STREAMS_TIMEOUT_S = 30.0
"""For the caller to open all its streams; the kubelet's own limit."""

LINGER_S = 5.0
LONGEST_SIZE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What a caller wants of ``exec`` or ``attach``. argv: empty for attach."""

    argv: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class CommandStreams(Protocol):
    """The caller's side of a remote command."""

    async def carry_input(self, process: ExecProcess, request: CommandRequest) -> None:
        """Hand input and terminal sizes to the process; return when the caller is gone."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Send output. A caller who is gone misses it."""
        ...

    async def finish(self, outcome: int | ApiError) -> None:
        """Tell the exit code, or why there is none, and end the connection."""
        ...


async def run_command(
    streams: CommandStreams, process: ExecProcess, request: CommandRequest, *, attach: bool = False
) -> None:
    """Carry a process's streams until it ends or the caller goes away; then it is closed.

    attach: the outcome is success whatever the exit code, as the kubelet tells it.
    """
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_carry_input(streams, process, request))
            await _carry_output(streams, process, request)
            outcome = await _outcome(process, attach=attach)
            reader.cancel()
            await asyncio.wait({reader})
            await process.close()
            await streams.finish(outcome)
    finally:
        await process.close()


async def _carry_input(
    streams: CommandStreams, process: ExecProcess, request: CommandRequest
) -> None:
    await streams.carry_input(process, request)
    # whatever the caller started must not outlive it
    await process.close()


async def _carry_output(
    streams: CommandStreams, process: ExecProcess, request: CommandRequest
) -> None:
    wanted = {STDOUT: request.stdout, STDERR: request.stderr}
    while (piece := await process.read()) is not None:
        channel, data = piece
        if wanted.get(channel):
            await streams.send(channel, data)


async def _outcome(process: ExecProcess, *, attach: bool) -> int | ApiError:
    try:
        code = await process.wait()
    except NetlabError as error:
        return as_api_error(error)
    return 0 if attach else code


def as_api_error(error: NetlabError) -> ApiError:
    """Return an error as the Status that tells of it."""
    if isinstance(error, ApiError):
        return error
    return ApiError(500, "InternalError", f"Internal error occurred: {error}")


class WebSocketCommand:
    """A caller that speaks WebSocket."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def greet(self, request: CommandRequest) -> None:
        """Send an empty message, by which a caller sees that the connection works."""
        wanted = ((STDOUT, request.stdout), (STDERR, request.stderr), (ERROR, True))
        await self._channels.send(next(channel for channel, there in wanted if there), b"")

    async def carry_input(self, process: ExecProcess, request: CommandRequest) -> None:
        """See ``CommandStreams``."""
        while (said := await self._channels.receive()) is not None:
            channel, data = said
            if channel == STDIN and request.stdin:
                await process.write_stdin(data)
            elif channel == RESIZE:
                await _resize(process, data)
            elif (channel, data[:1], self._channels.protocol) == (CLOSE, b"\0", V5):
                await process.close_stdin()

    async def send(self, channel: int, data: bytes) -> None:
        """See ``CommandStreams``."""
        await self._channels.send(channel, data)

    async def finish(self, outcome: int | ApiError) -> None:
        """See ``CommandStreams``."""
        last = encode_outcome(outcome, self._channels.protocol)
        if last:
            await self._channels.send(ERROR, last)
        await self._channels.socket.close()


_STREAM_TYPES = {
    "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE,
}  # fmt: skip


class SpdyCommand:
    """A caller that speaks SPDY: one stream per channel, which it opens."""

    def __init__(self, connection: TakenConnection, protocol: str, request: CommandRequest) -> None:
        self._connection = connection
        self._protocol = protocol
        self._session = SpdySession(connection, self._accept)
        self._streams: dict[int, SpdyStream] = {}
        self._wanted = _expected_streams(request, protocol)
        self._complete = asyncio.Event()

    def _accept(self, stream: SpdyStream) -> bool:
        channel = _STREAM_TYPES.get(stream.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            return False
        self._streams[channel] = stream
        if channel not in (STDIN, RESIZE):
            stream.ignore_input()
        if self._wanted <= self._streams.keys():
            self._complete.set()
        return True

    async def serve(
        self, process: ExecProcess, request: CommandRequest, *, attach: bool = False
    ) -> None:
        """Run the process; return when it has ended and the caller knows, or is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._session.run())
                if await self._opened():
                    await run_command(self, process, request, attach=attach)
                    await self._linger()
                reading.cancel()
        finally:
            await process.close()

    async def _opened(self) -> bool:
        """Wait until the caller has opened all streams; False when it does not."""
        gone = asyncio.ensure_future(self._session.closed.wait())
        complete = asyncio.ensure_future(self._complete.wait())
        try:
            await asyncio.wait(
                {gone, complete},
                timeout=STREAMS_TIMEOUT_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            gone.cancel()
            complete.cancel()
        return self._complete.is_set()

    async def _linger(self) -> None:
        """Leave the caller time to close first: closing might cost it what it has not read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._session.closed.wait()

    async def carry_input(self, process: ExecProcess, request: CommandRequest) -> None:
        """See ``CommandStreams``."""
        async with asyncio.TaskGroup() as group:
            pumps = []
            if STDIN in self._streams and request.stdin:
                pumps.append(group.create_task(_pump_stdin(self._streams[STDIN], process)))
            if RESIZE in self._streams:
                pumps.append(group.create_task(_pump_sizes(self._streams[RESIZE], process)))
            await self._session.closed.wait()
            for pump in pumps:
                pump.cancel()

    async def send(self, channel: int, data: bytes) -> None:
        """See ``CommandStreams``."""
        stream = self._streams.get(channel)
        if stream is not None:
            with contextlib.suppress(ConnectionError):
                await stream.write(data)

    async def finish(self, outcome: int | ApiError) -> None:
        """See ``CommandStreams``."""
        for channel in (STDIN, RESIZE):
            if channel in self._streams:
                self._streams[channel].ignore_input()
        await self.send(ERROR, encode_outcome(outcome, self._protocol))
        for stream in self._streams.values():
            with contextlib.suppress(ConnectionError):
                await stream.finish()


def _expected_streams(request: CommandRequest, protocol: str) -> set[int]:
    wanted: Mapping[int, bool] = {
        ERROR: True,
        STDIN: request.stdin,
        STDOUT: request.stdout,
        STDERR: request.stderr and not request.tty,
        RESIZE: request.tty and protocol not in (V1, "v2.channel.k8s.io"),
    }
    return {channel for channel, there in wanted.items() if there}


async def _pump_stdin(stream: SpdyStream, process: ExecProcess) -> None:
    with contextlib.suppress(StreamResetError):
        while data := await stream.read():
            await process.write_stdin(data)
    await process.close_stdin()


async def _pump_sizes(stream: SpdyStream, process: ExecProcess) -> None:
    """Sizes come as JSON objects, one after the other, a line each."""
    rest = b""
    with contextlib.suppress(StreamResetError):
        while data := await stream.read():
            *lines, rest = (rest + data).replace(b"}", b"}\n").split(b"\n")
            for line in lines:
                await _resize(process, line)
            if len(rest) > LONGEST_SIZE_BYTES:
                return


async def _resize(process: ExecProcess, data: bytes) -> None:
    size = parse_size(data) if data.strip() else None
    if size is not None:
        await process.resize(size.columns, size.rows)
