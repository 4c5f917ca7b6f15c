"""Whether a node has room for a pod: cpu, memory, ephemeral storage and number of pods.

Mirrors the filter of kube-scheduler's NodeResourcesFit. It goes by requests and the node's
``allocatable``, never by what is used. A pod that asks for nothing needs no room but its own place.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.api.core import Node
from netlab.api.pod_resources import Amounts, parse_amounts, plus, pod_requests
from netlab.api.pods import Pod
from netlab.scheduler.filters import Context, Rejection

TOO_MANY_PODS = "Too many pods"


def node_has_room(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse nodes whose allocatable amounts, less what their pods reserve, are too small."""
    total = parse_amounts(node.status.allocatable)
    others = context.pods_on(node.metadata.name)
    reasons = []
    places = total["pods"].whole() if "pods" in total else 0
    if len(others) + 1 > places:
        reasons.append(TOO_MANY_PODS)
    wanted = {name: each for name, each in pod_requests(pod.spec).items() if each.value > 0}
    used = _reserved(others) if wanted else {}
    hopeless = False
    for name in _in_order(wanted):
        have = total[name].value if name in total else 0
        taken = used[name].value if name in used else 0
        if wanted[name].value > have - taken:
            reasons.append(f"Insufficient {name}")
            hopeless = hopeless or wanted[name].value > have
    return Rejection(tuple(reasons), pods_in_the_way=not hopeless) if reasons else None


def _reserved(pods: Iterable[Pod]) -> Amounts:
    total: Amounts = {}
    for pod in pods:
        total = plus(total, pod_requests(pod.spec))
    return total


def _in_order(names: Iterable[str]) -> list[str]:
    """Upstream looks at the standard resources first."""
    standard = ("cpu", "memory", "ephemeral-storage")
    return sorted(names, key=lambda name: (name not in standard, name))
