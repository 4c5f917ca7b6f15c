"""Reads the newest state and queues decided writes.

The registry's hands: everything here runs on the event loop without awaiting, so that what a verb
reads with ``find`` is still the newest state when it calls ``replace``.

A kind that is stored as another one is converted here: verbs see its own form only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from netlab.api.field_errors import not_found
from netlab.api.kind import Kind
from netlab.api.view import Object
from netlab.apiserver.requests import WriteOptions
from netlab.apiserver.storage.metadata import with_version
from netlab.store.records import Item, Key, Record
from netlab.store.store import Store

_decode = msgspec.json.Decoder(dict[str, Any]).decode

Observer: TypeAlias = Callable[[Kind[Any], Key, Object | None, Object | None], None]
"""Told of each queued write: (kind, key, old or None, new or None); must not wait."""


def key_of(kind: Kind[Any], namespace: str | None, name: str) -> Key:
    """Return where the store keeps an object."""
    return Key(kind.storage.group_resource, (namespace or "") if kind.namespaced else "", name)


def shown(kind: Kind[Any], item: Item) -> Item:
    """Return a stored object in the form of ``kind``."""
    if kind.stored_as is None:
        return item
    converted = kind.stored_as.from_stored(item.object)
    return Item(msgspec.json.encode(converted), converted)


def _read(kind: Kind[Any], record: Record) -> Object:
    stored = _decode(record.json)
    return stored if kind.stored_as is None else kind.stored_as.from_stored(stored)


@dataclass(frozen=True, slots=True)
class Present:
    """An object as the queued writes will leave it; ``object`` is the reader's own."""

    kind: Kind[Any]
    key: Key
    record: Record
    object: Object

    @property
    def item(self) -> Item:
        """The object for one reader."""
        return shown(self.kind, Item(self.record.json))


@dataclass(frozen=True, slots=True)
class Written:
    """A decided write: what to answer, and what to wait for before answering."""

    item: Item
    done: Awaitable[None] | None

    async def durable(self) -> Item:
        """Wait for the disk, then return the object; a caller that is cancelled undoes nothing.

        Raises: StorageError when the disk refuses.
        """
        if self.done is not None:
            await asyncio.shield(self.done)
        return self.item


class Writes:
    """The newest state, and writes to it. epoch: another number when queued writes were refused."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._observers: list[Observer] = []

    @property
    def epoch(self) -> int:
        """Changes when queued writes were refused: what was concluded from them is void."""
        return self._store.epoch

    def observe(self, observer: Observer) -> None:
        """Tell ``observer`` of every write that is queued from now on."""
        self._observers.append(observer)

    def stored(self, kind: Kind[Any], namespace: str) -> Iterator[Object]:
        """Yield copies of the objects of a kind, in one namespace or (namespace "") in all."""
        for key, record in self._store.latest_records(kind.storage.group_resource):
            if not namespace or key.namespace == namespace:
                yield _read(kind, record)

    def all_of(self, kind: Kind[Any], namespace: str) -> list[Object]:
        """Return what ``stored`` yields."""
        return list(self.stored(kind, namespace))

    def exists(self, kind: Kind[Any], namespace: str | None, name: str) -> bool:
        """True when there is such an object."""
        return self._store.latest(key_of(kind, namespace, name)) is not None

    def lookup(self, kind: Kind[Any], namespace: str | None, name: str) -> Object | None:
        """Return a copy of the object, or None."""
        record = self._store.latest(key_of(kind, namespace, name))
        return None if record is None else _read(kind, record)

    def find(self, kind: Kind[Any], namespace: str | None, name: str) -> Present | None:
        """Return the object to base a write on, or None."""
        key = key_of(kind, namespace, name)
        record = self._store.latest(key)
        return None if record is None else Present(kind, key, record, _read(kind, record))

    def present(self, kind: Kind[Any], namespace: str | None, name: str) -> Present:
        """Return the object to base a write on.

        Raises: ApiError NotFound.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def keep(self, present: Present) -> Written:
        """Decide to change nothing; the answer waits until what was read is durable."""
        return Written(present.item, self._store.settled(present.key))

    def create(self, kind: Kind[Any], key: Key, new: Object, options: WriteOptions) -> Written:
        """Queue a new object."""
        return self._write(kind, key, None, new, dry_run=options.dry_run)

    def replace(
        self, present: Present, new: Object, *, dry_run: bool, removed: bool = False
    ) -> Written:
        """Queue a new state of the object; removed: its last."""
        return self._write(
            present.kind, present.key, present, new, dry_run=dry_run, removed=removed
        )

    def _write(
        self,
        kind: Kind[Any],
        key: Key,
        present: Present | None,
        new: Object,
        *,
        dry_run: bool,
        removed: bool = False,
    ) -> Written:
        if dry_run:
            return Written(Item(msgspec.json.encode(new), new), None)
        conversion = kind.stored_as
        kept = new if conversion is None else conversion.to_stored(new)
        stored, done = self._store.write(
            key,
            present.record.revision if present else 0,
            lambda revision: with_version(kept, revision),
            uid=new["metadata"]["uid"],
            deleted=removed,
        )
        old = present.object if present else None
        if conversion is not None and old is not None:
            old = conversion.to_stored(old)
        for observer in self._observers:
            observer(kind.storage, key, old, None if removed else kept)
        item = Item(stored.json, kept)
        return Written(shown(kind, item), done)
