"""A SPDY/3.1 connection whose streams the peer opens: the server's side of one.

Mirrors ``moby/spdystream`` as the kubelet uses it. One task (``run``) reads the connection; each
stream is read and written by whoever serves it.

Flow control: Go clients neither keep to windows nor open them; others do. So windows are opened
for the peer as its data is consumed, but kept to only once the peer has shown, with WINDOW_UPDATE
or the setting of a first window, that it opens windows too. What protects the server from a peer
that sends more than its reader takes is the connection itself: beyond ``STREAM_BUFFER_BYTES`` on
one stream nothing more is read, which holds up the other streams too, as it does upstream.

Rules for callers: ``run`` ends when the connection does; all streams then read as ended (those
that were cut off raise). A stream is forgotten once both sides have finished it.

netlab leaves out: opening streams from the server, priorities, credentials, compression of data.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from netlab.streaming import spdy_frames as spdy
from netlab.streaming.spdy_frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynStream,
    WindowUpdate,
)

STREAM_BUFFER_BYTES = 1 << 20
WINDOW_STEP_BYTES = spdy.FIRST_WINDOW_BYTES // 2
"""Windows are opened in steps: an update for every piece would cost a frame each."""

DATA_FRAME_BYTES = 128 * 1024
MOST_STREAMS = 1000
"""Open at once on one connection; a port-forward uses two for each of its connections."""


class Wire(Protocol):
    """What SPDY travels over. read: b"" at the end. write raises ConnectionError."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class StreamResetError(ConnectionError):
    """The peer has ended the stream, or the connection, in the middle."""


class SpdyStream:
    """One stream, opened by the peer. headers: names in lower case."""

    def __init__(self, session: SpdySession, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._pieces: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._consumed_bytes = 0
        self._window_bytes = session.first_window_bytes
        self._changed = asyncio.Event()
        self._ignored = False
        self.remote_finished = False
        self.local_finished = False
        self.was_reset = False

    async def read(self) -> bytes:
        """Return what has arrived, waiting for something; b"" when the peer has finished.

        Raises: StreamResetError.
        """
        while not self._pieces:
            if self.was_reset:
                raise StreamResetError(f"stream {self.number} was reset")
            if self.remote_finished:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered_bytes = 0
        self._session.wake_reader()
        await self._open_window(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the peer is slow.

        Raises: StreamResetError; ConnectionError when the connection is gone.
        """
        position = 0
        while position < len(data):
            room = await self._room()
            piece = data[position : position + min(room, DATA_FRAME_BYTES)]
            position += len(piece)
            self._window_bytes -= len(piece)
            self._session.window_bytes -= len(piece)
            await self._session.send(spdy.data_frame(self.number, piece))

    async def finish(self) -> None:
        """Tell that nothing more will be sent; the other direction stays open. Idempotent."""
        if self.local_finished or self.was_reset:
            return
        self.local_finished = True
        self._session.forget_if_over(self)
        await self._session.send(spdy.data_frame(self.number, b"", fin=True))

    async def reset(self, status: int = spdy.CANCEL) -> None:
        """End both directions. Idempotent."""
        if self.was_reset or (self.local_finished and self.remote_finished):
            return
        self.cut_off()
        self._session.forget_if_over(self)
        await self._session.send(spdy.rst_stream(self.number, status))

    def ignore_input(self) -> None:
        """Drop what the peer sends from now on, as if somebody read it."""
        self._ignored = True
        self._pieces.clear()
        self._buffered_bytes = 0
        self._session.wake_reader()

    def cut_off(self) -> None:
        """Note that both directions are over; what has arrived can still be read."""
        self.was_reset = True
        self._changed.set()

    @property
    def full(self) -> bool:
        """True when nothing more may be taken in before somebody reads."""
        return self._buffered_bytes >= STREAM_BUFFER_BYTES and not self.was_reset

    async def take(self, data: bytes, *, fin: bool) -> None:
        """Take in what the peer has sent."""
        if data and not self.was_reset and not self.remote_finished:
            if self._ignored:
                await self._open_window(len(data))
            else:
                self._pieces.append(data)
                self._buffered_bytes += len(data)
        if fin:
            self.remote_finished = True
        self._changed.set()

    def widen(self, delta: int) -> None:
        """Note that the peer takes that much more."""
        self._window_bytes += delta
        self._changed.set()

    async def _open_window(self, consumed: int) -> None:
        self._consumed_bytes += consumed
        if self._consumed_bytes < WINDOW_STEP_BYTES or self.remote_finished or self.was_reset:
            return
        delta, self._consumed_bytes = self._consumed_bytes, 0
        await self._session.open_window(self.number, delta)

    async def _room(self) -> int:
        while True:
            if self.was_reset or self.local_finished:
                raise StreamResetError(f"stream {self.number} is closed")
            if not self._session.keeps_windows:
                return DATA_FRAME_BYTES
            room = min(self._window_bytes, self._session.window_bytes)
            if room > 0:
                return room
            self._changed.clear()
            await self._changed.wait()


class SpdySession:
    """One connection. accept: called for each new stream; returning False refuses it."""

    def __init__(self, wire: Wire, accept: Callable[[SpdyStream], bool]) -> None:
        self._wire = wire
        self._accept = accept
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._streams: dict[int, SpdyStream] = {}
        self._last_stream = 0
        self._reader_may_go_on = asyncio.Event()
        self.first_window_bytes = spdy.FIRST_WINDOW_BYTES
        self.window_bytes = spdy.FIRST_WINDOW_BYTES
        self.keeps_windows = False
        self.closed = asyncio.Event()

    async def run(self) -> None:
        """Read the connection until it ends, or the peer breaks the protocol."""
        try:
            while data := await self._wire.read():
                for frame in self._reader.feed(data):
                    await self._take(frame)
        except SpdyError:
            await self._send_last(spdy.go_away(self._last_stream, spdy.PROTOCOL_ERROR))
        except ConnectionError:
            pass  # what the caller's going away means is decided by whoever serves the streams
        finally:
            for stream in list(self._streams.values()):
                stream.cut_off()
            self._streams.clear()
            self.closed.set()

    async def send(self, frame: bytes) -> None:
        """Send a whole frame. Raises: ConnectionError."""
        await self._wire.write(frame)

    def wake_reader(self) -> None:
        """Let ``run`` look again whether it may go on reading."""
        self._reader_may_go_on.set()

    def forget_if_over(self, stream: SpdyStream) -> None:
        """Forget a stream that both sides have finished."""
        if stream.was_reset or (stream.local_finished and stream.remote_finished):
            self._streams.pop(stream.number, None)

    async def open_window(self, stream: int, delta: int) -> None:
        """Let the peer send more on a stream, and on the whole connection."""
        frames = spdy.window_update(stream, delta) + spdy.window_update(0, delta)
        await self._send_last(frames)

    async def _send_last(self, frames: bytes) -> None:
        """Send what nobody misses when the peer is gone already."""
        try:
            await self._wire.write(frames)
        except ConnectionError:
            self.wake_reader()

    async def _take(self, frame: Frame) -> None:
        if isinstance(frame, Data):
            await self._take_data(frame)
        elif isinstance(frame, SynStream):
            await self._open(frame)
        elif isinstance(frame, RstStream):
            stream = self._streams.pop(frame.stream, None)
            if stream is not None:
                stream.cut_off()
        elif isinstance(frame, Ping):
            if frame.id % 2:  # even numbers would answer ours, and we send none
                await self.send(spdy.ping(frame.id))
        elif isinstance(frame, Headers):
            if frame.fin:
                await self._take_data(Data(frame.stream, b"", fin=True))
        else:
            self._take_flow(frame)

    def _take_flow(self, frame: Frame) -> None:
        if isinstance(frame, Settings) and spdy.INITIAL_WINDOW_SIZE in frame.values:
            size = frame.values[spdy.INITIAL_WINDOW_SIZE]
            for stream in self._streams.values():
                stream.widen(size - self.first_window_bytes)
            self.first_window_bytes = size
            self.keeps_windows = True
        elif isinstance(frame, WindowUpdate):
            self.keeps_windows = True
            if frame.stream == 0:
                self.window_bytes += frame.delta
            for stream in self._streams.values():
                if frame.stream in (0, stream.number):
                    stream.widen(frame.delta if frame.stream else 0)
        elif isinstance(frame, GoAway):
            pass  # the peer closes the connection when its streams are over

    async def _take_data(self, frame: Data) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            if frame.stream > self._last_stream:
                raise SpdyError(f"data on stream {frame.stream}, which is not open")
            return  # it was still on its way when the stream ended
        while stream.full:
            self._reader_may_go_on.clear()
            await self._reader_may_go_on.wait()
        await stream.take(frame.data, fin=frame.fin)
        self.forget_if_over(stream)

    async def _open(self, frame: SynStream) -> None:
        if not frame.stream % 2 or frame.stream <= self._last_stream:
            raise SpdyError(f"stream {frame.stream} cannot be opened")
        self._last_stream = frame.stream
        if len(self._streams) >= MOST_STREAMS:
            await self.send(spdy.rst_stream(frame.stream, spdy.REFUSED_STREAM))
            return
        stream = SpdyStream(self, frame.stream, frame.headers)
        stream.remote_finished = frame.fin
        if not self._accept(stream):
            await self.send(spdy.rst_stream(frame.stream, spdy.REFUSED_STREAM))
            return
        self._streams[frame.stream] = stream
        # Go clients drop what arrives on a stream before its reply
        await self.send(self._writer.syn_reply(frame.stream))
