"""Decides the status of a pod, as kubelet v1.36 writes it.

Mirrors ``generateAPIPodStatus`` and ``getPhase``. The result is the whole status that the kubelet
owns; ``containers`` and ``conditions`` decide its two large parts.

netlab leaves out: conditions and resize state of resources that are shared out by others (devices,
resource claims).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from netlab.api.containers import Container
from netlab.api.meta import Condition
from netlab.api.pods import Pod, PodStatus
from netlab.api.view import Object
from netlab.kubelet.planning.restarting import init_restarts, is_sidecar, restarts, sidecars
from netlab.kubelet.status.conditions import OWNED_CONDITIONS as OWNED_CONDITIONS
from netlab.kubelet.status.conditions import pod_conditions, scheduled_condition
from netlab.kubelet.status.containers import CONTAINER_ID_SCHEME as CONTAINER_ID_SCHEME
from netlab.kubelet.status.containers import TERMINAL_PHASES, container_status
from netlab.kubelet.status.containers import Situation as Situation
from netlab.kubelet.status.termination_message import MAX_POD_BYTES
from netlab.timestamps import rfc3339

OPTIONAL = (
    "hostIP",
    "hostIPs",
    "reason",
    "message",
    "podIP",
    "podIPs",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
)
"""The kubelet's own members of a status that some pods lack."""


def pod_status(situation: Situation, now: datetime) -> Object:
    """Return the pod's whole status."""
    pod = situation.pod
    if _never_admitted(situation):
        return _refused_status(situation, now)
    statuses = {c.name: container_status(situation, c) for c in pod.spec.all_containers}
    _bound_messages(list(statuses.values()))
    phase = _phase(situation, statuses)
    status: Object = {}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["phase"] = phase
    status |= _why(situation, phase)
    can_start = situation.observed.sandbox is not None and bool(situation.pod_ip)
    status["conditions"] = pod_conditions(pod, statuses, phase, can_start=can_start, now=now)
    status["hostIP"] = situation.host_ip
    status["hostIPs"] = [{"ip": situation.host_ip}]
    if situation.pod_ip:
        status["podIP"] = situation.pod_ip
        status["podIPs"] = [{"ip": situation.pod_ip}]
    status["startTime"] = rfc3339(pod.status.start_time or now)
    if pod.spec.init_containers:
        status["initContainerStatuses"] = [statuses[c.name] for c in pod.spec.init_containers]
    status["containerStatuses"] = _by_name(pod.spec.containers, statuses)
    if pod.spec.ephemeral_containers:
        ephemeral = _by_name(pod.spec.ephemeral_containers, statuses)
        status["ephemeralContainerStatuses"] = ephemeral
    return status


def _never_admitted(situation: Situation) -> bool:
    """True when the pod has ended without anything of it having been made."""
    status, observed = situation.pod.status, situation.observed
    if observed.sandboxes or observed.containers or status.all_container_statuses:
        return False
    refused = situation.failed is not None and situation.failed.refused
    return refused or (status.phase in TERMINAL_PHASES and bool(status.reason))


def _refused_status(situation: Situation, now: datetime) -> Object:
    """Return what is told of a pod that the node did not take: neither containers nor address."""
    pod = situation.pod
    phase = pod.status.phase if pod.status.phase in TERMINAL_PHASES else "Failed"
    status: Object = {"phase": phase, **_why(situation, phase)}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["conditions"] = scheduled_condition(pod, now)
    status["startTime"] = rfc3339(pod.status.start_time or now)
    return status


def _by_name(containers: Sequence[Container], statuses: Mapping[str, Object]) -> list[Object]:
    return [statuses[name] for name in sorted(c.name for c in containers)]


def _bound_messages(statuses: Sequence[Object]) -> None:
    """Cut how containers ended so that all of a pod's messages together stay small."""
    bound = MAX_POD_BYTES // max(1, len(statuses))
    for status in statuses:
        for state in (status["state"], status["lastState"]):
            ended = state.get("terminated")
            if ended and len(ended.get("message", "").encode()) > bound:
                cut = ended["message"].encode()[:bound]
                state["terminated"] = {**ended, "message": cut.decode("utf-8", "ignore")}


def status_patch(pod: Pod, status: Object) -> Object:
    """Return the merge patch that makes ``status`` true, whatever the object tells now.

    pod: as the API server last told it: conditions of others are kept as they are there.
    """
    gone = {key: None for key in OPTIONAL if key not in status}
    foreign = [c.to_object() for c in pod.status.conditions if c.type not in OWNED_CONDITIONS]
    own = [c for c in status.get("conditions") or [] if c["type"] in OWNED_CONDITIONS]
    conditions = {"conditions": foreign + own}
    return {"metadata": {"uid": pod.metadata.uid}, "status": {**status, **gone, **conditions}}


def tells(shown: PodStatus, status: Object) -> bool:
    """True when an object's status says what ``status`` does, as far as the kubelet owns it.

    A pod that somebody else has ended (phase Failed or Succeeded) is not contradicted: such a
    phase is final, and the kubelet ends what runs of it.
    """
    if shown.phase in TERMINAL_PHASES and status["phase"] not in TERMINAL_PHASES:
        return True
    return _owned(shown) == _owned(PodStatus.parse(status))


def _owned(status: PodStatus) -> PodStatus:
    own = sorted((c for c in status.conditions if c.type in OWNED_CONDITIONS), key=_type_of)
    return msgspec.structs.replace(status, conditions=tuple(own), qos_class="")


def _type_of(condition: Condition) -> str:
    return condition.type


def _why(situation: Situation, phase: str) -> Object:
    """Return reason and message of a pod that was given up."""
    failed, kept = situation.failed, situation.pod.status
    if phase == kept.phase and kept.reason:
        return {"reason": kept.reason, **({"message": kept.message} if kept.message else {})}
    if phase == "Failed" and failed is not None:
        return {"reason": failed.reason, "message": failed.message}
    return {}


def _phase(situation: Situation, statuses: Mapping[str, Object]) -> str:
    pod = situation.pod
    if pod.status.phase in TERMINAL_PHASES:
        return pod.status.phase  # a pod that has ended never comes back
    if situation.failed is not None and not situation.observed.active:
        return "Failed"
    phase = _phase_of_containers(situation, statuses)
    if phase in TERMINAL_PHASES and situation.observed.active:
        # told when nothing of it runs any more: its places are free from then on
        return pod.status.phase or "Pending"
    if situation.ended and phase not in TERMINAL_PHASES:
        return "Failed"
    return phase


def _phase_of_containers(situation: Situation, statuses: Mapping[str, Object]) -> str:
    spec = situation.pod.spec
    ordinary = [statuses[c.name] for c in spec.containers]
    beside = [statuses[c.name] for c in sidecars(spec)]
    initialized = any("running" in s["state"] or _has_ended(s) for s in ordinary)
    if any(_init_failed(situation, c, statuses[c.name]) for c in spec.init_containers):
        return "Failed"
    if any(_is_due(c, statuses[c.name], initialized) for c in spec.init_containers):
        return "Pending"
    if any("waiting" in s["state"] and not s["lastState"] for s in (*ordinary, *beside)):
        return "Pending"
    if any("running" in s["state"] for s in (*ordinary, *beside)):
        return "Running"
    codes = {c.name: _exit_code(statuses[c.name]) for c in spec.containers}
    if not situation.ended and any(restarts(spec, c, codes[c.name]) for c in spec.containers):
        return "Running"
    return "Succeeded" if not any(codes.values()) else "Failed"


def _is_due(container: Container, status: Object, initialized: bool) -> bool:
    """True when the pod waits for an init container to do its work for the first time."""
    if is_sidecar(container):
        unstarted = "running" in status["state"] and not status["started"]
        fresh = "waiting" in status["state"] and not status["lastState"]
        return (unstarted or fresh) and not initialized
    return not _has_ended(status)


def _init_failed(situation: Situation, container: Container, status: Object) -> bool:
    """True when an ordinary init container has failed and is not started again."""
    if is_sidecar(container) or not _has_ended(status):
        return False
    code = _exit_code(status)
    return code != 0 and not init_restarts(situation.pod.spec, container, code)


def _has_ended(status: Object) -> bool:
    """True when the container has ended, be it that it waits for its next start."""
    if "running" in status["state"]:
        return False
    return "terminated" in status["state"] or "terminated" in status["lastState"]


def _exit_code(status: Object) -> int:
    ended = status["state"].get("terminated") or status["lastState"].get("terminated") or {}
    return int(ended.get("exitCode", 0))
