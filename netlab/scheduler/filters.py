"""Which nodes a pod may run on, each refusal with Kubernetes' reason.

Mirrors the filter plugins of kube-scheduler: NodeUnschedulable, TaintToleration, NodeAffinity (its
``nodeSelector`` part), NodePorts. A ``Filter`` judges one pod and one node; a ``PodCheck`` judges
the pod alone (upstream's PreFilter), and what it refuses runs on no node. Both see the rest of the
cluster through a ``Context`` and are pure. Which of them run, and in which order: ``plugins``.

A node whose Ready condition is not True counts as tainted ``not-ready`` (or ``unreachable``), even
before the node controller has written that taint. Pure.

netlab leaves out affinity terms and topology spread. NodeName has no work to do: a pod that names
its node never comes to the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from netlab.api.core import Node, Taint
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.taints import tolerates

UNSCHEDULABLE = "node(s) were unschedulable"
TAINTED = "node(s) had untolerated taint(s)"
WRONG_LABELS = "node(s) didn't match Pod's node affinity/selector"
NO_FREE_PORTS = "node(s) didn't have free ports for the requested pod ports"

UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
NOT_READY_TAINT = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNREACHABLE_TAINT = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")
_ANY_ADDRESS = ("", "0.0.0.0")


@dataclass(frozen=True, slots=True)
class Context:
    """What filters may look up, as of now.

    pods_on(node name): the pods bound there that have not ended, among them those whose binding is
    under way. claim(namespace, name), storage_class(name) and volume(name): None when there is no
    such object. claims() and volumes(): all of them.
    """

    pods_on: Callable[[str], Sequence[Pod]]
    claim: Callable[[str, str], PersistentVolumeClaim | None] = lambda namespace, name: None
    volume: Callable[[str], PersistentVolume | None] = lambda name: None
    storage_class: Callable[[str], StorageClass | None] = lambda name: None
    claims: Callable[[], Sequence[PersistentVolumeClaim]] = lambda: ()
    volumes: Callable[[], Sequence[PersistentVolume]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node does not take the pod; each reason as it stands in the FailedScheduling event.

    pods_in_the_way: the node would do without some of the pods it has, so that Kubernetes looks for
    pods of lower priority to evict (netlab finds none).
    """

    reasons: tuple[str, ...]
    pods_in_the_way: bool = False


Filter: TypeAlias = Callable[[Pod, Node, Context], Rejection | None]
PodCheck: TypeAlias = Callable[[Pod, Context], Rejection | None]
"""Refuses the pod on every node; the reasons are told without a count of nodes."""

Placement: TypeAlias = Callable[[Pod, Context], Sequence[PersistentVolumeClaim]]
"""Names the claims that must learn of the chosen node, and be bound, before the pod may be bound
(WaitForFirstConsumer)."""


def node_is_schedulable(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse cordoned nodes."""
    if node.spec.unschedulable and not tolerates(pod, UNSCHEDULABLE_TAINT):
        return Rejection((UNSCHEDULABLE,))
    return None


def node_taints_are_tolerated(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse nodes with a NoSchedule or NoExecute taint the pod does not put up with."""
    for taint in _taints(node):
        hard = taint.effect in ("NoSchedule", "NoExecute")
        if hard and not tolerates(pod, taint):
            return Rejection((TAINTED,))
    return None


def _taints(node: Node) -> Iterator[Taint]:
    yield from node.spec.taints
    ready = next((c.status for c in node.status.conditions if c.type == "Ready"), "False")
    if ready == "Unknown":
        yield UNREACHABLE_TAINT
    elif ready != "True":
        yield NOT_READY_TAINT


def node_labels_match(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse nodes without the labels of ``nodeSelector``."""
    if pod.spec.node_selector.items() <= node.metadata.labels.items():
        return None
    return Rejection((WRONG_LABELS,))


def node_ports_are_free(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse nodes where another pod has a host port that this one wants."""
    wanted = list(_host_ports(pod))
    if not wanted:
        return None
    used = [port for other in context.pods_on(node.metadata.name) for port in _host_ports(other)]
    if any(_ports_clash(left, right) for left in wanted for right in used):
        return Rejection((NO_FREE_PORTS,), pods_in_the_way=True)
    return None


def _host_ports(pod: Pod) -> Iterator[tuple[str, str, int]]:
    """Yield (address, protocol, port); a container that ends before the others has none."""
    lasting = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    for container in (*lasting, *pod.spec.containers):
        for port in container.ports:
            if port.host_port > 0:
                yield port.host_ip, port.protocol, port.host_port


def _ports_clash(left: tuple[str, str, int], right: tuple[str, str, int]) -> bool:
    if left[1:] != right[1:]:
        return False
    return left[0] == right[0] or left[0] in _ANY_ADDRESS or right[0] in _ANY_ADDRESS
