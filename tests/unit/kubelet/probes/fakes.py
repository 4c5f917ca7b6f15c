"""A node in memory for probes and hooks: a clock, a runtime whose commands end as told, events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from netlab.api.pods import Pod
from netlab.api.streams import STDERR, STDOUT
from netlab.clock import FakeClock
from netlab.errors import ContainerError
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

IDENTITY = PodIdentity("shop", "web", "uid-1")


class FakeProcess:
    """A command that has ended, or never does (code None)."""

    def __init__(self, code: int | None, output: list[tuple[int, bytes]]) -> None:
        self._code = code
        self._output = output
        self.closed = False

    async def read(self) -> tuple[int, bytes] | None:
        if self._output:
            return self._output.pop(0)
        if self._code is None:
            await asyncio.get_running_loop().create_future()
        return None

    async def wait(self) -> int:
        return self._code or 0

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """answer: by command, the exit code, with output; None hangs, an exception is raised.

    start_s: how long each command takes to start.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.start_s = 0.0
        self.answer: Callable[[tuple[str, ...]], Any] = lambda argv: 0
        self.commands: list[tuple[str, tuple[str, ...]]] = []
        self.processes: list[FakeProcess] = []

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> FakeProcess:
        self.commands.append((container_id, tuple(argv)))
        if self.start_s:
            await self._clock.sleep(self.start_s)
        answer = self.answer(tuple(argv))
        if isinstance(answer, ContainerError):
            raise answer
        code, out, err = answer if isinstance(answer, tuple) else (answer, b"", b"")
        output = [piece for piece in ((STDOUT, out), (STDERR, err)) if piece[1]]
        self.processes.append(FakeProcess(code, output))
        return self.processes[-1]


class FakeEvents:
    """Events as (reason, message, field path)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def record(
        self,
        kind: Any,
        obj: Any,
        event_type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
    ) -> None:
        assert event_type == "Warning"
        self.told.append((reason, message, field_path))


class FakeNode:
    """What probes and hooks use of NodeParts."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(self.clock)
        self.events = FakeEvents()
        self.config = SimpleNamespace(netns_path=None)
        self.probe_counts: dict[Any, int] = {}

    @property
    def parts(self) -> Any:
        return self


def make_pod(
    container: dict[str, Any], *, meta: Any = None, status: Any = None, **spec: Any
) -> Pod:
    return Pod.parse(
        {
            "metadata": {"name": "web", "namespace": "shop", "uid": "uid-1", **(meta or {})},
            "spec": {"containers": [{"name": "web", **container}], **spec},
            "status": status or {},
        }
    )


def running(now: datetime, name: str = "web", container_id: str = "c1") -> ContainerState:
    return ContainerState(
        id=container_id,
        sandbox_id="s1",
        pod=IDENTITY,
        name=name,
        attempt=0,
        image="web",
        image_id="",
        phase=ContainerPhase.RUNNING,
        pid=1,
        created_at=now,
        started_at=now,
    )
