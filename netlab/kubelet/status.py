"""Decides the status of a pod, as kubelet v1.36 writes it.

Mirrors ``generateAPIPodStatus``, ``getPhase`` and ``pkg/kubelet/status/generate.go``. The result
is the whole status that the kubelet owns; conditions of other writers are kept.

netlab leaves out probes: ``is_ready`` is the one place where they will be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from netlab.api.core import Container, ContainerStatus, Pod
from netlab.api.core import ContainerStateTerminated as TerminatedView
from netlab.api.meta import Condition
from netlab.api.view import Object
from netlab.clock import rfc3339
from netlab.kubelet.plan import TERMINAL_PHASES, restarts
from netlab.kubelet.steps import CREATING, Observed, Waiting
from netlab.runtime.cri import ContainerPhase, ContainerState

CONTAINER_ID_SCHEME = "netlab://"

OWNED_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a pod's status tells.

    waiting: by name, the containers that do not run but will. pod_ip "" as long as there is none.
    ended: the pod is being deleted and no container runs any more.
    """

    pod: Pod
    observed: Observed
    host_ip: str
    pod_ip: str = ""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ended: bool = False


def pod_status(situation: Situation, now: datetime) -> Object:
    """Return the pod's whole status."""
    pod = situation.pod
    containers = sorted(pod.spec.containers, key=lambda c: c.name)
    statuses = [_container_status(situation, container) for container in containers]
    phase = _phase(situation, statuses)
    status: Object = {}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["phase"] = phase
    status["conditions"] = _conditions(situation, statuses, phase, now)
    status["hostIP"] = situation.host_ip
    status["hostIPs"] = [{"ip": situation.host_ip}]
    if situation.pod_ip:
        status["podIP"] = situation.pod_ip
        status["podIPs"] = [{"ip": situation.pod_ip}]
    status["startTime"] = rfc3339(pod.status.start_time or now)
    status["containerStatuses"] = statuses
    return status


def status_patch(pod: Pod, written: Mapping[str, Any] | None, status: Object) -> Object:
    """Return the merge patch that makes ``status`` true; keys only ``written`` had are removed."""
    gone = {key: None for key in (written or {}) if key not in status}
    return {"metadata": {"uid": pod.metadata.uid}, "status": {**status, **gone}}


def is_ready(state: ContainerState) -> bool:
    """True when a container may receive traffic: without probes, when it runs."""
    return state.phase is ContainerPhase.RUNNING


def _container_status(situation: Situation, container: Container) -> Object:
    states = situation.observed.states(container.name)
    old = next(
        (s for s in situation.pod.status.container_statuses if s.name == container.name), None
    )
    if not states:
        return _status_without_container(situation, container, old)
    latest, previous = states[0], states[1] if len(states) > 1 else None
    waiting = situation.waiting.get(container.name)
    if latest.phase is ContainerPhase.RUNNING:
        state: Object = {"running": {"startedAt": _time(latest.started_at)}}
    elif latest.phase is ContainerPhase.EXITED and waiting is None:
        state = {"terminated": terminated(latest)}
    else:
        state = {"waiting": _waiting(waiting or CREATING)}
        previous = latest if latest.phase is ContainerPhase.EXITED else previous
    if previous is not None and previous.phase is ContainerPhase.EXITED:
        last_state = {"terminated": terminated(previous)}
    else:
        last_state = _remembered_last_state(old, latest)
    return _assemble(
        container,
        state,
        last_state,
        image=latest.image,
        image_id=latest.image_id,
        container_id=CONTAINER_ID_SCHEME + latest.id,
        restart_count=latest.attempt,
        ready=is_ready(latest),
        started="running" in state,
    )


def _remembered_last_state(old: ContainerStatus | None, latest: ContainerState) -> Object:
    """What the API server still knows of an earlier container whose traces are gone here."""
    if old is None or old.restart_count > latest.attempt or old.last_state.terminated is None:
        return {}
    return {"terminated": _terminated_object(old.last_state.terminated)}


def _status_without_container(
    situation: Situation, container: Container, old: ContainerStatus | None
) -> Object:
    if old is None or not old.container_id:
        waiting = situation.waiting.get(container.name, CREATING)
        state: Object = {"waiting": _waiting(waiting)}
        if situation.ended:
            state = {"terminated": _lost("terminated")}
        return _assemble(container, state, {}, image=container.image)
    if situation.ended or situation.pod.status.phase in TERMINAL_PHASES:
        kept = old.state.terminated
        state = {"terminated": _terminated_object(kept) if kept else _lost("terminated")}
        last = old.last_state.terminated
        last_state = {"terminated": _terminated_object(last)} if last else {}
    else:
        state = {"waiting": _waiting(situation.waiting.get(container.name, CREATING))}
        last = old.state.terminated or (None if old.state.running else old.last_state.terminated)
        last_state = {"terminated": _terminated_object(last) if last else _lost("deleted")}
    return _assemble(
        container,
        state,
        last_state,
        image=old.image,
        image_id=old.image_id,
        container_id=old.container_id,
        # always the number of the container named by container_id; the next one counts on
        restart_count=old.restart_count,
    )


def _lost(when: str) -> Object:
    message = f"The container could not be located when the pod was {when}"
    if when == "deleted":
        message += ".  The container used to be Running"
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }


def _assemble(
    container: Container,
    state: Object,
    last_state: Object,
    *,
    image: str,
    image_id: str = "",
    container_id: str = "",
    restart_count: int = 0,
    ready: bool = False,
    started: bool = False,
) -> Object:
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": last_state,
        "ready": ready,
        "restartCount": restart_count,
        "image": image,
        "imageID": image_id,
        "started": started,
    }
    if container_id:
        status["containerID"] = container_id
    if container.volume_mounts:
        status["volumeMounts"] = [
            {"name": mount.name, "mountPath": mount.mount_path}
            | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.read_only else {})
            for mount in container.volume_mounts
        ]
    return status


def _waiting(waiting: Waiting) -> Object:
    state = {"reason": waiting.reason}
    if waiting.message:
        state["message"] = waiting.message
    return state


def terminated(state: ContainerState) -> Object:
    """Return the ``terminated`` member for a container that has ended."""
    built: Object = {"exitCode": state.exit_code}
    built["reason"] = state.reason or ("Completed" if state.exit_code == 0 else "Error")
    if state.message:
        built["message"] = state.message
    built["startedAt"] = _time(state.started_at)
    built["finishedAt"] = _time(state.finished_at)
    built["containerID"] = CONTAINER_ID_SCHEME + state.id
    return built


def _terminated_object(view: TerminatedView) -> Object:
    built: Object = {"exitCode": view.exit_code, "reason": view.reason}
    if view.message:
        built["message"] = view.message
    if view.signal:
        built["signal"] = view.signal
    built["startedAt"] = _time(view.started_at)
    built["finishedAt"] = _time(view.finished_at)
    if view.container_id:
        built["containerID"] = view.container_id
    return built


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def _phase(situation: Situation, statuses: Sequence[Object]) -> str:
    pod = situation.pod
    if pod.status.phase in TERMINAL_PHASES:
        return pod.status.phase  # a pod that has ended never comes back
    running = sum("running" in s["state"] for s in statuses)
    waiting = sum("waiting" in s["state"] and not s["lastState"] for s in statuses)
    ended = [_exit_code(s) for s in statuses if "running" not in s["state"]]
    if waiting:
        return "Pending"
    if running:
        return "Running"
    succeeded = all(code == 0 for code in ended)
    if situation.ended:
        return "Succeeded" if succeeded else "Failed"
    if any(restarts(pod.spec.restart_policy, code) for code in ended):
        return "Running"
    return "Succeeded" if succeeded else "Failed"


def _exit_code(status: Object) -> int:
    ended = status["state"].get("terminated") or status["lastState"].get("terminated") or {}
    return int(ended.get("exitCode", 0))


def _conditions(
    situation: Situation, statuses: Sequence[Object], phase: str, now: datetime
) -> list[Object]:
    pod = situation.pod
    can_start = situation.observed.sandbox is not None and bool(situation.pod_ip)
    ready = _readiness(statuses, phase)
    initialized = ("True", "PodCompleted", "") if phase == "Succeeded" else ("True", "", "")
    wanted = {
        "PodReadyToStartContainers": ("True" if can_start else "False", "", ""),
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": ("True", "", ""),
    }
    kept = [_kept(c) for c in pod.status.conditions if c.type not in OWNED_CONDITIONS]
    return kept + [_condition(pod, kind, *wanted[kind], now) for kind in OWNED_CONDITIONS]


def _readiness(statuses: Sequence[Object], phase: str) -> tuple[str, str, str]:
    """Return status, reason and message of Ready and ContainersReady."""
    if phase == "Succeeded":
        return ("False", "PodCompleted", "")
    if phase == "Failed":
        return ("False", "PodFailed", "")
    unready = [s["name"] for s in statuses if not s["ready"]]
    if not unready:
        return ("True", "", "")
    message = f"containers with unready status: [{' '.join(unready)}]"
    return ("False", "ContainersNotReady", message)


def _condition(
    pod: Pod, kind: str, status: str, reason: str, message: str, now: datetime
) -> Object:
    old = pod.status.condition(kind)
    changed = now
    if old is not None and old.status == status and old.last_transition_time:
        changed = old.last_transition_time
    built: Object = {"type": kind}
    if pod.metadata.generation:
        built["observedGeneration"] = pod.metadata.generation
    built |= {"status": status, "lastProbeTime": None, "lastTransitionTime": rfc3339(changed)}
    if reason:
        built["reason"] = reason
    if message:
        built["message"] = message
    return built


def _kept(condition: Condition) -> Object:
    return condition.to_object()
