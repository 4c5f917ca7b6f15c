"""Decides on which node a pod runs.

Mirrors one scheduling cycle of kube-scheduler: judge the pod, filter all nodes, score those that
pass, take the best; when none passes, say why, worded as ``kubectl describe pod`` shows it.

The only score so far is the number of pods a node already holds: fewer is better, and equal
nodes are taken in order of name, so that a decision can be repeated. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.scheduler.filters import Context, Rejection
from netlab.scheduler.plugins import FILTERS, POD_CHECKS

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No node takes the pod; message as in the FailedScheduling event."""

    message: str


def choose_node(pod: Pod, nodes: Collection[Node], context: Context) -> Node | Refusal:
    """Return the node for the pod, or why there is none."""
    if not nodes:
        return Refusal(NO_NODES)
    for check in POD_CHECKS:
        rejection = check(pod, context)
        if rejection is not None:
            return Refusal(_refused_pod(rejection, len(nodes)))
    rejections = []
    feasible = []
    for node in nodes:
        rejection = _judge(pod, node, context)
        if rejection is None:
            feasible.append(node)
        else:
            rejections.append(rejection)
    if not feasible:
        return Refusal(refusal_message(rejections))
    if len(feasible) == 1:
        return feasible[0]
    return min(feasible, key=lambda n: (len(context.pods_on(n.metadata.name)), n.metadata.name))


def _judge(pod: Pod, node: Node, context: Context) -> Rejection | None:
    verdicts = (check(pod, node, context) for check in FILTERS)
    return next((rejection for rejection in verdicts if rejection is not None), None)


def refusal_message(rejections: Collection[Rejection]) -> str:
    """Return kube-scheduler's summary of why no node fits; one rejection per node."""
    total = len(rejections)
    reasons = Counter(reason for each in rejections for reason in each.reasons)
    eviction = Counter(NO_VICTIMS if each.pods_in_the_way else NOT_HELPFUL for each in rejections)
    return f"{_available(total)} {_histogram(reasons)}. {_post_filter(total, eviction)}"


def _refused_pod(rejection: Rejection, total: int) -> str:
    eviction = Counter({NO_VICTIMS if rejection.pods_in_the_way else NOT_HELPFUL: total})
    reasons = ", ".join(rejection.reasons)
    return f"{_available(total)} {reasons}. {_post_filter(total, eviction)}"


def _post_filter(total: int, eviction: Counter[str]) -> str:
    # what upstream's DynamicResources and DefaultPreemption say when they can do nothing
    return f"no new claims to deallocate, preemption: {_available(total)} {_histogram(eviction)}."


def _available(total: int) -> str:
    return f"0/{total} nodes are available:"


def _histogram(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
