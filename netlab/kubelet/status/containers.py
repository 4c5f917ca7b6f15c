"""Decides what the status of one container tells, as kubelet v1.36 writes it.

Mirrors ``convertToAPIContainerStatuses`` (``pkg/kubelet/kubelet_pods.go``) and the part of the
probe manager that sets ``started`` and ``ready``. An ordinary init container is ready once it has
succeeded; every other one while it runs and its probes say so. Pure.

netlab leaves out: ``user`` and ``stopSignal``, which its runtime does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from netlab.api.containers import Container, EphemeralContainer
from netlab.api.pods import ContainerStateTerminated as TerminatedView
from netlab.api.pods import ContainerStatus, Pod
from netlab.api.view import Object
from netlab.kubelet.planning.resizing import given_resources, resources_object
from netlab.kubelet.planning.restarting import is_sidecar, reported
from netlab.kubelet.planning.steps import Memory, Observed, PodFailure, Waiting, not_started
from netlab.runtime.cri import ContainerPhase, ContainerState
from netlab.timestamps import rfc3339

CONTAINER_ID_SCHEME = "netlab://"

TERMINAL_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a pod's status tells.

    waiting: by name, the containers that do not run but will. pod_ip "" as long as there is none.
    ended: the pod is being deleted and no container runs any more. failed: why the node has given
    the pod up.
    """

    pod: Pod
    observed: Observed
    host_ip: str
    pod_ip: str = ""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ended: bool = False
    failed: PodFailure | None = None
    memory: Memory = field(default_factory=Memory)


def container_status(situation: Situation, container: Container) -> Object:
    """Return the status of an init container, an ordinary one or an ephemeral one."""
    states = situation.observed.states(container.name)
    old = reported(situation.pod, container.name)
    if not states:
        return _status_without_container(situation, container, old)
    latest, previous = states[0], states[1] if len(states) > 1 else None
    waiting = situation.waiting.get(container.name)
    if latest.phase is ContainerPhase.RUNNING:
        state: Object = {"running": {"startedAt": _time(latest.started_at)}}
    elif latest.phase is ContainerPhase.EXITED and waiting is None:
        state = {"terminated": terminated(latest)}
    else:
        state = {"waiting": _waiting(waiting or not_started(situation.pod))}
        previous = latest if latest.phase is ContainerPhase.EXITED else previous
    if previous is not None and previous.phase is ContainerPhase.EXITED:
        last_state = {"terminated": terminated(previous)}
    else:
        last_state = _remembered_last_state(old, latest)
    status = _assemble(
        situation,
        container,
        state,
        last_state,
        image=latest.image,
        image_id=latest.image_id,
        container_id=CONTAINER_ID_SCHEME + latest.id,
        restart_count=latest.attempt,
    )
    given = resources_object(
        given_resources(situation.pod, container, latest, situation.memory)
        if latest.phase is ContainerPhase.RUNNING
        else container.resources
    )
    if container.resources.requests:
        status["allocatedResources"] = dict(container.resources.requests)
    return {**status, "resources": given}


def _remembered_last_state(old: ContainerStatus | None, latest: ContainerState) -> Object:
    """What the API server still knows of an earlier container whose traces are gone here."""
    if old is None or old.restart_count > latest.attempt or old.last_state.terminated is None:
        return {}
    return {"terminated": _terminated_object(old.last_state.terminated)}


def _status_without_container(
    situation: Situation, container: Container, old: ContainerStatus | None
) -> Object:
    waiting = situation.waiting.get(container.name, not_started(situation.pod))
    if old is None or not old.container_id:
        state: Object = {"waiting": _waiting(waiting)}
        if situation.ended and _was_due(situation, container):
            state = {"terminated": _lost("terminated")}
        return _assemble(situation, container, state, {}, image=container.image)
    if _is_over(situation, container):
        kept = old.state.terminated
        state = {"terminated": _terminated_object(kept) if kept else _lost("terminated")}
        last = old.last_state.terminated
        last_state = {"terminated": _terminated_object(last)} if last else {}
    else:
        state = {"waiting": _waiting(waiting)}
        last = old.state.terminated or (None if old.state.running else old.last_state.terminated)
        last_state = {"terminated": _terminated_object(last) if last else _lost("deleted")}
    return _assemble(
        situation,
        container,
        state,
        last_state,
        image=old.image,
        image_id=old.image_id,
        container_id=old.container_id,
        # always the number of the container named by container_id; the next one counts on
        restart_count=old.restart_count,
    )


def _is_over(situation: Situation, container: Container) -> bool:
    """True when a container whose traces are gone will have no successor."""
    ephemeral = isinstance(container, EphemeralContainer)
    return situation.ended or ephemeral or situation.pod.status.phase in TERMINAL_PHASES


def _was_due(situation: Situation, container: Container) -> bool:
    """True when the pod's initialization had come to a container that never ran."""
    pod = situation.pod
    if container not in pod.spec.containers:
        return False
    condition = pod.status.condition("Initialized")
    if not pod.spec.init_containers:
        return True
    return condition is not None and condition.status == "True"


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
    situation: Situation,
    container: Container,
    state: Object,
    last_state: Object,
    *,
    image: str,
    image_id: str = "",
    container_id: str = "",
    restart_count: int = 0,
) -> Object:
    started, ready = _started_and_ready(situation, container, state, container_id)
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": last_state,
        "ready": ready,
        "restartCount": restart_count,
        "image": image,
        "imageID": image_id,
    }
    if not isinstance(container, EphemeralContainer):
        status["started"] = started
    if container_id:
        status["containerID"] = container_id
    if container.volume_mounts:
        status["volumeMounts"] = [
            {"name": mount.name, "mountPath": mount.mount_path}
            | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.read_only else {})
            for mount in container.volume_mounts
        ]
    return status


def _started_and_ready(
    situation: Situation, container: Container, state: Object, container_id: str
) -> tuple[bool, bool]:
    if isinstance(container, EphemeralContainer):
        return False, False
    running = "running" in state
    verdict = situation.observed.verdicts.get(container_id.removeprefix(CONTAINER_ID_SCHEME))
    started = running and (verdict is None or verdict.started)
    if container in situation.pod.spec.init_containers and not is_sidecar(container):
        ended = state.get("terminated")
        return started, ended is not None and ended["exitCode"] == 0
    return started, started and (verdict is None or verdict.ready)


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
