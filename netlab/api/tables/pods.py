"""The row of a Pod: readiness, the STATUS word and restarts.

Mirrors ``printPod``. The STATUS word is not the phase: the most telling reason wins, in the order
init container, container, phase, and deletion beats all but a finished pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from netlab.api.durations import age, human_duration, parse_time
from netlab.api.printing import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    metadata,
    part,
    wide,
)
from netlab.api.view import Object

COLUMNS = (
    NAME,
    Column("Ready", description="Containers that are ready, of all that shall run."),
    Column("Status", description="The state of the pod's life, in one word."),
    Column("Restarts", description="How often containers were restarted, and when last."),
    AGE,
    wide("IP", description="The pod's address."),
    wide("Node", description="The node the pod is bound to."),
    wide("Nominated Node", description="The node that makes room for the pod."),
    wide("Readiness Gates", description="Readiness gates that are true, of all."),
)


@dataclass(slots=True)
class _Tally:
    """What is counted while walking over the containers."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: datetime | None = None
    sidecar_restarts: int = 0
    last_sidecar_restart: datetime | None = None
    initializing: bool = False
    statuses: list[Mapping[str, Any]] = field(default_factory=list)


def pod_cells(pod: Object, now: datetime) -> Cells:
    """Return the cells of ``COLUMNS`` for a pod."""
    spec, status = part(pod, "spec"), part(pod, "status")
    tally = _tally(spec, status)
    total = len(spec.get("containers") or ()) + sum(
        1 for container in spec.get("initContainers") or () if _is_sidecar(container)
    )
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart is not None:
        ago = human_duration((now - tally.last_restart).total_seconds())
        restarts = f"{tally.restarts} ({ago} ago)"
    ips = status.get("podIPs") or ()
    return [
        metadata(pod).get("name", ""),
        f"{tally.ready}/{total}",
        _with_deletion(pod, status, tally.reason),
        restarts,
        age(metadata(pod).get("creationTimestamp"), now),
        (ips[0].get("ip") if ips else None) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def pod_conditions(pod: Object) -> list[Object]:
    """Return the row condition that marks a finished pod."""
    match part(pod, "status").get("phase"):
        case "Succeeded":
            message = "The pod has completed successfully."
        case "Failed":
            message = "The pod failed."
        case _:
            return []
    reason = pod["status"]["phase"]
    return [{"type": "Completed", "status": "True", "reason": reason, "message": message}]


def _tally(spec: Mapping[str, Any], status: Mapping[str, Any]) -> _Tally:
    tally = _Tally(reason=status.get("reason") or status.get("phase") or "")
    conditions = status.get("conditions") or ()
    for condition in conditions:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            tally.reason = "SchedulingGated"
    _count_init_containers(tally, spec, status)
    if not tally.initializing or _is_true(conditions, "Initialized"):
        tally.restarts, tally.last_restart = tally.sidecar_restarts, tally.last_sidecar_restart
        _count_containers(tally, status)
    return tally


def _count_init_containers(
    tally: _Tally, spec: Mapping[str, Any], status: Mapping[str, Any]
) -> None:
    init_containers = spec.get("initContainers") or ()
    sidecars = {container["name"] for container in init_containers if _is_sidecar(container)}
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts, finished = _restarts(container)
        tally.restarts += restarts
        tally.last_restart = _later(tally.last_restart, finished)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            tally.sidecar_restarts += restarts
            tally.last_sidecar_restart = _later(tally.last_sidecar_restart, finished)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            tally.ready += bool(container.get("ready"))
            continue
        tally.initializing = True
        if terminated is not None:
            tally.reason = "Init:" + _termination_reason(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            tally.reason = "Init:" + waiting["reason"]
        else:
            tally.reason = f"Init:{index}/{len(init_containers)}"
        return


def _count_containers(tally: _Tally, status: Mapping[str, Any]) -> None:
    has_running = False
    for container in reversed(status.get("containerStatuses") or ()):
        restarts, finished = _restarts(container)
        tally.restarts += restarts
        tally.last_restart = _later(tally.last_restart, finished)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            tally.reason = waiting["reason"]
        elif terminated is not None:
            tally.reason = _termination_reason(terminated)
        elif container.get("ready") and state.get("running") is not None:
            has_running = True
            tally.ready += 1
    if tally.reason == "Completed" and has_running:
        ready = _is_true(status.get("conditions") or (), "Ready")
        tally.reason = "Running" if ready else "NotReady"


def _with_deletion(pod: Object, status: Mapping[str, Any], reason: str) -> str:
    if not metadata(pod).get("deletionTimestamp"):
        return reason
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return reason if status.get("phase") in ("Succeeded", "Failed") else "Terminating"


def _restarts(container: Mapping[str, Any]) -> tuple[int, datetime | None]:
    last = (container.get("lastState") or {}).get("terminated") or {}
    return int(container.get("restartCount") or 0), parse_time(last.get("finishedAt"))


def _termination_reason(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def _is_sidecar(container: Mapping[str, Any]) -> bool:
    return container.get("restartPolicy") == "Always"


def _is_true(conditions: Iterable[Mapping[str, Any]], type: str) -> bool:
    return any(c.get("type") == type and c.get("status") == "True" for c in conditions)


def _readiness_gates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    conditions = status.get("conditions") or ()
    true = sum(1 for gate in gates if _is_true(conditions, gate.get("conditionType", "")))
    return f"{true}/{len(gates)}"


POD_PRINTER = Printer(COLUMNS, pod_cells, pod_conditions)
