"""Decides which pods a node's NoExecute taints send away, and when.

Mirrors kube-controller-manager's ``taint-eviction-controller``: a pod that does not tolerate every
such taint goes at once; one that tolerates them for some seconds goes when these are over, counted
from the moment the controller first saw the taints; a taint that is taken away in time spares it.
Before it is deleted, gracefully, the pod's condition DisruptionTarget says why.

Pure. ``since`` is the memory between calls: when the time of each pod began, by its uid. It is the
controller's own, as in Kubernetes; after a restart the seconds begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from netlab.api.core import Node, Taint
from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.api.taints import FOR_EVER, tolerated_s
from netlab.controllers.actions import Action, Decision, Delete, Note, Patch
from netlab.timestamps import rfc3339

REASON = "TaintManagerEviction"


@dataclass(frozen=True, slots=True)
class Evictions:
    """What to do now; since: the memory for the next call."""

    decision: Decision
    since: Mapping[str, datetime]


def no_execute(node: Node | None) -> tuple[Taint, ...]:
    """Return the taints that send pods away."""
    return tuple(t for t in (node.spec.taints if node else ()) if t.effect == "NoExecute")


def decide_evictions(
    node: Node | None, pods: Iterable[Pod], since: Mapping[str, datetime], now: datetime
) -> Evictions:
    """Return which pods of the node go now, and when the next one is due."""
    taints = no_execute(node)
    actions: list[Action] = []
    waiting: dict[str, datetime] = {}
    next_s = FOR_EVER
    for pod in pods:
        uid = pod.metadata.uid
        if pod.metadata.deletion_timestamp is not None:
            continue
        stay_s = tolerated_s(pod, taints)
        if stay_s == FOR_EVER:
            if uid in since:
                actions.append(_note(pod, "Cancelling deletion of Pod"))
            continue
        waiting[uid] = since.get(uid, now)
        left_s = stay_s - (now - waiting[uid]).total_seconds()
        if left_s <= 0:
            actions += _evict(pod, now)
        else:
            next_s = min(next_s, left_s)
    again_s = None if next_s == FOR_EVER else next_s
    return Evictions(Decision(tuple(actions), requeue_after_s=again_s), waiting)


def _note(pod: Pod, what: str) -> Note:
    return Note(POD, pod, REASON, f"{what} {pod.metadata.namespace}/{pod.metadata.name}")


def _evict(pod: Pod, now: datetime) -> list[Action]:
    meta = pod.metadata
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": rfc3339(now),
    }
    patch = {"status": {"conditions": [condition]}}
    return [
        _note(pod, "Marking for deletion Pod"),
        Patch(POD, meta.namespace, meta.name, patch, "status", "strategic", gone_ok=True),
        Delete(POD, meta.namespace, meta.name, meta.uid),
    ]
