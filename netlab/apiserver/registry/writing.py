"""Reads the newest state and queues decided writes, service allocations included.

The registry's hands: everything here runs on the event loop without awaiting, so that what a verb
reads with ``latest`` is still the newest state when it calls ``write``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from netlab.api.field_errors import not_found
from netlab.api.kinds import KINDS, RESOURCE_QUOTA, SERVICE, Kind
from netlab.api.view import Object
from netlab.apiserver.registry.metadata import with_version
from netlab.apiserver.requests import WriteOptions
from netlab.apiserver.storage import services
from netlab.apiserver.storage.allocations import Allocations
from netlab.apiserver.storage.quota import Quotas
from netlab.config import LabConfig
from netlab.store.records import Item, Key, Record
from netlab.store.store import Store

_KIND_OF = {kind.group_resource: kind for kind in KINDS}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def key_of(kind: Kind[Any], namespace: str | None, name: str) -> Key:
    """Return where the store keeps an object."""
    return Key(kind.group_resource, (namespace or "") if kind.namespaced else "", name)


@dataclass(frozen=True, slots=True)
class Present:
    """An object as the queued writes will leave it; ``object`` is the reader's own."""

    kind: Kind[Any]
    key: Key
    record: Record
    object: Object


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
    """The newest state, and writes to it."""

    def __init__(self, store: Store, config: LabConfig, random: Random) -> None:
        self._store = store
        self._allocations = Allocations(
            config.service_cidr, random, nodes=config.node_address.network
        )
        self._allocated_epoch = -1
        self._quotas = Quotas(self._stored)
        self._quota_epoch = -1
        self._quota_status: dict[Key, Object] = {}

    def _stored(self, kind: Kind[Any], namespace: str) -> Iterator[Object]:
        for key, record in self._store.latest_records(kind.group_resource):
            if not namespace or key.namespace == namespace:
                yield _decode(record.json)

    def all_of(self, kind: Kind[Any], namespace: str) -> list[Object]:
        """Return copies of the objects of a kind, in one namespace or (namespace "") in all."""
        return list(self._stored(kind, namespace))

    def exists(self, kind: Kind[Any], namespace: str | None, name: str) -> bool:
        """True when there is such an object."""
        return self._store.latest(key_of(kind, namespace, name)) is not None

    def lookup(self, kind: Kind[Any], namespace: str | None, name: str) -> Object | None:
        """Return a copy of the object, or None."""
        record = self._store.latest(key_of(kind, namespace, name))
        return None if record is None else _decode(record.json)

    def find(self, kind: Kind[Any], namespace: str | None, name: str) -> Present | None:
        """Return the object to base a write on, or None."""
        key = key_of(kind, namespace, name)
        record = self._store.latest(key)
        return None if record is None else Present(kind, key, record, _decode(record.json))

    def present(self, kind: Kind[Any], namespace: str | None, name: str) -> Present:
        """Return the object to base a write on.

        Raises: ApiError NotFound.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def allocate(self, kind: Kind[Any], key: Key, new: Object, old: Object | None) -> None:
        """Complete a Service's addresses and ports; other kinds have none.

        Raises: ApiError Invalid for what is taken or out of range.
        """
        if kind is not SERVICE:
            return
        if self._allocated_epoch != self._store.epoch:
            self._allocations.rebuild(
                ((service.namespace, service.name), _decode(record.json))
                for service, record in self._store.latest_records(SERVICE.group_resource)
            )
            self._allocated_epoch = self._store.epoch
        owner = None if old is None else (key.namespace, key.name)
        services.allocate(new, old, owner, self._allocations)

    def charge(self, kind: Kind[Any], key: Key, new: Object, old: Object | None) -> None:
        """Check that the write fits into the quotas of its namespace.

        Raises: ApiError Forbidden when it does not.
        """
        if key.namespace:
            self._current_quotas().check(kind, key.namespace, key.name, new, old)

    def _current_quotas(self) -> Quotas:
        if self._quota_epoch != self._store.epoch:
            self._quotas.forget()
            self._quota_status.clear()
            self._quota_epoch = self._store.epoch
        return self._quotas

    def keep(self, present: Present) -> Written:
        """Decide to change nothing; the answer waits until what was read is durable."""
        return Written(Item(present.record.json), self._store.settled(present.key))

    def create(self, key: Key, new: Object, options: WriteOptions) -> Written:
        """Queue a new object."""
        return self._write(key, None, new, dry_run=options.dry_run)

    def replace(
        self, present: Present, new: Object, *, dry_run: bool, removed: bool = False
    ) -> Written:
        """Queue a new state of the object; removed: its last."""
        return self._write(present.key, present, new, dry_run=dry_run, removed=removed)

    def _write(
        self,
        key: Key,
        present: Present | None,
        new: Object,
        *,
        dry_run: bool,
        removed: bool = False,
    ) -> Written:
        if dry_run:
            return Written(Item(msgspec.json.encode(new), new), None)
        stored, done = self._store.write(
            key,
            present.record.revision if present else 0,
            lambda revision: with_version(new, revision),
            uid=new["metadata"]["uid"],
            deleted=removed,
        )
        if key.kind == SERVICE.group_resource and self._allocated_epoch == self._store.epoch:
            self._allocations.replace(
                (key.namespace, key.name),
                present.object if present else None,
                None if removed else new,
            )
        if key.namespace:
            self._settle_quotas(key, present.object if present else None, None if removed else new)
        return Written(Item(stored.json, new), done)

    def _settle_quotas(self, key: Key, old: Object | None, new: Object | None) -> None:
        """Count the write, and write the status of each quota that it changes along with it."""
        quotas = self._current_quotas()
        kind = _KIND_OF[key.kind]
        quotas.note(kind, key.namespace, old, new)
        if not quotas.bound(key.namespace):
            return
        if kind is RESOURCE_QUOTA:
            self._quota_status.pop(key, None)
        for name, status in quotas.statuses(key.namespace):
            quota_key = key_of(RESOURCE_QUOTA, key.namespace, name)
            if self._quota_status.get(quota_key) != status:
                self._quota_status[quota_key] = status
                self._write_status(quota_key, status)

    def _write_status(self, key: Key, status: Object) -> None:
        record = self._store.latest(key)
        if record is None:
            return
        quota = _decode(record.json)
        if quota.get("status") == status:
            return
        quota["status"] = status
        self._store.write(
            key,
            record.revision,
            lambda revision: with_version(quota, revision),
            uid=quota["metadata"]["uid"],
        )
