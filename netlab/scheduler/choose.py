"""Decides on which node a pod runs.

Mirrors one scheduling cycle of kube-scheduler: filter all nodes, score those that pass, take the
best; when none passes, say why, worded as ``kubectl describe pod`` shows it.

The only score so far is the number of pods a node already holds: fewer is better, and equal
nodes are taken in order of name, so that a decision can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from netlab.api.core import Node, Pod
from netlab.scheduler.filters import FILTERS

NO_NODES = "no nodes available to schedule pods"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node takes the pod; message as in the FailedScheduling event."""

    message: str


def choose_node(pod: Pod, nodes: Collection[Node], pods: Iterable[Pod]) -> Node | Refusal:
    """Return the node for the pod, or why there is none. pods: those bound already."""
    if not nodes:
        return Refusal(NO_NODES)
    reasons: Counter[str] = Counter()
    feasible = []
    for node in nodes:
        reason = next((why for check in FILTERS if (why := check(pod, node)) is not None), None)
        if reason is None:
            feasible.append(node)
        else:
            reasons[reason] += 1
    if not feasible:
        return Refusal(refusal_message(reasons, len(nodes)))
    if len(feasible) == 1:
        return feasible[0]
    held = Counter(other.spec.node_name for other in pods)
    return min(feasible, key=lambda node: (held[node.metadata.name], node.metadata.name))


def refusal_message(reasons: Counter[str], total: int) -> str:
    """Return kube-scheduler's summary of why none of ``total`` nodes fits."""
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    none = f"0/{total} nodes are available:"
    # netlab preempts nothing, which is what Kubernetes says when preempting would not help
    preemption = f"preemption: {none} {total} Preemption is not helpful for scheduling."
    return f"{none} {listed}. no new claims to deallocate, {preemption}"
