"""Decides how a ReplicaSet reaches its number of pods.

Mirrors kube-controller-manager's ``pkg/controller/replicaset``: claim pods (adopt orphans that
match the selector, release owned pods that no longer match), create what is missing or delete
what is too much, then write the status. Pure: ``pods`` are the pods the
ReplicaSet owns plus the orphans of its namespace, as the cache shows them.

netlab leaves out ``status.terminatingReplicas``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from netlab.api.apps import ReplicaSet
from netlab.api.kinds import POD, REPLICA_SET, Kind
from netlab.api.meta import Condition
from netlab.api.pods import Pod
from netlab.api.selectors import LabelMatcher, label_matcher
from netlab.api.view import Object
from netlab.controllers.actions import (
    Action,
    Announcement,
    Burst,
    Create,
    Decision,
    Delete,
    Outcome,
    Patch,
    adoption,
    controller_of,
    owner_reference,
    without_owners,
)
from netlab.controllers.selection import claims
from netlab.timestamps import rfc3339

BURST_REPLICAS = 500
"""At most this many pods are created or deleted before the ReplicaSet is looked at again."""

DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"

PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def decide_replica_set(
    rs: ReplicaSet,
    pods: Sequence[Pod],
    related: Sequence[Pod],
    now: datetime,
    *,
    kind: Kind[Any] = REPLICA_SET,
) -> Decision:
    """Return what brings the ReplicaSet's pods to the number it wants.

    related: pods of all ReplicaSets of the same controller; victims are taken first from nodes
    that hold many of them. kind: what ``rs`` really is, when it only wants what a ReplicaSet would
    (a ReplicationController).
    """
    matcher = label_matcher(rs.spec.selector)
    own, claiming = claim(rs, pods, matcher, kind)
    active = [pod for pod in own if is_active(pod)]
    scaling: tuple[Action, ...] = ()
    if rs.metadata.deletion_timestamp is None:
        scaling = scale(rs, active, related, now, kind)

    def then(outcome: Outcome) -> tuple[Action, ...]:
        created = [POD.view.parse(o) for o in outcome.written if is_created_pod(rs, o, own)]
        status = status_patch(rs, [*active, *created], matcher, outcome, now, kind)
        return () if status is None else (status,)

    return Decision((*claiming, *scaling), then, _available_in_s(rs, active, now))


def is_created_pod(rs: ReplicaSet, obj: Object, known: Iterable[Pod]) -> bool:
    """Return whether a written object is a pod that was not among the known ones."""
    if obj.get("kind") != POD.kind or obj["metadata"].get("deletionTimestamp"):
        return False
    uid = obj["metadata"].get("uid")
    return all(pod.metadata.uid != uid for pod in known)


def claim(
    rs: ReplicaSet, pods: Iterable[Pod], matcher: LabelMatcher, kind: Kind[Any] = REPLICA_SET
) -> tuple[list[Pod], tuple[Action, ...]]:
    """Return the ReplicaSet's pods, and the actions that adopt and release."""
    own: list[Pod] = []
    actions: list[Action] = []
    for pod in pods:
        owner = controller_of(pod)
        matches = matcher.matches(pod.metadata.labels)
        if owner is not None:
            if owner.uid != rs.metadata.uid:
                continue
            if matches:
                own.append(pod)
            elif rs.metadata.deletion_timestamp is None:
                actions.append(without_owners(POD, pod, frozenset({rs.metadata.uid})))
        elif is_active(pod) and claims(pod, rs, matcher):
            own.append(pod)
            actions.append(adoption(POD, pod, kind, rs))
    return own, tuple(actions)


def is_active(pod: Pod) -> bool:
    """Return whether a pod counts: neither ended nor being deleted."""
    return (
        pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None
    )


def scale(
    rs: ReplicaSet,
    active: Sequence[Pod],
    related: Sequence[Pod],
    now: datetime,
    kind: Kind[Any] = REPLICA_SET,
) -> tuple[Action, ...]:
    """Return the creations or deletions that are due."""
    missing = rs.spec.replicas - len(active)
    if missing > 0:
        return (Burst([new_pod(rs, kind)] * min(missing, BURST_REPLICAS)),)
    if missing < 0:
        victims = choose_victims(active, related, now)[: min(-missing, BURST_REPLICAS)]
        return (Burst([_deletion(rs, pod, kind) for pod in victims]),)
    return ()


def new_pod(rs: ReplicaSet, kind: Kind[Any] = REPLICA_SET) -> Create:
    """Return the creation of one pod from the template."""
    template = rs.spec.template
    metadata = {
        key: value
        for key, value in template.metadata.items()
        if key in ("labels", "annotations", "finalizers")
    }
    metadata["generateName"] = f"{rs.metadata.name}-"
    metadata["namespace"] = rs.metadata.namespace
    metadata["ownerReferences"] = [owner_reference(kind, rs)]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.spec}
    return Create(
        POD,
        pod,
        Announcement(
            kind,
            rs,
            "SuccessfulCreate",
            "Created pod: {name}",
            "FailedCreate",
            "Error creating: {error}",
        ),
    )


def _deletion(rs: ReplicaSet, pod: Pod, kind: Kind[Any]) -> Delete:
    return Delete(
        POD,
        pod.metadata.namespace,
        pod.metadata.name,
        pod.metadata.uid,
        announce=Announcement(
            kind,
            rs,
            "SuccessfulDelete",
            "Deleted pod: {name}",
            "FailedDelete",
            "Error deleting: {error}",
        ),
    )


def choose_victims(pods: Sequence[Pod], related: Iterable[Pod], now: datetime) -> list[Pod]:
    """Return the pods in the order in which they are deleted.

    First go: not bound to a node; Pending, then Unknown, then Running; not ready; the lower
    deletion cost; on a node with more related pods; ready for a shorter time; more restarts;
    younger. Times are compared by their power of two, so that a short difference does not decide.
    """
    per_node = Counter(pod.spec.node_name for pod in related if is_active(pod))

    def rank(pod: Pod) -> tuple[Any, ...]:
        return (
            bool(pod.spec.node_name),
            PHASE_RANK.get(pod.status.phase, 1),
            pod.ready,
            _deletion_cost(pod),
            -per_node[pod.spec.node_name],
            _age_rank(_ready_since(pod), now) if pod.ready else 0,
            -max((status.restart_count for status in pod.status.container_statuses), default=0),
            _age_rank(pod.metadata.creation_timestamp, now),
            pod.metadata.uid,
        )

    return sorted(pods, key=rank)


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST_ANNOTATION, "0"))
    except ValueError:
        return 0


def _ready_since(pod: Pod) -> datetime | None:
    condition = pod.status.condition("Ready")
    return None if condition is None else condition.last_transition_time


def _age_rank(since: datetime | None, now: datetime) -> int:
    age_s = 0.0 if since is None else (now - since).total_seconds()
    return int(math.log2(age_s)) + 1 if age_s >= 1 else 0


def is_available(pod: Pod, min_ready_s: int, now: datetime) -> bool:
    """Return whether a pod has been ready for long enough."""
    if not pod.ready:
        return False
    since = _ready_since(pod)
    return min_ready_s == 0 or (since is not None and (now - since).total_seconds() >= min_ready_s)


def _available_in_s(rs: ReplicaSet, active: Iterable[Pod], now: datetime) -> float | None:
    """Return when the next ready pod becomes available, or None when none will by waiting."""
    minimum_s = rs.spec.min_ready_seconds
    waits = [
        minimum_s - (now - since).total_seconds()
        for pod in active
        if pod.ready and (since := _ready_since(pod)) is not None
    ]
    return min((wait for wait in waits if wait > 0), default=None)


def status_patch(
    rs: ReplicaSet,
    active: Sequence[Pod],
    matcher: LabelMatcher,
    outcome: Outcome,
    now: datetime,
    kind: Kind[Any] = REPLICA_SET,
) -> Patch | None:
    """Return the write of the status, or None when it is already right."""
    labels = (rs.spec.template.metadata.get("labels") or {}).items()
    # what was patched in this pass (adopted pods) is counted by its new state next time
    counted = [pod for pod in active if matcher.matches(pod.metadata.labels)]
    ready = [pod for pod in counted if pod.ready]
    available = [pod for pod in ready if is_available(pod, rs.spec.min_ready_seconds, now)]
    counts = (
        len(counted),
        sum(1 for pod in counted if labels <= pod.metadata.labels.items()),
        len(ready),
        len(available),
    )
    old = rs.status
    before = (
        old.replicas, old.fully_labeled_replicas, old.ready_replicas, old.available_replicas
    )  # fmt: skip
    conditions = _conditions(old.conditions, outcome, now)
    settled = old.observed_generation >= rs.metadata.generation and conditions is None
    if settled and counts == before:
        return None
    status: Object = {
        "replicas": counts[0],
        # a count of zero is left out, as Kubernetes' omitempty does; null removes it
        "fullyLabeledReplicas": counts[1] or None,
        "readyReplicas": counts[2] or None,
        "availableReplicas": counts[3] or None,
        "observedGeneration": rs.metadata.generation,
    }
    if conditions is not None:
        status["conditions"] = conditions or None
    return Patch(
        kind,
        rs.metadata.namespace,
        rs.metadata.name,
        {"status": status},
        subresource="status",
        gone_ok=True,
    )


def _conditions(old: Sequence[Condition], outcome: Outcome, now: datetime) -> list[Object] | None:
    """Return the new conditions, or None when they stay as they are."""
    failure = next((entry for entry in outcome.failures), None)
    had = any(condition.type == "ReplicaFailure" for condition in old)
    others = [c.to_object() for c in old if c.type != "ReplicaFailure"]
    if failure is None:
        return others if had else None
    if had or not isinstance(failure[0], Create | Delete):
        return None
    return [
        *others,
        {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": rfc3339(now),
            "reason": "FailedCreate" if isinstance(failure[0], Create) else "FailedDelete",
            "message": failure[1].message,
        },
    ]
