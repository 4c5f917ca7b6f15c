"""Stops containers at the same time, and faster when somebody loses patience.

Mirrors ``killContainersWithSyncResult`` and the way a pod worker of the kubelet is interrupted by a
deletion with a shorter grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from netlab.kubelet.steps import StopContainer
from netlab.runtime.cri import ContainerRuntime


async def stop_containers(
    runtime: ContainerRuntime,
    stops: Sequence[StopContainer],
    shorter_grace: Callable[[float], Awaitable[float]],
) -> None:
    """Stop containers and return when all have ended.

    shorter_grace(s): returns as soon as the pod shall end within less than ``s``, with that time.

    Raises: ExceptionGroup of the NetlabErrors met, after trying all.
    """
    limit_s = max(stop.grace_s for stop in stops)
    while True:
        stopping = asyncio.create_task(_stop_all(runtime, stops, limit_s))
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


async def _stop_all(
    runtime: ContainerRuntime, stops: Sequence[StopContainer], limit_s: float
) -> None:
    results = await asyncio.gather(
        *(
            runtime.stop_container(stop.id, grace_period_s=min(stop.grace_s, limit_s))
            for stop in stops
        ),
        return_exceptions=True,
    )
    errors = [result for result in results if isinstance(result, Exception)]
    if errors:
        raise ExceptionGroup("stop containers", errors)
