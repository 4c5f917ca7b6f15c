"""Time, as a constructor argument.

Everything that waits or stamps takes a ``Clock``, so that tests replace time instead of sleeping.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time, a steady time for durations, and sleep."""

    def now(self) -> datetime:
        """Return the time of day, in UTC, with microseconds."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go backwards."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds since some fixed point."""
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(duration_s)


class FakeClock:
    """A clock that stands still until ``advance``; sleepers wake in the order of their times."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the start time plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        """Return what was advanced, in seconds."""
        return self._elapsed_s

    async def sleep(self, duration_s: float) -> None:
        """Wait until ``advance`` has passed this moment."""
        if duration_s <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._elapsed_s + duration_s, waiter))
        await waiter

    async def advance(self, duration_s: float) -> None:
        """Move time on and let everything that became due run."""
        deadline = self._elapsed_s + duration_s
        while True:
            due = sorted(
                (entry for entry in self._sleepers if entry[0] <= deadline), key=lambda e: e[0]
            )
            if not due:
                break
            when, waiter = due[0]
            self._sleepers.remove(due[0])
            self._elapsed_s = max(self._elapsed_s, when)
            if not waiter.done():
                waiter.set_result(None)
            for _ in range(10):
                await asyncio.sleep(0)
        self._elapsed_s = deadline
        for _ in range(10):
            await asyncio.sleep(0)
