"""When probes run, and what becomes of their results."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.errors import ContainerError
from netlab.kubelet.planning.steps import Observed, ProbeVerdict
from netlab.kubelet.probes.prober import PodProbes
from netlab.runtime.cri import ContainerPhase, ContainerState
from netlab.timestamps import rfc3339
from tests.unit.kubelet.probes.fakes import IDENTITY, FakeNode, make_pod, running


@dataclass
class Probing:
    """One pod with probes on a fake node."""

    node: FakeNode = field(default_factory=FakeNode)
    changes: int = 0
    probes: PodProbes = field(init=False)

    def __post_init__(self) -> None:
        self.probes = PodProbes(self.node.parts, IDENTITY, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def start(self, pod: Pod, **states: ContainerState) -> None:
        found = states or {"web": running(self.node.clock.now())}
        self.probes.update(pod, Observed(containers=tuple(found.values())), "10.244.0.5")

    async def after(self, seconds: float) -> list[str]:
        """Commands run in the next seconds."""
        before = len(self.node.runtime.commands)
        await self.node.clock.advance(0)  # tasks that were just made go to sleep first
        await self.node.clock.advance(seconds)
        return [argv[0] for _, argv in self.node.runtime.commands[before:]]

    @property
    def verdict(self) -> ProbeVerdict:
        return self.probes.verdicts()["c1"]


@pytest.fixture
async def probing() -> AsyncIterator[Probing]:
    made = Probing()
    yield made
    await made.probes.close()


def command(name: str, **fields: Any) -> dict[str, Any]:
    return {"exec": {"command": [name]}, **fields}


READY = {"readinessProbe": command("ready", periodSeconds=5)}
ALIVE = {"livenessProbe": command("alive", periodSeconds=10, failureThreshold=2)}
STARTED = {"startupProbe": command("started", periodSeconds=2, failureThreshold=3)}


async def test_readiness_is_asked_at_once_and_then_every_period(probing: Probing) -> None:
    probing.start(make_pod(READY))
    assert probing.verdict == ProbeVerdict(started=True, ready=False)
    assert await probing.after(0) == ["ready"]
    assert probing.verdict == ProbeVerdict(started=True, ready=True)
    assert probing.changes == 1
    assert await probing.after(4.9) == []
    assert await probing.after(0.1) == ["ready"]
    assert probing.changes == 1


async def test_the_period_counts_from_the_beginning_of_an_attempt(probing: Probing) -> None:
    probing.node.runtime.start_s = 3
    probing.start(make_pod(READY))
    assert await probing.after(4.9) == ["ready"]
    assert await probing.after(0.1) == ["ready"]
    probing.node.runtime.start_s = 7
    await probing.after(5)  # one that takes longer than the period
    assert await probing.after(6.9) == []
    assert await probing.after(0.1) == ["ready"]


async def test_a_container_that_ends_during_an_attempt_is_forgotten(probing: Probing) -> None:
    probing.node.runtime.start_s = 3
    pod = make_pod(READY)
    probing.start(pod)
    await probing.after(1)
    probing.start(pod, web=running(probing.node.clock.now(), container_id="c2"))
    await probing.after(2)
    assert probing.probes.verdicts() == {"c2": ProbeVerdict(started=True, ready=False)}
    assert probing.changes == 0


async def test_initial_delay_counts_from_the_start_of_the_container(probing: Probing) -> None:
    pod = make_pod({"readinessProbe": command("ready", initialDelaySeconds=3)})
    state = running(probing.node.clock.now())
    await probing.node.clock.advance(1)
    probing.start(pod, web=state)
    assert await probing.after(1.9) == []
    assert await probing.after(0.1) == ["ready"]


async def test_the_others_wait_for_startup(probing: Probing) -> None:
    answers = iter([1, 1, 0])
    probing.node.runtime.answer = lambda argv: next(answers) if argv == ("started",) else 0
    probing.start(make_pod(STARTED | READY | ALIVE))
    assert await probing.after(3.9) == ["started", "started"]
    assert probing.verdict == ProbeVerdict(started=False, ready=False)
    assert sorted(await probing.after(0.1)) == ["alive", "ready", "started"]
    assert probing.verdict == ProbeVerdict(started=True, ready=True)
    assert "started" not in await probing.after(20)


async def test_a_failing_startup_probe_ends_the_container(probing: Probing) -> None:
    probing.node.runtime.answer = lambda _: (1, b"not yet", b"")
    probing.start(make_pod(STARTED))
    await probing.after(4)
    assert probing.verdict.unhealthy == "Container web failed startup probe, will be restarted"
    assert await probing.after(60) == []
    assert (
        probing.node.events.told
        == [("Unhealthy", "Startup probe failed: not yet", "spec.containers{web}")] * 3
    )


async def test_liveness_fails_for_good_and_begins_anew_with_the_next_container(
    probing: Probing,
) -> None:
    probing.node.runtime.answer = lambda _: 1
    probing.start(make_pod(ALIVE))
    await probing.after(10)
    assert probing.verdict == ProbeVerdict(
        True, True, "Container web failed liveness probe, will be restarted"
    )
    assert await probing.after(60) == []
    probing.start(make_pod(ALIVE), web=running(probing.node.clock.now(), container_id="c2"))
    assert probing.probes.verdicts() == {"c2": ProbeVerdict(started=True, ready=True)}
    assert await probing.after(0) == ["alive"]


async def test_readiness_comes_and_goes(probing: Probing) -> None:
    probing.start(make_pod(READY))
    await probing.after(0)
    probing.node.runtime.answer = lambda _: 1
    await probing.after(14.9)
    assert probing.verdict.ready
    await probing.after(0.1)
    assert not probing.verdict.ready
    probing.node.runtime.answer = lambda _: 0
    await probing.after(5)
    assert probing.verdict.ready
    assert probing.changes == 3


async def test_an_ended_container_is_not_probed(probing: Probing) -> None:
    pod = make_pod(READY)
    probing.start(pod)
    await probing.after(0)
    ended = replace(running(probing.node.clock.now()), phase=ContainerPhase.EXITED)
    probing.start(pod, web=ended)
    assert probing.probes.verdicts() == {}
    assert await probing.after(60) == []


async def test_deletion_ends_all_but_readiness(probing: Probing) -> None:
    probing.node.runtime.answer = lambda argv: int(argv != ("ready",))
    probing.start(make_pod(STARTED | READY | ALIVE))
    await probing.after(0)
    deleted = {"deletionTimestamp": rfc3339(probing.node.clock.now())}
    probing.start(make_pod(STARTED | READY | ALIVE, meta=deleted))
    assert set(await probing.after(30)) == {"ready"}
    assert probing.verdict == ProbeVerdict(started=True, ready=True)


async def test_a_new_agent_keeps_what_was_reported_and_asks_within_a_period(
    probing: Probing,
) -> None:
    status = {
        "containerStatuses": [
            {"name": "web", "containerID": "netlab://c1", "ready": True, "started": True}
        ]
    }
    probing.node.runtime.answer = lambda _: 1
    probing.start(make_pod(STARTED | READY, status=status))
    assert probing.verdict == ProbeVerdict(started=True, ready=True)
    assert await probing.after(0) == []
    assert await probing.after(5) == ["ready"]
    assert probing.verdict.ready


async def test_what_cannot_be_asked_is_tried_thrice_and_thrown_away(probing: Probing) -> None:
    probing.node.runtime.answer = lambda _: ContainerError("container c1: not running")
    probing.start(make_pod(ALIVE))
    assert await probing.after(30) == ["alive"] * 12
    assert probing.verdict == ProbeVerdict(started=True, ready=True)
    assert probing.node.events.told[0] == (
        "Unhealthy",
        "Liveness probe errored and resulted in unknown state: container c1: not running",
        "spec.containers{web}",
    )
    assert len(probing.node.events.told) == 4


async def test_sidecars_are_probed_and_told_as_init_containers(probing: Probing) -> None:
    probing.node.runtime.answer = lambda _: 1
    sidecar = {"name": "side", "restartPolicy": "Always", **READY}
    state = running(probing.node.clock.now(), "side")
    probing.start(make_pod({}, initContainers=[sidecar]), side=state)
    await probing.after(0)
    assert probing.node.events.told == [
        ("Unhealthy", "Readiness probe failed: ", "spec.initContainers{side}")
    ]


async def test_a_named_port_that_does_not_exist_is_told(probing: Probing) -> None:
    probing.start(make_pod({"readinessProbe": {"tcpSocket": {"port": "http"}}}))
    await probing.after(0)
    assert probing.node.events.told[0][1].endswith('parsing "http": invalid syntax')


async def test_a_fault_in_a_probe_does_not_end_it(
    probing: Probing, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> int:
        raise RuntimeError("surprise")

    probing.node.runtime.answer = fail
    probing.start(make_pod(READY))
    await probing.after(5)
    assert len(probing.node.runtime.commands) == 2
    assert "surprise" in caplog.text


async def test_close_ends_everything_and_can_be_repeated() -> None:
    probing = Probing()
    probing.node.runtime.answer = lambda _: None
    probing.start(make_pod(READY | ALIVE))
    await probing.after(0)
    await probing.probes.close()
    await probing.probes.close()
    assert probing.probes.verdicts() == {}
    assert all(process.closed for process in probing.node.runtime.processes)
