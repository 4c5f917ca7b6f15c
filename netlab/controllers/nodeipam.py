"""Decides which part of the pods' range a node gets.

Mirrors kube-controller-manager's ``node-ipam-controller`` with its range allocator: each node gets
a /24 of the cluster's range, the lowest that no other node has. A node that registers with a range
keeps it. What a node has got never changes, because its pods live in it; a node that is deleted
gives it back. A cluster's range of a /24 or less is one node's. Pure.

Left out: IPv6, and other sizes than /24 (``--node-cidr-mask-size``).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from netlab.api.core import Node
from netlab.api.kinds import NODE
from netlab.controllers.actions import NOTHING, Decision, Note, Patch

NODE_PREFIX = 24
RETRY_S = 10.0


def decide_range(node: Node, others: Iterable[Node], cluster_cidr: IPv4Network) -> Decision:
    """Return the write that gives the node its range, or the event that there is none left."""
    if node.spec.pod_cidr:
        return NOTHING
    name, taken = node.metadata.name, {other.spec.pod_cidr for other in others}
    found = free_range(cluster_cidr, taken)
    if found is None:
        text = f"Node {name} status is now: CIDRNotAvailable"
        return Decision((Note(NODE, node, "CIDRNotAvailable", text),), requeue_after_s=RETRY_S)
    spec = {"podCIDR": str(found), "podCIDRs": [str(found)]}
    return Decision((Patch(NODE, None, name, {"spec": spec}, gone_ok=True),))


def free_range(cluster_cidr: IPv4Network, taken: Iterable[str]) -> IPv4Network | None:
    """Return the lowest part of the range that meets none of those taken; None when all do."""
    used = [network for text in taken if (network := _network(text)) is not None]
    prefix = max(NODE_PREFIX, cluster_cidr.prefixlen)
    for part in cluster_cidr.subnets(new_prefix=prefix):
        if not any(part.overlaps(other) for other in used):
            return part
    return None


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text) if text else None
    except ValueError:
        return None  # somebody's own invention meets no range of ours
