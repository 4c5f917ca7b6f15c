"""A work queue of keys: each key at most once, never worked on twice at a time.

Mirrors client-go's ``workqueue`` with its rate limiter: a key added while it is being worked on
comes back when that work is done; a failed key comes back after 5 ms, 10 ms, … 1000 s. Keys are
few (one per object), so the queue is bounded by the number of objects.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from netlab.clock import Clock

K = TypeVar("K", bound=Hashable)

BASE_DELAY_S = 0.005
MAX_DELAY_S = 1000.0


class WorkQueue(Generic[K]):
    """Keys waiting for a worker. ``get`` hands one out, ``done`` gives it back.

    longest_s: the longest delay after failures.
    """

    def __init__(self, clock: Clock, *, longest_s: float = MAX_DELAY_S) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._waiting: OrderedDict[K, None] = OrderedDict()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, tuple[float, asyncio.Task[None]]] = {}
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Ask for work on ``key``."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            self._wakeup.set()

    def add_after(self, key: K, delay_s: float) -> None:
        """Ask for work on ``key`` later; the earliest of several requests wins."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic_s() + delay_s
        pending = self._timers.get(key)
        if pending is not None:
            if pending[0] <= due:
                return
            pending[1].cancel()
        self._timers[key] = (due, asyncio.create_task(self._add_later(key, delay_s)))

    async def _add_later(self, key: K, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._timers.pop(key, None)
        self.add(key)

    def retry(self, key: K) -> float:
        """Ask for ``key`` again after a delay that doubles with each failure; return it in s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(BASE_DELAY_S * 2.0 ** min(failures, 30), self._longest_s)
        self.add_after(key, delay_s)
        return delay_s

    def forget(self, key: K) -> None:
        """Forget the failures of ``key``: its work succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it; call ``done`` with it afterwards."""
        while not self._waiting:
            self._wakeup.clear()
            await self._wakeup.wait()
        key, _ = self._waiting.popitem(last=False)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Give ``key`` back; it is queued again if it was added meanwhile."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Drop everything that is due later."""
        for _, task in self._timers.values():
            task.cancel()
        self._timers.clear()
