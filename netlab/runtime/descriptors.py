"""File descriptors on the event loop: read several in turn, write one, both with back-pressure.

For pipes and pseudo-terminals alike: a pseudo-terminal whose other side is closed fails with EIO,
which here is its end. The owner closes; a closed side reads as ended and swallows writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Mapping

_PIECE_BYTES = 128 << 10
# Beyond this nothing is read until the consumer has caught up, so a fast program is slowed down.
_BUFFER_BYTES_MAX = 512 << 10
# A fast program fills more of a larger pipe while the event loop does something else.
_PIPE_BYTES = 512 << 10


class OutputReader:
    """Reads descriptors that are tagged with a channel number; owns them."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        """channels: descriptor -> channel."""
        self._channels = dict(channels)
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._buffered_bytes = 0
        self._arrived = asyncio.Event()
        self._reading: set[int] = set()
        for descriptor in self._channels:
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError):  # a terminal, or more than the user may have
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._resume()

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next (channel, data), or None when every descriptor has ended."""
        while not self._pieces:
            if not self._channels:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        channel, data = self._pieces.popleft()
        self._buffered_bytes -= len(data)
        if self._buffered_bytes < _BUFFER_BYTES_MAX:
            self._resume()
        return channel, data

    def close(self) -> None:
        """Stop reading; what was read already can still be taken."""
        for descriptor in list(self._channels):
            self._end(descriptor)

    def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in self._channels.keys() - self._reading:
            loop.add_reader(descriptor, self._on_readable, descriptor)
            self._reading.add(descriptor)

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor in self._reading:
            loop.remove_reader(descriptor)
        self._reading.clear()

    def _on_readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(descriptor)
            return
        self._pieces.append((self._channels[descriptor], data))
        self._buffered_bytes += len(data)
        if self._buffered_bytes >= _BUFFER_BYTES_MAX:
            self._pause()
        self._arrived.set()

    def _end(self, descriptor: int) -> None:
        if descriptor in self._reading:
            asyncio.get_running_loop().remove_reader(descriptor)
            self._reading.discard(descriptor)
        if self._channels.pop(descriptor, None) is not None:
            os.close(descriptor)
        self._arrived.set()


class InputWriter:
    """Writes one descriptor; owns it. One writer at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._waiter: asyncio.Future[None] | None = None
        os.set_blocking(descriptor, False)

    async def write(self, data: bytes) -> None:
        """Write everything, waiting while the other side is slow; a gone reader takes all."""
        view = memoryview(data)
        while view and self._descriptor is not None:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await self._writable(self._descriptor)
            except OSError:
                self.close()

    def close(self) -> None:
        """Close: the other side reads the end of its input."""
        if self._descriptor is None:
            return
        if self._waiter is not None:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            with contextlib.suppress(asyncio.InvalidStateError):
                self._waiter.set_result(None)
        os.close(self._descriptor)
        self._descriptor = None

    async def _writable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_writer(descriptor, self._wake)
        try:
            await self._waiter
        finally:
            if self._descriptor is not None:
                loop.remove_writer(descriptor)
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
