"""What the planner decides, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.kubelet.planning.backoff import BackOff, format_delay, next_back_off, remaining_s
from netlab.kubelet.planning.plan import PAST_DEADLINE, plan_pod
from netlab.kubelet.planning.steps import (
    CREATING,
    CreateSandbox,
    Failure,
    FinishDeletion,
    Memory,
    Observed,
    Plan,
    PodFailure,
    PrepareVolumes,
    ProbeVerdict,
    RemoveContainer,
    RemoveSandbox,
    RepairNetwork,
    Report,
    ResizeContainer,
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
    name: str = "main",
    sandbox_id: str = "s0",
) -> ContainerState:
    return ContainerState(
        id=f"c{attempt}" if name == "main" else f"{name}{attempt}",
        sandbox_id=sandbox_id,
        pod=IDENTITY,
        name=name,
        attempt=attempt,
        image=image,
        image_id="sha256:1",
        phase=phase,
        pid=1,
        created_at=NOW - timedelta(hours=1),
        finished_at=ended,
        exit_code=code,
    )


def ended(
    attempt: int = 0, code: int = 1, ago_s: float = 0, name: str = "main", sandbox_id: str = "s0"
) -> ContainerState:
    at = NOW - timedelta(seconds=ago_s)
    phase = ContainerPhase.EXITED
    return container(attempt, phase, code=code, ended=at, name=name, sandbox_id=sandbox_id)


def on(name: str) -> ContainerState:
    return container(name=name)


def init_pod(*init: dict[str, Any], **spec: Any) -> Pod:
    return make_pod(initContainers=[{"image": "busybox", **c} for c in init], **spec)


ONE, TWO = {"name": "one"}, {"name": "two"}
SIDE, SIDE2 = ({"name": name, "restartPolicy": "Always"} for name in ("side", "side2"))


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


def stop(name: str, grace_s: float = 30, message: str = "", after: tuple[str, ...] = ()) -> Any:
    container_id = "c0" if name == "main" else f"{name}0"
    return StopContainer(
        container_id, name, grace_s, message or f"Stopping container {name}", after
    )


def start(name: str, attempt: int = 0) -> Any:
    return (StartContainer, name, attempt)


def look(*containers: ContainerState, **verdicts: ProbeVerdict) -> Observed:
    return Observed((sandbox(),), containers, verdicts=verdicts)


UNSTARTED = ProbeVerdict(started=False, ready=False)
SICK = ProbeVerdict(
    started=True, ready=True, unhealthy="Container main failed liveness probe, will be restarted"
)
TWO_MAINS = [{"name": "main", "image": "busybox"}, {"name": "other", "image": "busybox"}]

INIT_ROWS: dict[str, tuple[Pod, Observed, list[Any]]] = {
    "the first init container": (init_pod(ONE, TWO), look(), [start("one")]),
    "it runs": (init_pod(ONE, TWO), look(on("one")), []),
    "it succeeded": (init_pod(ONE, TWO), look(ended(code=0, name="one")), [start("two")]),
    "all succeeded": (
        init_pod(ONE, TWO),
        look(ended(code=0, name="one"), ended(code=0, name="two")),
        [start("main")],
    ),
    "traces of the first are gone": (
        init_pod(ONE, TWO),
        look(ended(code=0, name="two")),
        [start("main")],
    ),
    "it failed and is started again": (
        init_pod(ONE),
        look(ended(code=1, name="one")),
        [start("one", 1)],
    ),
    "it failed, policy OnFailure": (
        init_pod(ONE, restartPolicy="OnFailure"),
        look(ended(code=1, name="one")),
        [start("one", 1)],
    ),
    "it failed, policy Never": (
        init_pod(ONE, restartPolicy="Never"),
        look(ended(code=1, name="one")),
        [RemoveSandbox(sandbox(), changed=False)],
    ),
    "it failed beside a sidecar, policy Never": (
        init_pod(SIDE, ONE, restartPolicy="Never"),
        look(on("side"), ended(code=1, name="one")),
        [stop("side")],
    ),
    "it failed, its own policy OnFailure, the pod's Never": (
        init_pod({**ONE, "restartPolicy": "OnFailure"}, restartPolicy="Never"),
        look(ended(code=1, name="one")),
        [start("one", 1)],
    ),
    "created but never started": (
        init_pod(ONE),
        look(container(0, ContainerPhase.CREATED, name="one")),
        [RemoveContainer("one0", "one"), start("one")],
    ),
    "main runs: init containers are history": (
        init_pod(ONE, SIDE),
        look(on("main"), on("side")),
        [],
    ),
    "main has ended within this sandbox: no second initialization": (
        init_pod(ONE),
        look(ended(code=0, name="one"), ended(code=1)),
        [start("main", 1)],
    ),
    "a sidecar is started": (init_pod(SIDE, ONE), look(), [start("side")]),
    "a sidecar has started: the next one begins": (
        init_pod(SIDE, ONE),
        look(on("side")),
        [start("one")],
    ),
    "a sidecar waits for its startup probe": (
        init_pod(SIDE, ONE),
        look(on("side"), side0=UNSTARTED),
        [],
    ),
    "the last sidecar has started: main begins": (
        init_pod(ONE, SIDE),
        look(ended(code=0, name="one"), on("side")),
        [start("main")],
    ),
    "a sidecar crashed while a later one works": (
        init_pod(SIDE, ONE),
        look(ended(name="side"), on("one")),
        [start("side", 1)],
    ),
    "a sidecar ended well, policy Never": (
        init_pod(SIDE, restartPolicy="Never"),
        look(ended(code=0, name="side"), on("main")),
        [start("side", 1)],
    ),
    "main is done: sidecars are stopped in reverse order": (
        init_pod(SIDE, SIDE2, restartPolicy="Never"),
        look(on("side"), on("side2"), ended(code=0)),
        [stop("side", after=("side20",)), stop("side2")],
    ),
    "main is done, sidecars too": (
        init_pod(SIDE, restartPolicy="Never"),
        look(ended(code=137, name="side"), ended(code=0)),
        [RemoveSandbox(sandbox(), changed=False)],
    ),
    "a sick sidecar": (
        init_pod(SIDE),
        look(
            on("side"),
            on("main"),
            side0=replace(SICK, unhealthy="Init container side failed liveness probe"),
        ),
        [stop("side", message="Init container side failed liveness probe"), start("side", 1)],
    ),
    "a new sandbox: from the beginning": (
        init_pod(ONE, status={"phase": "Running"}),
        look(ended(code=0, name="one", sandbox_id="old"), ended(code=137, sandbox_id="old")),
        [start("one")],
    ),
    "pause killed: initialization begins anew": (
        init_pod(ONE),
        Observed(
            (sandbox(phase=ContainerPhase.EXITED),), (ended(code=0, name="one"), ended(code=137))
        ),
        [RemoveSandbox(sandbox(phase=ContainerPhase.EXITED), changed=True)],
    ),
    "pause killed, policy Never": (
        init_pod(ONE, restartPolicy="Never"),
        Observed(
            (sandbox(phase=ContainerPhase.EXITED),), (ended(code=0, name="one"), ended(code=137))
        ),
        [RemoveSandbox(sandbox(phase=ContainerPhase.EXITED), changed=False)],
    ),
}


@pytest.mark.parametrize("name", INIT_ROWS)
def test_initialization(name: str) -> None:
    pod, observed, expected = INIT_ROWS[name]
    plan = plan_pod(pod, observed, READY, NOW)
    assert [brief(step) for step in plan.steps] == expected


def test_a_failing_init_container_backs_off() -> None:
    memory = replace(READY, crashes={"one": BackOff(20, NOW)})
    plan = plan_pod(init_pod(ONE), look(ended(ago_s=6, name="one")), memory, NOW)
    assert not plan.steps
    assert plan.waiting["one"].reason == "CrashLoopBackOff"
    assert plan.recheck_at == NOW + timedelta(seconds=14)


LIFE_ROWS: dict[str, tuple[Pod | None, Observed, list[Any]]] = {
    "sick, restarted": (
        make_pod(),
        look(on("main"), c0=SICK),
        [stop("main", message=SICK.unhealthy), start("main", 1)],
    ),
    "sick, the probe's own grace": (
        make_pod(),
        look(on("main"), c0=replace(SICK, grace_s=3)),
        [stop("main", 3, SICK.unhealthy), start("main", 1)],
    ),
    "sick, policy Never": (
        make_pod(restartPolicy="Never"),
        look(on("main"), c0=SICK),
        [stop("main", message="Container main failed liveness probe")],
    ),
    "sick, its own policy OnFailure": (
        make_pod(
            restartPolicy="Never",
            containers=[{"name": "main", "image": "busybox", "restartPolicy": "OnFailure"}],
        ),
        look(on("main"), c0=SICK),
        [stop("main", message=SICK.unhealthy), start("main", 1)],
    ),
    "unready or unstarted is no reason to stop": (
        make_pod(),
        look(on("main"), c0=UNSTARTED),
        [],
    ),
    "an ephemeral container appears": (
        make_pod(ephemeralContainers=[{"name": "debug", "image": "busybox"}]),
        look(on("main")),
        [start("debug")],
    ),
    "an ephemeral container has ended": (
        make_pod(ephemeralContainers=[{"name": "debug", "image": "busybox"}]),
        look(on("main"), ended(name="debug")),
        [],
    ),
    "an ephemeral container does not hold a pod that is done": (
        make_pod(
            restartPolicy="Never", ephemeralContainers=[{"name": "debug", "image": "busybox"}]
        ),
        look(ended(code=0), on("debug")),
        [stop("debug")],
    ),
    "deleted: sidecars after the others": (
        make_pod(DELETED, initContainers=[{**SIDE, "image": "b"}], containers=TWO_MAINS),
        look(on("side"), on("main"), on("other")),
        [stop("side", 7, after=("c0", "other0")), stop("main", 7), stop("other", 7)],
    ),
    "other amounts of memory": (
        make_pod(
            containers=[
                {"name": "main", "image": "busybox", "resources": {"limits": {"memory": "64Mi"}}}
            ],
            status={
                "containerStatuses": [
                    {
                        "name": "main",
                        "containerID": "netlab://c0",
                        "resources": {"limits": {"memory": "32Mi"}},
                    }
                ]
            },
        ),
        look(on("main")),
        [(ResizeContainer, "main")],
    ),
    "the same amount in other words": (
        make_pod(
            containers=[
                {"name": "main", "image": "busybox", "resources": {"limits": {"cpu": "1"}}}
            ],
            status={
                "containerStatuses": [
                    {
                        "name": "main",
                        "containerID": "netlab://c0",
                        "resources": {"limits": {"cpu": "1000m"}},
                    }
                ]
            },
        ),
        look(on("main")),
        [],
    ),
    "other amounts, which need a new start": (
        make_pod(
            containers=[
                {
                    "name": "main",
                    "image": "busybox",
                    "resources": {"limits": {"memory": "64Mi"}},
                    "resizePolicy": [
                        {"resourceName": "memory", "restartPolicy": "RestartContainer"}
                    ],
                }
            ],
            status={
                "containerStatuses": [
                    {"name": "main", "containerID": "netlab://c0", "resources": {"limits": {}}}
                ]
            },
        ),
        look(on("main")),
        [stop("main", message="Container main resize requires restart"), start("main", 1)],
    ),
}


@pytest.mark.parametrize("name", LIFE_ROWS)
def test_life(name: str) -> None:
    pod, observed, expected = LIFE_ROWS[name]
    plan = plan_pod(pod, observed, READY, NOW)
    assert [
        (ResizeContainer, step.container.name) if isinstance(step, ResizeContainer) else brief(step)
        for step in plan.steps
    ] == expected


def test_a_sick_container_that_crashed_a_moment_ago_is_only_stopped() -> None:
    memory = replace(READY, crashes={"main": BackOff(40, NOW)})
    observed = Observed((sandbox(),), (ended(0, ago_s=20), container(1)), verdicts={"c1": SICK})
    (only,) = plan_pod(make_pod(), observed, memory, NOW).steps
    assert isinstance(only, StopContainer)


def test_an_ephemeral_container_sees_its_target() -> None:
    ephemeral = [{"name": "debug", "image": "busybox", "targetContainerName": "main"}]
    pod = make_pod(ephemeralContainers=ephemeral)
    (step,) = plan_pod(pod, look(on("main")), READY, NOW).steps
    assert isinstance(step, StartContainer)
    assert step.target == "c0"
    plan = plan_pod(
        pod, look(ended(ago_s=0)), replace(READY, crashes={"main": BackOff(99, NOW)}), NOW
    )
    assert not plan.steps
    assert plan.waiting["debug"].message == "unable to find target container main"


def test_an_ephemeral_container_of_an_earlier_sandbox_is_not_started_again() -> None:
    pod = make_pod(
        ephemeralContainers=[{"name": "debug", "image": "busybox"}],
        status={"ephemeralContainerStatuses": [{"name": "debug", "containerID": "netlab://x"}]},
    )
    assert plan_pod(pod, look(on("main")), READY, NOW) == Plan()


def test_a_container_that_succeeded_in_an_earlier_sandbox_stays_ended() -> None:
    done = {
        "name": "main",
        "containerID": "netlab://x",
        "state": {"terminated": {"exitCode": 0, "containerID": "netlab://x"}},
    }
    pod = make_pod(
        containers=TWO_MAINS,
        restartPolicy="OnFailure",
        status={"phase": "Running", "containerStatuses": [done]},
    )
    plan = plan_pod(pod, look(), READY, NOW)
    assert [brief(step) for step in plan.steps] == [start("other")]


def test_the_deadline_is_waited_for_and_kept() -> None:
    began = {"startTime": "2026-01-01T11:59:00Z", "phase": "Running"}
    pod = make_pod(activeDeadlineSeconds=90, status=began)
    plan = plan_pod(pod, look(on("main")), READY, NOW)
    assert plan == Plan(recheck_at=NOW + timedelta(seconds=30))
    late = plan_pod(pod, look(on("main")), READY, NOW + timedelta(seconds=30))
    assert late == Plan((stop("main"),), failed=PAST_DEADLINE)


def test_a_pod_that_was_given_up_ends_at_once() -> None:
    evicted = PodFailure("Evicted", "too much", grace_s=1.0)
    plan = plan_pod(make_pod(), look(on("main")), replace(READY, given_up=evicted), NOW)
    assert plan == Plan((stop("main", 1.0),), failed=evicted)
