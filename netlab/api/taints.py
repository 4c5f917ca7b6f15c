"""Whether a pod puts up with a node's taint.

Mirrors ``k8s.io/component-helpers/scheduling/corev1``: scheduler, kubelet and the controllers that
evict pods ask the same question. Pure.
"""

from __future__ import annotations

from netlab.api.core import Taint
from netlab.api.pods import Pod, Toleration


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
