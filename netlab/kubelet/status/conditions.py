"""Decides the conditions of a pod, as kubelet v1.36 writes them.

Mirrors ``pkg/kubelet/status/generate.go``. Conditions of other writers, readiness gates among them,
are kept as they are. lastTransitionTime changes only with the condition's status. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from netlab.api.containers import Container
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.kubelet.planning.restarting import is_sidecar, sidecars
from netlab.timestamps import rfc3339

OWNED_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says; reason and message "" are left out."""

    status: str
    reason: str = ""
    message: str = ""


TRUE = Verdict("True")


def pod_conditions(
    pod: Pod, statuses: Mapping[str, Object], phase: str, *, can_start: bool, now: datetime
) -> list[Object]:
    """Return all conditions: first those of others, then the kubelet's own.

    statuses: by name, those of the containers. can_start: the sandbox runs and has an address.
    """
    containers_ready = _containers_ready(pod, statuses, phase)
    wanted = {
        "PodReadyToStartContainers": TRUE if can_start else Verdict("False"),
        "Initialized": _initialized(pod, statuses, phase),
        "Ready": _ready(pod, containers_ready),
        "ContainersReady": containers_ready,
        "PodScheduled": TRUE,
    }
    kept = [c.to_object() for c in pod.status.conditions if c.type not in OWNED_CONDITIONS]
    return kept + [_condition(pod, kind, wanted[kind], now) for kind in OWNED_CONDITIONS]


def scheduled_condition(pod: Pod, now: datetime) -> list[Object]:
    """Return all that is to be told of a pod that this node did not take: it was bound here."""
    return [_condition(pod, "PodScheduled", TRUE, now)]


def _initialized(pod: Pod, statuses: Mapping[str, Object], phase: str) -> Verdict:
    if phase == "Succeeded":
        return Verdict("True", "PodCompleted")
    incomplete = [c.name for c in pod.spec.init_containers if not _is_complete(c, statuses)]
    # once an ordinary container has started, a sidecar that is down takes nothing back
    if not incomplete or any(statuses[c.name]["started"] for c in pod.spec.containers):
        return TRUE
    message = f"containers with incomplete status: {_listed(incomplete)}"
    return Verdict("False", "ContainersNotInitialized", message)


def _is_complete(container: Container, statuses: Mapping[str, Object]) -> bool:
    status = statuses[container.name]
    return bool(status["started"] if is_sidecar(container) else status["ready"])


def _containers_ready(pod: Pod, statuses: Mapping[str, Object], phase: str) -> Verdict:
    if phase == "Succeeded":
        return Verdict("False", "PodCompleted")
    if phase == "Failed":
        return Verdict("False", "PodFailed")
    counted = (*sidecars(pod.spec), *pod.spec.containers)
    unready = [c.name for c in counted if not statuses[c.name]["ready"]]
    if not unready:
        return TRUE
    message = f"containers with unready status: {_listed(unready)}"
    return Verdict("False", "ContainersNotReady", message)


def _ready(pod: Pod, containers_ready: Verdict) -> Verdict:
    if containers_ready is not TRUE:
        return containers_ready
    messages = []
    for gate in pod.spec.readiness_gates:
        kind = gate.condition_type
        found = pod.status.condition(kind)
        if found is None:
            messages.append(
                f'corresponding condition of pod readiness gate "{kind}" does not exist.'
            )
        elif found.status != "True":
            messages.append(
                f'the status of pod readiness gate "{kind}" is not "True", but {found.status}'
            )
    if messages:
        return Verdict("False", "ReadinessGatesNotReady", ", ".join(messages))
    return TRUE


def _listed(names: Iterable[str]) -> str:
    """Return names as Go prints a slice."""
    return f"[{' '.join(names)}]"


def _condition(pod: Pod, kind: str, verdict: Verdict, now: datetime) -> Object:
    old = pod.status.condition(kind)
    changed = now
    if old is not None and old.status == verdict.status and old.last_transition_time:
        changed = old.last_transition_time
    built: Object = {"type": kind}
    if pod.metadata.generation:
        built["observedGeneration"] = pod.metadata.generation
    built |= {
        "status": verdict.status,
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(changed),
    }
    if verdict.reason:
        built["reason"] = verdict.reason
    if verdict.message:
        built["message"] = verdict.message
    return built
