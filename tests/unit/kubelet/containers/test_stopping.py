"""The order of ends, and containers that cannot be stopped."""

from __future__ import annotations

import asyncio

import pytest

from netlab.clock import FakeClock
from netlab.errors import ContainerError
from netlab.kubelet.containers.stopping import stop_containers
from netlab.kubelet.planning.steps import StopContainer


class Runtime:
    """Remembers who was stopped, with how much time; some refuse."""

    def __init__(self, clock: FakeClock, refuses: str = "", takes_s: float = 0) -> None:
        self.clock = clock
        self.refuses = refuses
        self.takes_s = takes_s
        self.stopped: list[tuple[str, float, float]] = []

    async def stop_container(self, container_id: str, *, grace_period_s: float) -> None:
        self.stopped.append((container_id, grace_period_s, self.clock.monotonic_s()))
        if container_id == self.refuses:
            raise ContainerError(f"{container_id}: no")
        if self.takes_s:
            await self.clock.sleep(self.takes_s)


async def never(_current_s: float) -> float:
    await asyncio.Event().wait()
    return 0.0


async def no_hook(_stop: StopContainer) -> None:
    return


def stop(name: str, *after: str, grace_s: float = 30) -> StopContainer:
    return StopContainer(name, name, grace_s, "", after)


async def test_one_that_cannot_be_stopped_keeps_nobody_waiting() -> None:
    runtime = Runtime(FakeClock(), refuses="main")
    with pytest.raises(ExceptionGroup) as group:
        await stop_containers(
            runtime,
            runtime.clock,
            [stop("side", "main"), stop("main")],
            pre_stop=no_hook,
            shorter_grace=never,
        )
    assert [str(e) for e in group.value.exceptions] == ["main: no"]
    assert [name for name, _, _ in runtime.stopped] == ["main", "side"]


async def test_the_grace_period_is_one_for_all() -> None:
    runtime = Runtime(FakeClock(), takes_s=3)
    stops = [stop("s1", "main", "s2", grace_s=10), stop("s2", "main", grace_s=10)]
    task = asyncio.create_task(
        stop_containers(
            runtime,
            runtime.clock,
            [*stops, stop("main", grace_s=10)],
            pre_stop=no_hook,
            shorter_grace=never,
        )
    )
    for _ in range(15):
        await runtime.clock.advance(1)
    assert task.done()
    await task
    began_s = runtime.stopped[0][2]
    assert [(n, grace_s, at_s - began_s) for n, grace_s, at_s in runtime.stopped] == [
        ("main", 10, 0),
        ("s2", 7, 3),
        ("s1", 4, 6),
    ]
