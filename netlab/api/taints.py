"""Which taints a pod puts up with, and for how long. Pure.

Mirrors ``k8s.io/component-helpers/scheduling/corev1`` and the taint eviction controller's reading
of ``tolerationSeconds``. Scheduler and kubelet ask whether a taint keeps the pod off a node, the
eviction controller how long the pod may stay.

netlab leaves out the operators Lt and Gt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from netlab.api.core import Taint
from netlab.api.pods import Pod, Toleration

FOR_EVER = math.inf


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


def tolerated_s(pod: Pod, taints: Iterable[Taint]) -> float:
    """Return for how many seconds the pod puts up with all taints together.

    The first toleration that covers a taint counts for it. 0: not at all; FOR_EVER: without end.
    """
    shortest = FOR_EVER
    for taint in taints:
        used = next((each for each in pod.spec.tolerations if _covers(each, taint)), None)
        if used is None:
            return 0.0
        if used.toleration_seconds is not None:
            shortest = min(shortest, max(0.0, float(used.toleration_seconds)))
    return shortest
