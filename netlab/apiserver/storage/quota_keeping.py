"""Holds every write to the quotas of its namespace, and keeps the quotas' statuses true.

The status of a quota is written together with the write that changes it: whoever has created a pod
finds it counted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netlab.api.catalog import Catalog
from netlab.api.kinds import RESOURCE_QUOTA, Kind
from netlab.api.view import Object
from netlab.apiserver.storage.metadata import with_version
from netlab.apiserver.storage.quota import Quotas
from netlab.apiserver.storage.writing import Writes, key_of
from netlab.store.records import Key
from netlab.store.store import Store

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class QuotaKeeper:
    """Watches all writes from its construction on. Nothing here awaits."""

    def __init__(self, store: Store, writes: Writes, catalog: Catalog) -> None:
        self._store = store
        self._writes = writes
        self._quotas = Quotas(writes.stored, catalog)
        self._epoch = -1
        self._statuses: dict[Key, Object] = {}
        writes.observe(self._note)
        catalog.subscribe(lambda kind, served: self._quotas.recount())

    def check(self, kind: Kind[Any], key: Key, new: Object, old: Object | None) -> None:
        """Check that the write fits into the quotas of its namespace.

        Raises: ApiError Forbidden when it does not.
        """
        if not key.namespace:
            return
        if kind.stored_as is not None:
            new = kind.stored_as.to_stored(new)
            old = None if old is None else kind.stored_as.to_stored(old)
        self._current().check(kind.storage, key.namespace, key.name, new, old)

    def _current(self) -> Quotas:
        if self._epoch != self._writes.epoch:
            self._quotas.forget()
            self._statuses.clear()
            self._epoch = self._writes.epoch
        return self._quotas

    def _note(self, kind: Kind[Any], key: Key, old: Object | None, new: Object | None) -> None:
        if not key.namespace:
            return
        quotas = self._current()
        quotas.note(kind, key.namespace, old, new)
        if not quotas.bound(key.namespace):
            return
        if kind is RESOURCE_QUOTA:
            self._statuses.pop(key, None)
        for name, status in quotas.statuses(key.namespace):
            quota_key = key_of(RESOURCE_QUOTA, key.namespace, name)
            if self._statuses.get(quota_key) != status:
                self._statuses[quota_key] = status
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
