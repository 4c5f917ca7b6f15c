"""Who has ended: one pidfd per supervised process, watched by the event loop.

For a container the process is its conmon, which ends after it has written the exit file, so that
a container that is reported can be read at once; for a sandbox it is pause itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

from netlab.runtime.process import has_ended, reap


class ExitWatcher:
    """Watches pidfds by id. Level-triggered: a new reader of ``exits`` first sees every id that
    has ended and was not forgotten. Owns the pidfds; used from one event loop.
    """

    def __init__(self) -> None:
        self._watched: dict[str, int] = {}
        self._ended: set[str] = set()
        self._on_end: dict[str, Callable[[], None]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        # One set per reader: an id waits in it at most once, so it is bounded by the containers.
        self._readers: list[tuple[set[str], asyncio.Event]] = []

    def watch(self, key: str, pidfd: int, on_end: Callable[[], None]) -> None:
        """Take over a pidfd; on_end is called once, before anyone hears of the end."""
        self._watched[key] = pidfd
        self._on_end[key] = on_end
        if has_ended(pidfd):
            self._end(key)
        else:
            asyncio.get_running_loop().add_reader(pidfd, self._end, key)

    def is_running(self, key: str) -> bool:
        """True while a watched process has not ended."""
        return key in self._watched

    def report(self, key: str) -> None:
        """Say that an id has ended that had no process to watch."""
        self._ended.add(key)
        for pending, event in self._readers:
            pending.add(key)
            event.set()
        for waiter in self._waiters.pop(key, []):
            if not waiter.done():
                waiter.set_result(None)

    def forget(self, key: str) -> None:
        """Stop watching an id that was removed."""
        self._release(key)
        self._ended.discard(key)
        for pending, _event in self._readers:
            pending.discard(key)
        for waiter in self._waiters.pop(key, []):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Return True as soon as a watched process has ended, False after timeout_s."""
        if not self.is_running(key):
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, []).append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        return True

    async def exits(self) -> AsyncIterator[str]:
        """Yield ids whose processes ended, soon after they did."""
        pending, event = set(self._ended), asyncio.Event()
        reader = (pending, event)
        self._readers.append(reader)
        try:
            while True:
                while pending:
                    yield pending.pop()
                event.clear()
                await event.wait()
        finally:
            self._readers.remove(reader)

    def close(self) -> None:
        """Stop watching; the processes run on."""
        for key in list(self._watched):
            self._release(key)

    def _end(self, key: str) -> None:
        on_end = self._on_end.get(key)
        self._release(key, ended=True)
        if on_end is not None:
            on_end()
        self.report(key)

    def _release(self, key: str, *, ended: bool = False) -> None:
        self._on_end.pop(key, None)
        pidfd = self._watched.pop(key, None)
        if pidfd is None:
            return
        asyncio.get_running_loop().remove_reader(pidfd)
        if ended:
            reap(pidfd)
        os.close(pidfd)
