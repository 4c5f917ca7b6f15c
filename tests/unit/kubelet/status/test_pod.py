"""Phases, conditions and container statuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netlab.api.containers import ResourceRequirements
from netlab.api.pods import Pod
from netlab.kubelet.planning.plan import PAST_DEADLINE
from netlab.kubelet.planning.steps import Memory, Observed, ProbeVerdict, Waiting
from netlab.kubelet.status.pod import Situation, pod_status, status_patch
from netlab.runtime.cri import (
    ContainerPhase,
    ContainerState,
    PodIdentity,
    SandboxConfig,
    SandboxStatus,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDENTITY = PodIdentity("default", "web", "u1")
SANDBOX = SandboxStatus(
    "s0",
    SandboxConfig(IDENTITY, 0, "web", Path("/run/netns/x")),
    ContainerPhase.RUNNING,
    1,
    NOW,
)


def container(name: str, state: str, attempt: int = 0) -> ContainerState:
    """state: ``run``, ``new``, or an exit code."""
    phases = {"run": ContainerPhase.RUNNING, "new": ContainerPhase.CREATED}
    return ContainerState(
        id=f"{name}{attempt}",
        sandbox_id="s0",
        pod=IDENTITY,
        name=name,
        attempt=attempt,
        image="docker.io/library/busybox:latest",
        image_id="sha256:1",
        phase=phases.get(state, ContainerPhase.EXITED),
        pid=1,
        created_at=NOW,
        started_at=NOW - timedelta(minutes=1),
        finished_at=NOW if state.isdigit() else None,
        exit_code=int(state) if state.isdigit() else 0,
    )


def make_pod(
    names: str = "a", status: dict[str, Any] | None = None, generation: int = 3, **spec: Any
) -> Pod:
    containers = [{"name": name, "image": "busybox"} for name in names]
    meta = {"name": "web", "namespace": "default", "uid": "u1", "generation": generation}
    spec = {"containers": containers, **spec}
    return Pod.parse({"metadata": meta, "spec": spec, "status": status or {}})


def build(pod: Pod, *containers: ContainerState, **more: Any) -> dict[str, Any]:
    observed = Observed((SANDBOX,), containers)
    ip = more.pop("pod_ip", "10.244.0.2")
    return pod_status(Situation(pod, observed, "10.100.199.200", ip, **more), NOW)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in status["conditions"] if c["type"] == kind)


BACK_OFF = {"a": Waiting("CrashLoopBackOff")}
PHASES: dict[str, tuple[str, list[ContainerState], dict[str, Any], str]] = {
    "nothing yet": ("Always", [], {}, "Pending"),
    "one of two waits": ("Always", [container("b", "run")], {}, "Pending"),
    "all run": ("Always", [container("a", "run"), container("b", "run")], {}, "Running"),
    "one has ended": ("Never", [container("a", "1"), container("b", "run")], {}, "Running"),
    "all succeeded": ("Never", [container("a", "0"), container("b", "0")], {}, "Succeeded"),
    "one failed": ("Never", [container("a", "1"), container("b", "0")], {}, "Failed"),
    "failed, restarted": (
        "OnFailure",
        [container("a", "1"), container("b", "0")],
        {"waiting": BACK_OFF},
        "Running",
    ),
    "all ended, always": ("Always", [container("a", "0"), container("b", "0")], {}, "Running"),
    "deleted, stopped cleanly": (
        "Always",
        [container("a", "0"), container("b", "0")],
        {"ended": True},
        "Succeeded",
    ),
    "deleted, killed": (
        "Always",
        [container("a", "137"), container("b", "0")],
        {"ended": True},
        "Failed",
    ),
}


@pytest.mark.parametrize("name", PHASES)
def test_phase(name: str) -> None:
    policy, containers, more, expected = PHASES[name]
    assert build(make_pod("ab", restartPolicy=policy), *containers, **more)["phase"] == expected


def test_an_ended_pod_stays_ended() -> None:
    pod = make_pod(status={"phase": "Failed"}, restartPolicy="Never")
    assert build(pod, container("a", "run"))["phase"] == "Failed"


def test_a_running_pod_in_full() -> None:
    pod = make_pod(status={"startTime": "2026-01-01T11:00:00Z"})
    ready = {
        "observedGeneration": 3,
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }
    kinds = (
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    )
    assert build(pod, container("a", "run")) == {
        "observedGeneration": 3,
        "phase": "Running",
        "conditions": [{"type": kind, **ready} for kind in kinds],
        "hostIP": "10.100.199.200",
        "hostIPs": [{"ip": "10.100.199.200"}],
        "podIP": "10.244.0.2",
        "podIPs": [{"ip": "10.244.0.2"}],
        "startTime": "2026-01-01T11:00:00Z",
        "containerStatuses": [
            {
                "name": "a",
                "state": {"running": {"startedAt": "2026-01-01T11:59:00Z"}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": "docker.io/library/busybox:latest",
                "imageID": "sha256:1",
                "started": True,
                "containerID": "netlab://a0",
                "resources": {},
            }
        ],
    }


def test_a_restarted_container_tells_its_predecessor() -> None:
    (found,) = build(make_pod(), container("a", "2", 4), container("a", "run", 5))[
        "containerStatuses"
    ]
    assert found["restartCount"] == 5
    assert found["lastState"]["terminated"] == {
        "exitCode": 2,
        "reason": "Error",
        "startedAt": "2026-01-01T11:59:00Z",
        "finishedAt": "2026-01-01T12:00:00Z",
        "containerID": "netlab://a4",
    }


def test_back_off_moves_the_end_to_last_state() -> None:
    (found,) = build(make_pod(), container("a", "2"), waiting=BACK_OFF)["containerStatuses"]
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert found["lastState"]["terminated"]["exitCode"] == 2
    assert found["ready"] is False


def test_what_the_api_server_remembers_is_kept() -> None:
    old = {
        "name": "a",
        "restartCount": 1,
        "containerID": "netlab://a1",
        "lastState": {"terminated": {"exitCode": 9, "reason": "Error"}},
    }
    pod = make_pod(status={"containerStatuses": [old]})
    (found,) = build(pod, container("a", "run", 1))["containerStatuses"]
    assert found["lastState"]["terminated"]["exitCode"] == 9


READINESS = {
    "unready": (["a"], {}, ("False", "ContainersNotReady")),
    "ready": (["a", "b"], {}, ("True", None)),
}


@pytest.mark.parametrize("name", READINESS)
def test_readiness(name: str) -> None:
    running, more, expected = READINESS[name]
    status = build(make_pod("ab"), *(container(n, "run") for n in running), **more)
    for kind in ("Ready", "ContainersReady"):
        found = condition(status, kind)
        assert (found["status"], found.get("reason")) == expected


def test_transition_times_are_kept_while_nothing_changes() -> None:
    earlier = "2026-01-01T10:00:00Z"
    conditions = [
        {"type": "Ready", "status": "True", "lastTransitionTime": earlier},
        {"type": "ContainersReady", "status": "False", "lastTransitionTime": earlier},
        {"type": "somebody/else", "status": "True", "lastTransitionTime": earlier},
    ]
    status = build(make_pod(status={"conditions": conditions}), container("a", "run"))
    assert condition(status, "Ready")["lastTransitionTime"] == earlier
    assert condition(status, "ContainersReady")["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert condition(status, "somebody/else")["lastTransitionTime"] == earlier


def test_volume_mounts_are_told() -> None:
    mounts = [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w", "readOnly": True}]
    pod = make_pod(containers=[{"name": "a", "image": "x", "volumeMounts": mounts}])
    (found,) = build(pod)["containerStatuses"]
    assert found["volumeMounts"] == [
        {"name": "v", "mountPath": "/v"},
        {"name": "w", "mountPath": "/w", "readOnly": True, "recursiveReadOnly": "Disabled"},
    ]


def test_the_patch_removes_what_is_no_longer_true() -> None:
    patch = status_patch(make_pod(), {"phase": "Running", "podIP": "x"})
    assert patch["metadata"] == {"uid": "u1"}
    assert patch["status"] == {
        "phase": "Running",
        "podIP": "x",
        "podIPs": None,
        "reason": None,
        "message": None,
        "initContainerStatuses": None,
        "containerStatuses": None,
        "ephemeralContainerStatuses": None,
        "hostIP": None,
        "hostIPs": None,
        "conditions": [],
    }


def init_pod(*init: dict[str, Any], **spec: Any) -> Pod:
    return make_pod(initContainers=[{"image": "busybox", **c} for c in init], **spec)


ONE = {"name": "one"}
SIDE = {"name": "side", "restartPolicy": "Always"}
UNSTARTED = ProbeVerdict(started=False, ready=False)
INIT_BACK_OFF = {"one": Waiting("CrashLoopBackOff")}

INIT_PHASES: dict[str, tuple[Pod, list[ContainerState], dict[str, Any], str]] = {
    "init container runs": (init_pod(ONE), [container("one", "run")], {}, "Pending"),
    "init container done, main not made": (init_pod(ONE), [container("one", "0")], {}, "Pending"),
    "init container done, main runs": (
        init_pod(ONE),
        [container("one", "0"), container("a", "run")],
        {},
        "Running",
    ),
    "init container failed and waits": (
        init_pod(ONE),
        [container("one", "1")],
        {"waiting": INIT_BACK_OFF},
        "Pending",
    ),
    "init container failed, Never": (
        init_pod(ONE, restartPolicy="Never"),
        [container("one", "1")],
        {},
        "Failed",
    ),
    "init container failed, Never, a sidecar still runs": (
        init_pod(SIDE, ONE, restartPolicy="Never"),
        [container("side", "run"), container("one", "1")],
        {},
        "Pending",
    ),
    "sidecar runs, main not made": (init_pod(SIDE), [container("side", "run")], {}, "Pending"),
    "sidecar crashed, main runs": (
        init_pod(SIDE),
        [container("side", "1"), container("a", "run")],
        {"waiting": {"side": Waiting("CrashLoopBackOff")}},
        "Running",
    ),
    "main succeeded, sidecar still runs": (
        init_pod(SIDE, restartPolicy="Never"),
        [container("side", "run"), container("a", "0")],
        {},
        "Running",
    ),
    "main succeeded, sidecar was killed": (
        init_pod(SIDE, restartPolicy="Never"),
        [container("side", "137"), container("a", "0")],
        {},
        "Succeeded",
    ),
    "own policy Never, the pod's Always": (
        make_pod(containers=[{"name": "a", "image": "b", "restartPolicy": "Never"}]),
        [container("a", "3")],
        {},
        "Failed",
    ),
    "deleted during initialization": (
        init_pod(ONE),
        [container("one", "137")],
        {"ended": True},
        "Failed",
    ),
    "given up, still running": (
        make_pod(status={"phase": "Running"}),
        [container("a", "run")],
        {"failed": PAST_DEADLINE},
        "Running",
    ),
    "given up": (
        make_pod(status={"phase": "Running"}),
        [container("a", "0")],
        {"failed": PAST_DEADLINE},
        "Failed",
    ),
}


@pytest.mark.parametrize("name", INIT_PHASES)
def test_phase_with_init_containers(name: str) -> None:
    pod, containers, more, expected = INIT_PHASES[name]
    assert build(pod, *containers, **more)["phase"] == expected


def test_a_pod_that_was_given_up_says_why_for_ever() -> None:
    status = build(make_pod(status={"phase": "Running"}), failed=PAST_DEADLINE)
    expected = (PAST_DEADLINE.reason, PAST_DEADLINE.message)
    assert (status["reason"], status["message"]) == expected
    later = build(make_pod(status={k: status[k] for k in ("phase", "reason", "message")}))
    assert (later["phase"], later["reason"], later["message"]) == ("Failed", *expected)


def test_init_containers_in_full() -> None:
    status = build(init_pod(ONE, SIDE), container("one", "0"), container("side", "run"))
    one, side = status["initContainerStatuses"]
    assert (one["ready"], one["started"], "terminated" in one["state"]) == (True, False, True)
    assert (side["ready"], side["started"]) == (True, True)
    (main,) = status["containerStatuses"]
    assert main["state"] == {"waiting": {"reason": "PodInitializing"}}


INITIALIZED = {
    "first runs": ([container("one", "run")], {}, "[one side]"),
    "first done": ([container("one", "0")], {}, "[side]"),
    "sidecar unstarted": (
        [container("one", "0"), container("side", "run")],
        {"side0": UNSTARTED},
        "[side]",
    ),
    "all": ([container("one", "0"), container("side", "run")], {}, None),
    "main runs, sidecar down": ([container("a", "run"), container("side", "1")], {}, None),
}


@pytest.mark.parametrize("name", INITIALIZED)
def test_initialized(name: str) -> None:
    containers, verdicts, incomplete = INITIALIZED[name]
    pod = init_pod(ONE, SIDE)
    observed = Observed((SANDBOX,), tuple(containers), verdicts=verdicts)
    status = pod_status(Situation(pod, observed, "10.0.0.1", "10.244.0.2"), NOW)
    found = condition(status, "Initialized")
    if incomplete is None:
        assert found["status"] == "True"
    else:
        text = f"containers with incomplete status: {incomplete}"
        assert (found["status"], found["reason"], found["message"]) == (
            "False",
            "ContainersNotInitialized",
            text,
        )


def test_probes_say_what_is_ready() -> None:
    states = (container("a", "run"), container("b", "run"))
    verdicts = {"a0": ProbeVerdict(started=True, ready=False), "b0": UNSTARTED}
    observed = Observed((SANDBOX,), states, verdicts=verdicts)
    status = pod_status(Situation(make_pod("ab"), observed, "10.0.0.1", "10.244.0.2"), NOW)
    assert [(c["started"], c["ready"]) for c in status["containerStatuses"]] == [
        (True, False),
        (False, False),
    ]
    assert condition(status, "Ready")["message"] == "containers with unready status: [a b]"


GATES: dict[str, tuple[list[dict[str, str]], str | None]] = {
    "no condition": (
        [],
        'corresponding condition of pod readiness gate "x/y" does not exist.',
    ),
    "closed": (
        [{"type": "x/y", "status": "False"}],
        'the status of pod readiness gate "x/y" is not "True", but False',
    ),
    "open": ([{"type": "x/y", "status": "True"}], None),
}


@pytest.mark.parametrize("name", GATES)
def test_readiness_gates(name: str) -> None:
    conditions, message = GATES[name]
    pod = make_pod(readinessGates=[{"conditionType": "x/y"}], status={"conditions": conditions})
    status = build(pod, container("a", "run"))
    found = condition(status, "Ready")
    assert condition(status, "ContainersReady")["status"] == "True"
    assert found["status"] == ("True" if message is None else "False")
    assert found.get("message") == message
    assert found.get("reason") == (None if message is None else "ReadinessGatesNotReady")


def test_ephemeral_containers_are_told_apart() -> None:
    pod = make_pod(ephemeralContainers=[{"name": "debug", "image": "busybox"}])
    status = build(pod, container("a", "run"), container("debug", "run"))
    (debug,) = status["ephemeralContainerStatuses"]
    assert "running" in debug["state"]
    assert debug["ready"] is False
    assert "started" not in debug
    assert status["phase"] == "Running"


def test_what_a_container_was_given_is_told() -> None:
    resources = {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}
    pod = make_pod(containers=[{"name": "a", "image": "b", "resources": resources}])
    given = ResourceRequirements(limits={"memory": "16Mi"})
    memory = Memory(resources={"a0": given})
    (found,) = build(pod, container("a", "run"), memory=memory)["containerStatuses"]
    assert found["resources"] == {"limits": {"memory": "16Mi"}}
    assert found["allocatedResources"] == {"memory": "32Mi"}


def test_long_messages_are_cut_evenly() -> None:
    states = [replace(container(name, "1"), message="x" * 9000) for name in "abcd"]
    found = build(make_pod("abcd", restartPolicy="Never"), *states)["containerStatuses"]
    assert {len(c["state"]["terminated"]["message"]) for c in found} == {3072}
