"""Stops containers at the same time, and faster when somebody loses patience.

Mirrors ``killContainersWithSyncResult``, ``killContainer`` and the way a pod worker of the kubelet
is interrupted by a deletion with a shorter grace period. The preStop hook, the wait for those that
must end before, and the stop signal share one grace period; whatever is left of it, the signal gets
two seconds. A hook that was interrupted is run again, within the shorter time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from netlab.clock import Clock
from netlab.kubelet.planning.steps import StopContainer
from netlab.runtime.cri import ContainerRuntime

MINIMUM_GRACE_S = 2.0

PreStop = Callable[[StopContainer], Coroutine[Any, Any, None]]


async def stop_containers(
    runtime: ContainerRuntime,
    clock: Clock,
    stops: Sequence[StopContainer],
    *,
    pre_stop: PreStop,
    shorter_grace: Callable[[float], Awaitable[float]],
) -> None:
    """Stop containers and return when all have ended.

    pre_stop: runs the container's hook, if it has one; cancelled when its time is over.
    shorter_grace(s): returns as soon as the pod shall end within less than ``s``, with that time.

    Raises: ExceptionGroup of the NetlabErrors met, after trying all.
    """
    limit_s = max(stop.grace_s for stop in stops)
    hooks_done: set[str] = set()
    while True:
        attempt = _Attempt(runtime, clock, pre_stop, hooks_done, stops, limit_s)
        stopping = asyncio.create_task(attempt.run())
        hurrying = asyncio.ensure_future(shorter_grace(limit_s))
        try:
            await asyncio.wait({stopping, hurrying}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return stopping.result()
            limit_s = hurrying.result()
        finally:
            for task in (stopping, hurrying):
                task.cancel()
            await asyncio.wait({stopping, hurrying})


class _Attempt:
    """Stopping all within ``limit_s``; cancelled when there is less time."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        clock: Clock,
        pre_stop: PreStop,
        hooks_done: set[str],
        stops: Sequence[StopContainer],
        limit_s: float,
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._pre_stop = pre_stop
        self._hooks_done = hooks_done
        self._stops = stops
        self._limit_s = limit_s
        self._ended = {stop.id: asyncio.Event() for stop in stops}

    async def run(self) -> None:
        results = await asyncio.gather(*map(self._stop, self._stops), return_exceptions=True)
        errors = [result for result in results if isinstance(result, Exception)]
        if errors:
            raise ExceptionGroup("stop containers", errors)

    async def _stop(self, stop: StopContainer) -> None:
        began_s = self._clock.monotonic_s()
        grace_s = min(stop.grace_s, self._limit_s)

        def left_s() -> float:
            return grace_s - math.floor(self._clock.monotonic_s() - began_s)

        try:
            if grace_s > 0 and stop.id not in self._hooks_done:
                await self._bounded(self._pre_stop(stop), left_s())
                self._hooks_done.add(stop.id)
            if stop.after and left_s() > 0:
                await self._bounded(self._turn(stop), left_s())
            await self._runtime.stop_container(
                stop.id, grace_period_s=max(left_s(), MINIMUM_GRACE_S)
            )
        finally:
            self._ended[stop.id].set()

    async def _turn(self, stop: StopContainer) -> None:
        """Wait until those that must end before have ended."""
        for container_id in stop.after:
            await self._ended[container_id].wait()

    async def _bounded(self, work: Coroutine[Any, Any, None], limit_s: float) -> None:
        """Do work for so long at most, then let go of it."""
        working = asyncio.ensure_future(work)
        timing = asyncio.ensure_future(self._clock.sleep(limit_s))
        try:
            await asyncio.wait({working, timing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, timing):
                task.cancel()
            await asyncio.wait({working, timing})
        if not working.cancelled():
            working.result()
