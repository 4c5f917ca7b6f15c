"""Decides what a deletion does to an object: remove it, mark it, or leave it as it is.

Mirrors ``rest.BeforeDelete`` and the generic registry's ``Store.Delete`` of ``k8s.io/apiserver``,
and the strategies of Pod and Namespace. Pure.

An object with finalizers is only marked (``deletionTimestamp``); whoever owns a finalizer removes
it after its work, and with the last one the object goes. A Pod that runs on a node is marked with
its grace period and goes when the kubelet deletes it again with grace period 0. A Namespace keeps
``spec.finalizers`` until the namespace controller has emptied it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import msgspec

from netlab.api.kinds import NAMESPACE, POD, Kind
from netlab.api.view import Object
from netlab.apiserver.requests import DeleteOptions
from netlab.timestamps import rfc3339

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
DEFAULT_GRACE_S = 30


class Verdict(Enum):
    """REMOVE: gone at once. MARK: store the changed object. KEEP: nothing changes."""

    REMOVE = "remove"
    MARK = "mark"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Deletion:
    """The verdict, and the object as it is stored or was last seen."""

    verdict: Verdict
    object: Object


def plan_deletion(kind: Kind[Any], obj: Object, options: DeleteOptions, now: datetime) -> Deletion:
    """Return what deleting ``obj`` does; ``obj`` itself is not changed."""
    new: Object = msgspec.json.decode(msgspec.json.encode(obj))  # faster than copy.deepcopy
    metadata = new["metadata"]
    if kind is POD and metadata.get("deletionTimestamp"):
        return _shorten(new, options)
    _set_collection_finalizers(metadata, options)
    if kind is NAMESPACE:
        _terminate_namespace(new, now)
    elif kind is POD:
        _set_grace(new, options, now)
    elif metadata.get("finalizers"):
        _mark(metadata, now, 0)
    return Deletion(_verdict(new, obj), new)


def removed_by_update(new: Object) -> bool:
    """True when an update takes away the last thing that kept a deleted object alive."""
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("deletionGracePeriodSeconds"):
        return False
    return not _held(new)


def _held(obj: Object) -> bool:
    """True when a finalizer keeps the object."""
    if obj["metadata"].get("finalizers"):
        return True
    return obj.get("kind") == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def _verdict(new: Object, old: Object) -> Verdict:
    if not _held(new) and not new["metadata"].get("deletionGracePeriodSeconds"):
        return Verdict.REMOVE
    return Verdict.KEEP if new == old else Verdict.MARK


def _set_collection_finalizers(metadata: dict[str, Any], options: DeleteOptions) -> None:
    """Ask the garbage collector to orphan the dependents, or to delete them first."""
    finalizers = list(metadata.get("finalizers") or ())
    wanted = options.propagation
    if wanted is None and options.orphan_dependents is not None:
        wanted = "Orphan" if options.orphan_dependents else "Background"
    if wanted is None:
        # as an earlier delete, or the creator, has left it
        return
    kept = [each for each in finalizers if each not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    if wanted == "Orphan":
        kept.append(ORPHAN_FINALIZER)
    elif wanted == "Foreground":
        kept.append(FOREGROUND_FINALIZER)
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)


def _mark(metadata: dict[str, Any], moment: datetime, grace_s: int | None) -> None:
    if metadata.get("deletionTimestamp"):
        return
    metadata["deletionTimestamp"] = rfc3339(moment)
    if grace_s is not None:
        metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1


def _terminate_namespace(obj: Object, now: datetime) -> None:
    _mark(obj["metadata"], now, None)
    obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}


def _set_grace(pod: Object, options: DeleteOptions, now: datetime) -> None:
    grace_s = _grace_s(pod, options)
    _mark(pod["metadata"], now + timedelta(seconds=grace_s), grace_s)


def _grace_s(pod: Object, options: DeleteOptions) -> int:
    """How long the pod may live on: 0 when no kubelet looks after it or nothing runs any more."""
    spec = pod.get("spec") or {}
    grace_s = options.grace_period_s
    if grace_s is None:
        grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is None:
        grace_s = DEFAULT_GRACE_S
    if not spec.get("nodeName"):
        return 0
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return max(grace_s, 0) if grace_s >= 0 else 1


def _shorten(pod: Object, options: DeleteOptions) -> Deletion:
    """A second delete can only bring the end nearer."""
    metadata = pod["metadata"]
    present_s = metadata.get("deletionGracePeriodSeconds") or 0
    wanted_s = options.grace_period_s
    if wanted_s is not None and wanted_s < 0:
        wanted_s = 1
    if wanted_s is None or wanted_s >= present_s:
        removable = present_s == 0 and not metadata.get("finalizers")
        return Deletion(Verdict.REMOVE if removable else Verdict.KEEP, pod)
    end = datetime.fromisoformat(metadata["deletionTimestamp"])
    metadata["deletionTimestamp"] = rfc3339(end - timedelta(seconds=present_s - wanted_s))
    metadata["deletionGracePeriodSeconds"] = wanted_s
    removable = wanted_s == 0 and not metadata.get("finalizers")
    return Deletion(Verdict.REMOVE if removable else Verdict.MARK, pod)
