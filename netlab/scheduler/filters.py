"""Which nodes a pod may run on, each refusal with Kubernetes' reason.

Mirrors the filter plugins of kube-scheduler, in its order: NodeUnschedulable, TaintToleration,
NodeAffinity (its ``nodeSelector`` part). A filter is a function from pod and node to a reason, or
None when the node passes; a further filter is one more entry of ``FILTERS``.

A node whose Ready condition is not True counts as tainted ``not-ready`` (or ``unreachable``), even
before the node controller has written that taint.

netlab leaves out resource requests, affinity terms, topology spread and volumes. NodeName has no
work to do: a pod that names its node never comes to the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from netlab.api.core import Node, Pod, Taint, Toleration

Filter: TypeAlias = Callable[[Pod, Node], str | None]

UNSCHEDULABLE = "node(s) were unschedulable"
TAINTED = "node(s) had untolerated taint(s)"
WRONG_LABELS = "node(s) didn't match Pod's node affinity/selector"

UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
NOT_READY_TAINT = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNREACHABLE_TAINT = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")


def tolerates(pod: Pod, taint: Taint) -> bool:
    """Return whether one of the pod's tolerations covers the taint."""
    return any(_covers(toleration, taint) for toleration in pod.spec.tolerations)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def node_is_schedulable(pod: Pod, node: Node) -> str | None:
    """Refuse cordoned nodes."""
    if node.spec.unschedulable and not tolerates(pod, UNSCHEDULABLE_TAINT):
        return UNSCHEDULABLE
    return None


def node_taints_are_tolerated(pod: Pod, node: Node) -> str | None:
    """Refuse nodes with a NoSchedule or NoExecute taint the pod does not put up with."""
    for taint in _taints(node):
        hard = taint.effect in ("NoSchedule", "NoExecute")
        if hard and not tolerates(pod, taint):
            return TAINTED
    return None


def _taints(node: Node) -> Iterator[Taint]:
    yield from node.spec.taints
    ready = next((c.status for c in node.status.conditions if c.type == "Ready"), "False")
    if ready == "Unknown":
        yield UNREACHABLE_TAINT
    elif ready != "True":
        yield NOT_READY_TAINT


def node_labels_match(pod: Pod, node: Node) -> str | None:
    """Refuse nodes without the labels of ``nodeSelector``."""
    if pod.spec.node_selector.items() <= node.metadata.labels.items():
        return None
    return WRONG_LABELS


FILTERS: tuple[Filter, ...] = (node_is_schedulable, node_taints_are_tolerated, node_labels_match)
