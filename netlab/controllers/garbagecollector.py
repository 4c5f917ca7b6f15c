"""Decides which objects go because their owners went.

Mirrors kube-controller-manager's ``pkg/controller/garbagecollector``. An object whose owners are
all gone is deleted. While an owner is deleted it may carry one of two finalizers of ours:
``foregroundDeletion`` holds it until its dependents with ``blockOwnerDeletion`` are gone, and
``orphan`` until its dependents no longer name it as owner.

An owner lives in the object's own namespace, or in none. A reference to one elsewhere is told by a
Warning event ``OwnerRefInvalidNamespace``, and the owner counts as absent. An object that names an
owner which nobody can look up (a kind netlab does not serve; a namespaced kind as the owner of an
object without namespace) is left alone.

Pure. Whether an owner is *absent* is for the caller to find out by asking the API server (the cache
may simply not have it yet).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netlab.api.catalog import Catalog
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, OwnerReference
from netlab.client.interface import Propagation
from netlab.controllers.actions import (
    NOTHING,
    Action,
    Burst,
    Decision,
    Delete,
    Note,
    Patch,
    without_owners,
)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Item:
    """An object together with its kind, which a view does not know."""

    kind: Kind[Any]
    obj: AnyObject

    @property
    def waits_for_dependents(self) -> bool:
        """True while a foreground deletion holds the object."""
        meta = self.obj.metadata
        return meta.deletion_timestamp is not None and FOREGROUND in meta.finalizers


def owner_kind(catalog: Catalog, reference: OwnerReference) -> Kind[Any] | None:
    """Return the kind an owner reference names; None when netlab does not serve it.

    The version is not compared: a reference to ``apps/v1beta1`` means the same object.
    """
    group = reference.api_version.rpartition("/")[0]
    return catalog.by_group_kind(group, reference.kind)


def is_resolvable(kind: Kind[Any] | None, item: Item) -> bool:
    """Return whether an owner of that kind can be looked up from where the object is."""
    if kind is None:
        return False
    return bool(item.obj.metadata.namespace) or not kind.namespaced


def is_meant(reference: OwnerReference, owner: Item, namespace: str) -> bool:
    """Return whether the reference of an object in ``namespace`` leads to this owner, which is of
    the kind that it names: a uid alone, with the name of something else, does not.
    """
    meta = owner.obj.metadata
    return (
        reference.uid == meta.uid
        and reference.name == meta.name
        and (not owner.kind.namespaced or meta.namespace == namespace)
    )


def tell_misplaced(item: Item, owner: OwnerReference) -> Note:
    """Return the event that tells of an owner in another namespace."""
    namespace = item.obj.metadata.namespace
    named = (
        f"[{owner.api_version}/{owner.kind}, namespace: {namespace}, name: {owner.name},"
        f" uid: {owner.uid}]"
    )
    message = f'ownerRef {named} does not exist in namespace "{namespace}"'
    return Note(item.kind, item.obj, "OwnerRefInvalidNamespace", message, "Warning")


def needs_attention(item: Item) -> bool:
    """Return whether the collector has anything to decide about the object."""
    meta = item.obj.metadata
    if meta.deletion_timestamp is not None:
        return FOREGROUND in meta.finalizers or ORPHAN in meta.finalizers
    return bool(meta.owner_references)


def decide_garbage(
    item: Item,
    *,
    absent: Collection[str],
    waiting: Collection[str],
    dependents: Sequence[Item],
    misplaced: Sequence[OwnerReference] = (),
) -> Decision:
    """Return what becomes of one object.

    absent: uids of owners that do not exist; waiting: uids of owners that are held until their
    dependents are gone; dependents: the objects that name this one as an owner; misplaced: owners
    known to live in another namespace, which count as absent too.
    """
    decision = _decide(item, absent=absent, waiting=waiting, dependents=dependents)
    told = tuple(tell_misplaced(item, owner) for owner in misplaced)
    return Decision((*told, *decision.actions)) if told else decision


def _decide(
    item: Item,
    *,
    absent: Collection[str],
    waiting: Collection[str],
    dependents: Sequence[Item],
) -> Decision:
    meta = item.obj.metadata
    if meta.deletion_timestamp is not None:
        return _finish_deletion(item, dependents)
    owners = meta.owner_references
    if not owners:
        return NOTHING
    gone = frozenset(o.uid for o in owners if o.uid in absent or o.uid in waiting)
    if not gone:
        return NOTHING
    if len(gone) < len({owner.uid for owner in owners}):
        # another owner still wants the object: only the others are struck off
        return Decision((without_owners(item.kind, item.obj, gone),))
    propagation: Propagation = _propagation(item)
    if dependents and any(owner.uid in waiting for owner in owners):
        # the owner waits for this object, so this one has to wait for its own dependents
        return Decision((*_unblock_cycle(item, dependents), _delete(item, "Foreground")))
    return Decision((_delete(item, propagation),))


def _propagation(item: Item) -> Propagation:
    finalizers = item.obj.metadata.finalizers
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"


def _unblock_cycle(item: Item, dependents: Sequence[Item]) -> Iterator[Action]:
    """Yield what breaks a circle: a dependent that itself is being deleted in the foreground
    would wait for this object for ever.
    """
    if any(dependent.waits_for_dependents for dependent in dependents):
        owners = [_unblocked(owner) for owner in item.obj.metadata.owner_references]
        meta = item.obj.metadata
        patch = {"metadata": {"uid": meta.uid, "ownerReferences": owners}}
        yield Patch(item.kind, meta.namespace or None, meta.name, patch, gone_ok=True)


def _unblocked(owner: OwnerReference) -> dict[str, Any]:
    entry = owner.to_object()
    entry.pop("blockOwnerDeletion", None)
    return entry


def _finish_deletion(item: Item, dependents: Sequence[Item]) -> Decision:
    meta = item.obj.metadata
    uid = frozenset({meta.uid})
    if ORPHAN in meta.finalizers:
        release = [without_owners(d.kind, d.obj, uid) for d in dependents]
        actions: tuple[Action, ...] = (Burst(release),) if release else ()
        return Decision((*actions, _without_finalizer(item, ORPHAN)))
    if FOREGROUND not in meta.finalizers:
        return NOTHING
    blocking = [d for d in dependents if _blocks(d, meta.uid)]
    if not blocking:
        return Decision((_without_finalizer(item, FOREGROUND),))
    return NOTHING  # each dependent is decided on its own; the last one brings this one back


def _blocks(dependent: Item, uid: str) -> bool:
    return any(
        owner.uid == uid and owner.block_owner_deletion
        for owner in dependent.obj.metadata.owner_references
    )


def _without_finalizer(item: Item, finalizer: str) -> Patch:
    meta = item.obj.metadata
    kept = [name for name in meta.finalizers if name != finalizer]
    patch = {
        "metadata": {
            "uid": meta.uid,
            "finalizers": kept or None,
            "resourceVersion": meta.resource_version,
        }
    }
    return Patch(item.kind, meta.namespace or None, meta.name, patch, gone_ok=True)


def _delete(item: Item, propagation: Propagation) -> Delete:
    meta = item.obj.metadata
    return Delete(item.kind, meta.namespace or None, meta.name, meta.uid, propagation=propagation)
