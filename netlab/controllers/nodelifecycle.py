"""Decides what is known of a node whose agent is silent, and what becomes of its pods.

Mirrors kube-controller-manager's ``node-lifecycle-controller`` and ``podgc``: a node whose lease
has not been renewed for 40 seconds is Unknown, and its pods are no longer ready; taints say what
keeps pods off a node; pods of a node that does not exist are removed. Pure.

A node that is not ready, or silent, gets each taint twice: NoSchedule keeps new pods off, NoExecute
makes ``tainteviction`` send the others away when they have put up with it for as long as they do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from netlab.api.core import Node
from netlab.api.discovery import Lease
from netlab.api.kinds import NODE, POD
from netlab.api.meta import Condition
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.controllers.actions import Action, Burst, Decision, Delete, Note, Patch
from netlab.timestamps import rfc3339

GRACE_S = 40.0
"""Kubernetes' node-monitor-grace-period was 40 s for years; agents renew every 10 s."""

QUARANTINE_S = 40.0
"""How long a node must be missing before its pods are removed, as in podgc."""

LEASE_NAMESPACE = "kube-node-lease"
TAINTS = {
    "False": "node.kubernetes.io/not-ready",
    "Unknown": "node.kubernetes.io/unreachable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OURS = {*TAINTS.values(), UNSCHEDULABLE}


def decide_node(
    node: Node,
    lease: Lease | None,
    pods: Iterable[Pod],
    now: datetime,
    *,
    watching_since: datetime | None = None,
) -> Decision:
    """Return the writes that tell the node's state. pods: those bound to the node.

    watching_since: when this controller began to listen; what was silent before is no silence.
    """
    left_s = _seconds_left(node, lease, now)
    if watching_since is not None:
        left_s = max(left_s, GRACE_S - (now - watching_since).total_seconds())
    ready = _ready_condition(node)
    status = ready.status if ready is not None else "False"
    actions: list[Action] = []
    if left_s <= 0:
        if status != "Unknown":
            actions += _lose(node, now)
            status = "Unknown"
        actions += _unready(pods, now)
    taints = _taints(node, status, now)
    if taints is not None:
        actions.append(taints)
    # while the agent is heard the question comes back when the lease would run out
    return Decision(tuple(actions), requeue_after_s=left_s if left_s > 0 else None)


def _ready_condition(node: Node) -> Condition | None:
    return next((c for c in node.status.conditions if c.type == "Ready"), None)


def _seconds_left(node: Node, lease: Lease | None, now: datetime) -> float:
    heard = None if lease is None else lease.spec.renew_time
    heard = heard or node.metadata.creation_timestamp
    return GRACE_S - (now - heard).total_seconds() if heard is not None else GRACE_S


def _lose(node: Node, now: datetime) -> list[Action]:
    name = node.metadata.name
    condition = {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastTransitionTime": rfc3339(now),
    }
    patch = {"status": {"conditions": [condition]}}
    return [
        Patch(NODE, None, name, patch, "status", "strategic", gone_ok=True),
        Note(NODE, node, "NodeNotReady", f"Node {name} status is now: NodeNotReady"),
    ]


def _unready(pods: Iterable[Pod], now: datetime) -> list[Action]:
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(now)}
    patch = {"status": {"conditions": [condition]}}
    return [
        Patch(
            POD, pod.metadata.namespace, pod.metadata.name, patch, "status", "strategic",
            gone_ok=True,
        )
        for pod in pods
        if pod.ready
    ]  # fmt: skip


def _taints(node: Node, status: str, now: datetime) -> Patch | None:
    wanted: list[Object] = [
        taint.to_object() for taint in node.spec.taints if taint.key not in OURS
    ]
    if status in TAINTS:
        wanted.append({"key": TAINTS[status], "effect": "NoSchedule"})
        wanted.append({"key": TAINTS[status], "effect": "NoExecute", "timeAdded": rfc3339(now)})
    if node.spec.unschedulable:
        wanted.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    present = [taint.to_object() for taint in node.spec.taints]
    if sorted(map(_taint_key, wanted)) == sorted(map(_taint_key, present)):
        return None
    patch = {
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "spec": {"taints": wanted or None},
    }
    return Patch(NODE, None, node.metadata.name, patch, gone_ok=True)


def _taint_key(taint: Object) -> tuple[Any, ...]:
    return (taint["key"], taint["effect"], taint.get("value", ""))


def decide_nodeless_pods(pods: Iterable[Pod], missing_s: float) -> Decision:
    """Return the removal of pods that are bound to a node that does not exist.

    missing_s: for how long it has been missing; a node that was deleted by mistake may register
    again in time, and then keeps its pods.
    """
    if missing_s < QUARANTINE_S:
        return Decision(requeue_after_s=QUARANTINE_S - missing_s)
    deletions = [
        Delete(POD, pod.metadata.namespace, pod.metadata.name, pod.metadata.uid, grace_period_s=0)
        for pod in pods
    ]
    return Decision((Burst(deletions),)) if deletions else Decision()
