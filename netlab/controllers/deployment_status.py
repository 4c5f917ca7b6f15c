"""What a Deployment's status says: counts, and the conditions Available, Progressing and
ReplicaFailure with Kubernetes' reasons and messages.

Mirrors ``progress.go`` and ``sync.go`` of kube-controller-manager's deployment controller. The
Progressing condition is the rollout's clock: its lastUpdateTime moves with every step forward, and
a rollout that stands still for ``progressDeadlineSeconds`` has failed (it goes on nevertheless).
Pure.

netlab leaves out ``status.terminatingReplicas``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from netlab.api.apps import Deployment, DeploymentStatus, ReplicaSet
from netlab.api.kinds import DEPLOYMENT
from netlab.api.meta import Condition
from netlab.api.view import Object
from netlab.controllers.actions import Patch
from netlab.controllers.rollout import max_unavailable
from netlab.timestamps import rfc3339

NO_DEADLINE = 2**31 - 1
AVAILABLE, PROGRESSING, FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What this pass found out about the new ReplicaSet; reason "" when nothing special."""

    status: str = "True"
    reason: str = ""
    message: str = ""


def has_deadline(deployment: Deployment) -> bool:
    """Return whether standing still for too long counts as failure."""
    return deployment.spec.progress_deadline_seconds < NO_DEADLINE


def next_status(
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    *,
    rolling_out: bool,
    progress: Progress,
    collisions: int | None,
    now: datetime,
) -> DeploymentStatus:
    """Return the status after this pass. rolling_out False: paused or being scaled."""
    counted = _counts(deployment, new, old, collisions)
    conditions = {condition.type: condition for condition in deployment.status.conditions}
    _check_pause(deployment, conditions, now)
    if progress.reason and has_deadline(deployment):
        _set(conditions, PROGRESSING, progress.status, progress.reason, progress.message, now)
    _set_available(deployment, counted, conditions, now)
    if rolling_out:
        _set_progress(deployment, counted, new, conditions, now)
        _set_failure(new, old, conditions)
    return msgspec.structs.replace(counted, conditions=tuple(conditions.values()))


def _counts(
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    collisions: int | None,
) -> DeploymentStatus:
    sets = [*old, *([new] if new is not None else [])]
    available = sum(rs.status.available_replicas for rs in sets)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updated_replicas=new.status.replicas if new is not None else 0,
        ready_replicas=sum(rs.status.ready_replicas for rs in sets),
        available_replicas=available,
        unavailable_replicas=max(0, sum(rs.spec.replicas for rs in sets) - available),
        collision_count=collisions,
    )


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Return whether all wanted pods are of the new template and available, and no others left."""
    wanted = deployment.spec.replicas
    return (
        status.updated_replicas == wanted
        and status.replicas == wanted
        and status.available_replicas == wanted
        and status.observed_generation >= deployment.metadata.generation
    )


def _moved_on(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    return (
        new.updated_replicas > old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    )


def _set(
    conditions: dict[str, Condition],
    kind: str,
    status: str,
    reason: str,
    message: str,
    now: datetime,
    *,
    renew: bool = False,
) -> None:
    """Set a condition; the same status and reason keep it as it is unless ``renew``."""
    current = conditions.get(kind)
    if current is not None and (current.status, current.reason) == (status, reason) and not renew:
        return
    same = current is not None and current.status == status
    since = current.last_transition_time if current is not None and same else now
    conditions.pop(kind, None)
    conditions[kind] = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_update_time=now,
        last_transition_time=since,
    )


def _check_pause(deployment: Deployment, conditions: dict[str, Condition], now: datetime) -> None:
    current = conditions.get(PROGRESSING)
    if not has_deadline(deployment) or (current is not None and current.reason == TIMED_OUT):
        return
    was_paused = current is not None and current.reason == PAUSED
    if deployment.spec.paused and not was_paused:
        _set(conditions, PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now)
    elif was_paused and not deployment.spec.paused:
        _set(conditions, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now)


def _set_available(
    deployment: Deployment,
    status: DeploymentStatus,
    conditions: dict[str, Condition],
    now: datetime,
) -> None:
    if status.available_replicas >= deployment.spec.replicas - max_unavailable(deployment):
        message = "Deployment has minimum availability."
        _set(conditions, AVAILABLE, "True", "MinimumReplicasAvailable", message, now)
    else:
        message = "Deployment does not have minimum availability."
        _set(conditions, AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)


def _set_progress(
    deployment: Deployment,
    status: DeploymentStatus,
    new: ReplicaSet | None,
    conditions: dict[str, Condition],
    now: datetime,
) -> None:
    if not has_deadline(deployment):
        conditions.pop(PROGRESSING, None)
        return
    current = conditions.get(PROGRESSING)
    finished = current is not None and current.reason == NEW_SET_AVAILABLE
    if finished and status.replicas == status.updated_replicas:
        return  # a later crash of a pod is no rollout
    name = f'Deployment "{deployment.metadata.name}"'
    if new is not None:
        name = f'ReplicaSet "{new.metadata.name}"'
    if is_complete(deployment, status):
        message = f"{name} has successfully progressed."
        _set(conditions, PROGRESSING, "True", NEW_SET_AVAILABLE, message, now)
    elif _moved_on(deployment.status, status):
        message = f"{name} is progressing."
        _set(conditions, PROGRESSING, "True", "ReplicaSetUpdated", message, now, renew=True)
    elif (left_s := deadline_in_s(deployment, conditions, now)) is not None and left_s < 0:
        message = f"{name} has timed out progressing."
        _set(conditions, PROGRESSING, "False", TIMED_OUT, message, now)


def deadline_in_s(
    deployment: Deployment, conditions: dict[str, Condition], now: datetime
) -> float | None:
    """Return the seconds left until the rollout counts as stuck; None when it cannot be."""
    current = conditions.get(PROGRESSING)
    if current is None or current.reason in (NEW_SET_AVAILABLE, TIMED_OUT, PAUSED):
        return None
    since = current.last_update_time or current.last_transition_time
    if since is None or not has_deadline(deployment):
        return None
    return deployment.spec.progress_deadline_seconds - (now - since).total_seconds()


def _set_failure(
    new: ReplicaSet | None, old: Sequence[ReplicaSet], conditions: dict[str, Condition]
) -> None:
    """Move the failure of a ReplicaSet up to the Deployment; the new set's counts first."""
    failures = [
        condition
        for rs in [*([new] if new is not None else []), *old]
        for condition in rs.status.conditions
        if condition.type == FAILURE and condition.status == "True"
    ]
    if not failures:
        conditions.pop(FAILURE, None)
        return
    failure = failures[0]
    when = failure.last_transition_time
    if when is not None:
        _set(conditions, FAILURE, "True", failure.reason, failure.message, when)


def status_patch(deployment: Deployment, status: DeploymentStatus) -> Patch | None:
    """Return the write of the status, or None when it is the present one."""
    if status == deployment.status:
        return None
    body: Object = {
        "observedGeneration": status.observed_generation,
        # counts of zero are left out, as Kubernetes' omitempty does; null removes them
        "replicas": status.replicas or None,
        "updatedReplicas": status.updated_replicas or None,
        "readyReplicas": status.ready_replicas or None,
        "availableReplicas": status.available_replicas or None,
        "unavailableReplicas": status.unavailable_replicas or None,
        "collisionCount": status.collision_count,
        "conditions": [_condition_json(condition) for condition in status.conditions],
    }
    meta = deployment.metadata
    return Patch(
        DEPLOYMENT,
        meta.namespace,
        meta.name,
        {"status": body},
        subresource="status",
        gone_ok=True,
    )


def _condition_json(condition: Condition) -> Object:
    entry: Object = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
    }
    for key, moment in (
        ("lastUpdateTime", condition.last_update_time),
        ("lastTransitionTime", condition.last_transition_time),
    ):
        if moment is not None:
            entry[key] = rfc3339(moment)
    return entry
