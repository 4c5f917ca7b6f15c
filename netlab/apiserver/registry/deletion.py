"""Decides what a deletion does to an object: remove it, mark it, or leave it as it is.

Mirrors ``rest.BeforeDelete`` and the generic registry's ``Store.Delete`` of ``k8s.io/apiserver``.
Pure.

An object with finalizers is only marked (``deletionTimestamp``); whoever owns a finalizer removes
it after its work, and with the last one the object goes. An object whose kind has a grace period (a
Pod that runs on a node) is marked with it and goes when it is deleted again with grace period 0. A
kind may hold its objects in another way (a Namespace, until it is emptied).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import msgspec

from netlab.api.kind import Kind
from netlab.api.view import UNREADABLE, Object
from netlab.apiserver.requests import DeleteOptions
from netlab.errors import UnreadableError
from netlab.timestamps import rfc3339

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"


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
    """Return what deleting ``obj`` does; ``obj`` itself is not changed.

    What cannot be read goes at once: nobody could do the work that it would wait for.
    """
    try:
        kind.view.parse(obj)
        return _plan(kind, obj, options, now)
    except (UnreadableError, *UNREADABLE):
        return Deletion(Verdict.REMOVE, obj)


def _plan(kind: Kind[Any], obj: Object, options: DeleteOptions, now: datetime) -> Deletion:
    new: Object = msgspec.json.decode(msgspec.json.encode(obj))  # faster than copy.deepcopy
    metadata = new["metadata"]
    if kind.grace_s is not None and metadata.get("deletionTimestamp"):
        return _shorten(new, options)
    _set_collection_finalizers(metadata, options)
    if kind.terminate is not None:
        _mark(metadata, now, None)
        kind.terminate(new)
    elif kind.grace_s is not None:
        grace_s = kind.grace_s(new, options.grace_period_s)
        _mark(metadata, now + timedelta(seconds=grace_s), grace_s)
    elif metadata.get("finalizers"):
        _mark(metadata, now, 0)
    return Deletion(_verdict(kind, new, obj), new)


def removed_by_update(kind: Kind[Any], new: Object) -> bool:
    """True when an update takes away the last thing that kept a deleted object alive."""
    metadata = new["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("deletionGracePeriodSeconds"):
        return False
    return not _held(kind, new)


def _held(kind: Kind[Any], obj: Object) -> bool:
    """True when a finalizer keeps the object, or what its kind has in place of one."""
    return bool(obj["metadata"].get("finalizers")) or kind.held(obj)


def _verdict(kind: Kind[Any], new: Object, old: Object) -> Verdict:
    if not _held(kind, new) and not new["metadata"].get("deletionGracePeriodSeconds"):
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


def _shorten(obj: Object, options: DeleteOptions) -> Deletion:
    """A second delete can only bring the end nearer."""
    metadata = obj["metadata"]
    present_s = metadata.get("deletionGracePeriodSeconds") or 0
    wanted_s = options.grace_period_s
    if wanted_s is not None and wanted_s < 0:
        wanted_s = 1
    if wanted_s is None or wanted_s >= present_s:
        removable = present_s == 0 and not metadata.get("finalizers")
        return Deletion(Verdict.REMOVE if removable else Verdict.KEEP, obj)
    end = datetime.fromisoformat(metadata["deletionTimestamp"])
    metadata["deletionTimestamp"] = rfc3339(end - timedelta(seconds=present_s - wanted_s))
    metadata["deletionGracePeriodSeconds"] = wanted_s
    removable = wanted_s == 0 and not metadata.get("finalizers")
    return Deletion(Verdict.REMOVE if removable else Verdict.MARK, obj)
