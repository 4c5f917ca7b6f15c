"""Phases, conditions and container statuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netlab.api.core import Pod
from netlab.kubelet.status import Situation, pod_status, status_patch
from netlab.kubelet.steps import Observed, Waiting
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
    patch = status_patch(make_pod(), {"podIP": "x", "phase": "Pending"}, {"phase": "Running"})
    assert patch == {
        "metadata": {"uid": "u1"},
        "status": {"phase": "Running", "podIP": None},
    }
