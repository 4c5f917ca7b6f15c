"""The shell of the garbage collector: the graph of owners across all kinds.

The graph is the caches' indexes ``owner`` (by the uids an object names) and ``uid``. A key is
(kind, namespace, name). An owner that no cache shows is asked for at the API server before
anything is deleted on its account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from netlab.api.catalog import Catalog
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, OwnerReference
from netlab.client.informer import key_of
from netlab.client.interface import Client
from netlab.controllers.actions import NOTHING, Decision
from netlab.controllers.cache import Cache
from netlab.controllers.garbagecollector import (
    Item,
    decide_garbage,
    is_meant,
    is_resolvable,
    needs_attention,
    owner_kind,
    tell_misplaced,
)
from netlab.controllers.loop import Reconciler, Source
from netlab.controllers.selection import OWNER_INDEX, UID_INDEX
from netlab.errors import ApiError, is_not_found

ItemKey: TypeAlias = tuple[Kind[Any], str, str]


class GarbageCollector:
    """Finds the objects a change may leave without owners, and what to do about each."""

    def __init__(
        self, client: Client, caches: Mapping[Kind[Any], Cache[Any]], catalog: Catalog
    ) -> None:
        self._client = client
        self._caches = caches
        self._catalog = catalog

    def reconciler(self) -> Reconciler[ItemKey]:
        """Return the reconciler over all kinds."""
        return Reconciler(
            "garbage-collector-controller",
            [self._source(cache) for cache in self._caches.values()],
            self.decide,
            workers=8,
            of_kind=self._source,
        )

    def _source(self, cache: Cache[Any]) -> Source[ItemKey]:
        return Source(cache, self._affected_by(cache.kind))

    def _affected_by(self, kind: Kind[Any]) -> Callable[[Any, Any], Iterator[ItemKey]]:
        return lambda old, new: self._affected(kind, old, new)

    def _affected(
        self, kind: Kind[Any], old: AnyObject | None, new: AnyObject | None
    ) -> Iterator[ItemKey]:
        if new is not None:
            if old is not None and _graph_part(old) == _graph_part(new):
                return
            if needs_attention(Item(kind, new)):
                yield (kind, *key_of(new))
            if Item(kind, new).waits_for_dependents:
                yield from (self._key(d) for d in self._dependents(new.metadata.uid))
        if old is not None:
            if new is None:
                yield from (self._key(d) for d in self._dependents(old.metadata.uid))
            # an owner that waits for its dependents may have lost the last one
            kept = () if new is None else new.metadata.owner_references
            for owner in old.metadata.owner_references:
                if owner not in kept:
                    yield from (self._key(item) for item in self._with_uid(owner.uid))

    @staticmethod
    def _key(item: Item) -> ItemKey:
        return (item.kind, *key_of(item.obj))

    def _dependents(self, uid: str) -> list[Item]:
        return [
            Item(kind, obj)
            for kind, cache in self._caches.items()
            for obj in cache.by_index(OWNER_INDEX, uid)
        ]

    def _with_uid(self, uid: str) -> list[Item]:
        return [
            Item(kind, obj)
            for kind, cache in self._caches.items()
            for obj in cache.by_index(UID_INDEX, uid)
        ]

    async def decide(self, key: ItemKey) -> Decision:
        """Decide about one object, after asking for owners that no cache shows."""
        kind, namespace, name = key
        cache = self._caches.get(kind)
        obj = None if cache is None else cache.get(namespace, name)
        if obj is None or not needs_attention(Item(kind, obj)):
            return NOTHING
        item = Item(kind, obj)
        owners: Sequence[OwnerReference] = obj.metadata.owner_references
        if obj.metadata.deletion_timestamp is not None:
            owners = ()  # only its own finalizers matter now
        misplaced = [owner for owner in owners if self._is_elsewhere(owner, namespace)]
        if any(not is_resolvable(self._kind_of(owner), item) for owner in owners):
            return Decision(tuple(tell_misplaced(item, owner) for owner in misplaced))
        absent, waiting = set(), set()
        for owner in owners:
            wanted = self._kind_of(owner)
            known = [
                each
                for each in self._with_uid(owner.uid)
                if each.kind is wanted and is_meant(owner, each, namespace)
            ]
            if known:
                if known[0].waits_for_dependents:
                    waiting.add(owner.uid)
            elif not await self._exists(owner, namespace):
                absent.add(owner.uid)
        return decide_garbage(
            item,
            absent=absent,
            waiting=waiting,
            dependents=self._dependents(obj.metadata.uid),
            misplaced=misplaced,
        )

    def _kind_of(self, owner: OwnerReference) -> Kind[Any] | None:
        return owner_kind(self._catalog, owner)

    def _is_elsewhere(self, owner: OwnerReference, namespace: str) -> bool:
        """Return whether the owner is known to live in another namespace."""
        return any(
            each.kind.namespaced and each.obj.metadata.namespace != namespace
            for each in self._with_uid(owner.uid)
        )

    async def _exists(self, owner: OwnerReference, namespace: str) -> bool:
        kind = self._kind_of(owner)
        assert kind is not None, "only owners that can be looked up are asked for"
        try:
            found = await self._client.get(kind, namespace if kind.namespaced else None, owner.name)
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return bool(found["metadata"]["uid"] == owner.uid)


def _graph_part(obj: AnyObject) -> tuple[Any, ...]:
    meta = obj.metadata
    return (meta.uid, meta.owner_references, meta.finalizers, meta.deletion_timestamp is None)
