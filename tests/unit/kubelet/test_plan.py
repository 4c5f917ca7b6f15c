"""What the planner decides, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netlab.api.core import Pod
from netlab.kubelet.backoff import BackOff, format_delay, next_back_off, remaining_s
from netlab.kubelet.plan import plan_pod, restarts
from netlab.kubelet.steps import (
    CREATING,
    CreateSandbox,
    Failure,
    FinishDeletion,
    Memory,
    Observed,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    RepairNetwork,
    Report,
    StartContainer,
    StopContainer,
    Teardown,
    Waiting,
)
from netlab.runtime.cri import (
    ContainerPhase,
    ContainerState,
    PodIdentity,
    SandboxConfig,
    SandboxStatus,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDENTITY = PodIdentity("default", "web", "u1")


def make_pod(metadata: dict[str, Any] | None = None, **spec: Any) -> Pod:
    status = spec.pop("status", {})
    spec.setdefault("containers", [{"name": "main", "image": "busybox"}])
    meta = {"name": "web", "namespace": "default", "uid": "u1", **(metadata or {})}
    return Pod.parse({"metadata": meta, "spec": spec, "status": status})


def sandbox(attempt: int = 0, phase: ContainerPhase = ContainerPhase.RUNNING) -> SandboxStatus:
    config = SandboxConfig(IDENTITY, attempt, "web", Path("/run/netns/x"))
    return SandboxStatus(f"s{attempt}", config, phase, 1, NOW)


def container(
    attempt: int = 0,
    phase: ContainerPhase = ContainerPhase.RUNNING,
    *,
    code: int = 0,
    ended: datetime | None = None,
    image: str = "busybox",
) -> ContainerState:
    return ContainerState(
        id=f"c{attempt}",
        sandbox_id="s0",
        pod=IDENTITY,
        name="main",
        attempt=attempt,
        image=image,
        image_id="sha256:1",
        phase=phase,
        pid=1,
        created_at=NOW - timedelta(hours=1),
        finished_at=ended,
        exit_code=code,
    )


def ended(attempt: int = 0, code: int = 1, ago_s: float = 0) -> ContainerState:
    at = NOW - timedelta(seconds=ago_s)
    return container(attempt, ContainerPhase.EXITED, code=code, ended=at)


READY = Memory(volumes_ready=True)
DELETED = {"deletionTimestamp": "2026-01-01T12:00:30Z", "deletionGracePeriodSeconds": 7}
SOON = NOW + timedelta(seconds=8)

ROWS: dict[str, tuple[Pod | None, Observed, Memory, list[Any]]] = {
    "new pod": (make_pod(), Observed(), Memory(), [CreateSandbox(0, with_volumes=True)]),
    "sandbox without container": (
        make_pod(),
        Observed((sandbox(),)),
        READY,
        [(StartContainer, "main", 0)],
    ),
    "adopted sandbox writes volumes before a start": (
        make_pod(),
        Observed((sandbox(),)),
        Memory(),
        [PrepareVolumes(), (StartContainer, "main", 0)],
    ),
    "running": (make_pod(), Observed((sandbox(),), (container(),)), Memory(), []),
    "created but never started": (
        make_pod(),
        Observed((sandbox(),), (container(2, ContainerPhase.CREATED),)),
        READY,
        [RemoveContainer("c2", "main"), (StartContainer, "main", 2)],
    ),
    "crashed": (
        make_pod(),
        Observed((sandbox(),), (ended(),)),
        READY,
        [(StartContainer, "main", 1)],
    ),
    "crashed within its back-off": (
        make_pod(),
        Observed((sandbox(),), (ended(),)),
        replace(READY, crashes={"main": BackOff(10, NOW)}),
        [],
    ),
    "completed, policy Never": (
        make_pod(restartPolicy="Never"),
        Observed((sandbox(),), (ended(code=0),)),
        READY,
        [RemoveSandbox(sandbox(), changed=False)],
    ),
    "completed and cleaned": (
        make_pod(restartPolicy="Never"),
        Observed((), (ended(code=0),)),
        READY,
        [],
    ),
    "pause killed, container alive": (
        make_pod(),
        Observed((sandbox(phase=ContainerPhase.EXITED),), (container(),)),
        READY,
        [StopContainer("c0", "main", 30, "Stopping container main")],
    ),
    "pause killed, container ended": (
        make_pod(),
        Observed((sandbox(phase=ContainerPhase.EXITED),), (ended(code=137),)),
        READY,
        [RemoveSandbox(sandbox(phase=ContainerPhase.EXITED), changed=True)],
    ),
    "dead sandbox removed, pod goes on": (
        make_pod(),
        Observed((), (ended(code=137),)),
        replace(READY, sandbox_attempt=0),
        [CreateSandbox(1, with_volumes=False)],
    ),
    "pause killed, policy Never, container ended": (
        make_pod(restartPolicy="Never"),
        Observed((sandbox(phase=ContainerPhase.EXITED),), (ended(code=137),)),
        READY,
        [RemoveSandbox(sandbox(phase=ContainerPhase.EXITED), changed=False)],
    ),
    "sandbox failed a moment ago": (
        make_pod(),
        Observed(),
        Memory(pod_failure=Failure(CREATING, NOW, SOON)),
        [],
    ),
    "volume failed a moment ago": (
        make_pod(),
        Observed((sandbox(),)),
        Memory(pod_failure=Failure(CREATING, NOW, SOON)),
        [],
    ),
    "image changed": (
        make_pod(),
        Observed((sandbox(),), (container(image="old"),)),
        READY,
        [
            StopContainer("c0", "main", 30, "Container main definition changed, will be restarted"),
            (StartContainer, "main", 1),
        ],
    ),
    "old containers are removed but the last two": (
        make_pod(),
        Observed((sandbox(),), (ended(0), ended(1), container(2))),
        READY,
        [RemoveContainer("c0", "main")],
    ),
    "broken network": (
        make_pod(),
        Observed((sandbox(),), (container(),)),
        Memory(network_faults=("no eth0",)),
        [RepairNetwork(("no eth0",))],
    ),
    "deleted, running": (
        make_pod(DELETED),
        Observed((sandbox(),), (container(),)),
        READY,
        [StopContainer("c0", "main", 7, "Stopping container main")],
    ),
    "deleted, ended": (
        make_pod(DELETED),
        Observed((sandbox(),), (ended(),)),
        READY,
        [Report(), Teardown(), FinishDeletion()],
    ),
    "deleted before a created container was started": (
        make_pod(DELETED),
        Observed((sandbox(),), (container(0, ContainerPhase.CREATED),)),
        READY,
        [Report(), Teardown(), FinishDeletion()],
    ),
    "deleted, cleaned": (make_pod(DELETED), Observed(cleaned=True), READY, [FinishDeletion()]),
    "deleted, held by a finalizer": (
        make_pod(DELETED),
        Observed(cleaned=True),
        Memory(deletion_sent=True),
        [],
    ),
    "gone, running": (
        None,
        Observed((sandbox(),), (container(),)),
        READY,
        [StopContainer("c0", "main", 1, "Stopping container main")],
    ),
    "gone, ended": (None, Observed((sandbox(),), (ended(),)), READY, [Teardown()]),
    "ended for good, still running here": (
        make_pod(status={"phase": "Failed"}),
        Observed((sandbox(),), (container(),)),
        READY,
        [StopContainer("c0", "main", 30, "Stopping container main")],
    ),
    "ended for good": (make_pod(status={"phase": "Succeeded"}), Observed(), READY, []),
}


def brief(step: Any) -> Any:
    if isinstance(step, StartContainer):
        return (StartContainer, step.container.name, step.attempt)
    return step


@pytest.mark.parametrize("name", ROWS)
def test_steps(name: str) -> None:
    pod, observed, memory, expected = ROWS[name]
    plan = plan_pod(pod, observed, memory, NOW)
    assert [brief(step) for step in plan.steps] == expected


def test_nothing_left_of_a_pod_that_is_gone_is_done() -> None:
    assert plan_pod(None, Observed(cleaned=True), READY, NOW).done


def test_back_off_is_shown_and_rechecked_when_it_ends() -> None:
    memory = replace(READY, crashes={"main": BackOff(40, NOW)})
    plan = plan_pod(make_pod(), Observed((sandbox(),), (ended(ago_s=15),)), memory, NOW)
    text = "back-off 40s restarting failed container=main pod=web_default(u1)"
    assert plan.waiting == {"main": Waiting("CrashLoopBackOff", text)}
    assert plan.recheck_at == NOW + timedelta(seconds=25)


def test_how_a_container_ended_is_shown_before_the_back_off() -> None:
    memory = replace(READY, crashes={"main": BackOff(10, NOW)})
    shown = {}
    for seconds in (0, 4, 5, 9, 10):
        observed = Observed((sandbox(),), (ended(ago_s=seconds),))
        plan = plan_pod(make_pod(), observed, memory, NOW)
        left_s = plan.recheck_at and (plan.recheck_at - NOW).total_seconds()
        shown[seconds] = ("main" in plan.waiting, len(plan.steps), left_s)
    assert shown == {
        0: (False, 0, 5.0),
        4: (False, 0, 1.0),
        5: (True, 0, 5.0),
        9: (True, 0, 1.0),
        10: (True, 1, None),
    }


def test_a_long_run_forgets_earlier_crashes() -> None:
    memory = replace(READY, crashes={"main": BackOff(300, NOW - timedelta(minutes=11))})
    plan = plan_pod(make_pod(), Observed((sandbox(),), (ended(),)), memory, NOW)
    (start,) = plan.steps
    assert isinstance(start, StartContainer)
    assert start.back_off == BackOff(10, NOW)


def test_a_failure_shows_its_reason_then_the_wait() -> None:
    failure = Failure(
        Waiting("ErrImagePull"), NOW, NOW + timedelta(seconds=10), Waiting("ImagePullBackOff")
    )
    memory = replace(READY, failures={"main": failure})
    observed = Observed((sandbox(),))
    shown = {}
    for seconds in (0, 4, 5, 9, 10):
        plan = plan_pod(make_pod(), observed, memory, NOW + timedelta(seconds=seconds))
        shown[seconds] = (plan.waiting["main"].reason, bool(plan.steps))
    assert shown == {
        0: ("ErrImagePull", False),
        4: ("ErrImagePull", False),
        5: ("ImagePullBackOff", False),
        9: ("ImagePullBackOff", False),
        10: ("ImagePullBackOff", True),
    }


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_restarts(policy: str, code: int, expected: bool) -> None:
    assert restarts(policy, code) is expected


def test_back_off_doubles_up_to_five_minutes() -> None:
    entry, delays = None, []
    for _ in range(7):
        entry = next_back_off(entry, NOW, NOW)
        delays.append(entry.delay_s)
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert remaining_s(entry, NOW - timedelta(seconds=100), NOW) == 200


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_delays_are_written_as_go_does(seconds: float, text: str) -> None:
    assert format_delay(seconds) == text
