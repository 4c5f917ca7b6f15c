"""The real registry as a test wants it: on a store that commits at once, with a door for setting
objects by hand, a record of what components wrote, and a tap on their watches.

``put`` goes past admission and validation, as an earlier version of an object or another program
might have left it; everything else is the registry's own behaviour.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from netlab.api.kinds import EVENT, Kind
from netlab.api.patches import PatchType
from netlab.api.view import Object
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry, SubresourceCreator
from netlab.apiserver.requests import UserInfo
from netlab.client.interface import WatchEvent
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.errors import ApiError, StorageError
from netlab.store.records import Key
from netlab.store.store import Store, open_store
from netlab.timestamps import rfc3339

ObjectKey = tuple[str, str, str]
Refusal = Callable[[str, Kind[Any], str], ApiError | None]
Creators = Mapping[tuple[Kind[Any], str], SubresourceCreator]


class PromptSyncer:
    """Says in the next turn of the event loop that a batch is durable; the test needs no disk."""

    def __init__(self, path: Path, synced: Callable[[int, StorageError | None], None]) -> None:
        self._synced = synced

    def start(self) -> None: ...

    def request(self) -> None:
        asyncio.get_running_loop().call_soon(self._synced, 1, None)

    async def stop(self) -> None: ...


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class RegistryApi(LocalClient):
    """A ``Client`` of the registry, and what tests do beside it.

    refuse(verb, kind, name): the error that a write shall meet, or None. writes: (verb, plural,
    name) of every write that changed something. The verb of a write to a subresource is followed by
    its name: "patch status".
    """

    def __init__(self, store: Store, clock: Clock, creators: Creators | None = None) -> None:
        self.store = store
        self.clock = clock
        self.registry = Registry(store, LabConfig(), clock, creators=creators)
        super().__init__(self.registry, UserInfo("tester", groups=("system:masters",)))
        self.writes: list[tuple[str, str, str]] = []
        self.refuse: Refusal = lambda verb, kind, name: None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._held_after = self._last_put = 0

    # what tests use -----------------------------------------------------------------------------

    def put(self, obj: Object) -> Object:
        """Write an object as it is; of one that exists, uid and what is not named stay."""
        kind = self.registry.catalog.by_kind(obj["apiVersion"], obj["kind"])
        assert kind is not None, f"no such kind: {obj['kind']}"
        key = self._key(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        latest = self.store.latest(key)
        old = None if latest is None else msgspec.json.decode(latest.json)
        new: Object = copy.deepcopy(obj) if old is None else merged(old, obj)
        kind.defaults(new)
        meta = new["metadata"]
        meta.setdefault("uid", f"uid-{key.name}-{self.store.revision}")
        meta.setdefault("creationTimestamp", rfc3339(self.clock.now()))
        meta.setdefault("generation", 1)
        if old is not None and old.get("spec") != new.get("spec"):
            meta["generation"] = old["metadata"].get("generation", 1) + 1

        def encode(revision: int) -> bytes:
            meta["resourceVersion"] = str(revision)
            return msgspec.json.encode(new)

        record, _ = self.store.write(key, latest.revision if latest else 0, encode, uid=meta["uid"])
        self._last_put = record.revision
        return copy.deepcopy(new)

    def remove(self, kind: Kind[Any], namespace: str | None, name: str) -> None:
        """Take an object away, whatever holds it."""
        key = self._key(kind, namespace, name)
        latest = self.store.latest(key)
        assert latest is not None, f"{key} is not there"
        obj = msgspec.json.decode(latest.json)

        def encode(revision: int) -> bytes:
            obj["metadata"]["resourceVersion"] = str(revision)
            return msgspec.json.encode(obj)

        self.store.write(
            key, latest.revision, encode, uid=obj["metadata"].get("uid", ""), deleted=True
        )

    @property
    def objects(self) -> dict[ObjectKey, Object]:
        """All objects by (plural, namespace, name)."""
        found: dict[ObjectKey, Object] = {}
        for kind in self.registry.catalog.stored():
            for key, record in self.store.latest_records(kind.storage.group_resource):
                found[kind.plural, key.namespace, key.name] = msgspec.json.decode(record.json)
        return found

    def find(self, kind: Kind[Any], namespace: str = "default") -> list[Object]:
        """The objects of a kind in a namespace, or in none, in order of their names."""
        records = sorted(
            self.store.latest_records(kind.storage.group_resource), key=lambda entry: entry[0]
        )
        return [
            msgspec.json.decode(record.json)
            for key, record in records
            if key.namespace in (namespace, "")
        ]

    def events(self) -> list[tuple[str, str]]:
        """(reason, message) of all Events, in the order in which they were written last."""
        records = [record for _, record in self.store.latest_records(EVENT.storage.group_resource)]
        found = [msgspec.json.decode(r.json) for r in sorted(records, key=lambda r: r.revision)]
        return [(event["reason"], event["message"]) for event in found]

    def hold(self) -> None:
        """Keep back until ``release`` what watches tell of writes after this."""
        self._held_after = max(self.store.revision, self._last_put)
        self._flowing.clear()

    def release(self) -> None:
        self._flowing.set()

    def count(self, verb: str, kind: Kind[Any]) -> int:
        return sum(1 for v, plural, _ in self.writes if (v, plural) == (verb, kind.plural))

    # the client, watched ------------------------------------------------------------------------

    @staticmethod
    def _key(kind: Kind[Any], namespace: str | None, name: str) -> Key:
        return Key(kind.storage.group_resource, (namespace or "") if kind.namespaced else "", name)

    def _check(self, verb: str, kind: Kind[Any], name: str) -> None:
        error = self.refuse(verb, kind, name)
        if error is not None:
            raise error

    async def watch(self, kind: Kind[Any], *args: Any, **more: Any) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(kind, *args, **more):
            if int(event.object["metadata"]["resourceVersion"]) > self._held_after:
                await self._flowing.wait()
            yield event

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        self._check("create", kind, obj["metadata"].get("name", ""))
        made = await super().create(kind, namespace, obj)
        self.writes.append(("create", kind.plural, made["metadata"]["name"]))
        return made

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object:
        name, verb = obj["metadata"]["name"], f"update {subresource}".rstrip()
        self._check(verb, kind, name)
        written = await super().update(kind, namespace, obj, subresource=subresource)
        self.writes.append((verb, kind.plural, name))
        return written

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        verb = f"patch {subresource}".rstrip()
        self._check(verb, kind, name)
        before = self.store.latest(self._key(kind, namespace, name))
        written = await super().patch(
            kind, namespace, name, patch, patch_type=patch_type, subresource=subresource
        )
        if before is None or written["metadata"]["resourceVersion"] != str(before.revision):
            self.writes.append((verb, kind.plural, name))
        return written

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
    ) -> Object:
        verb = f"create {subresource}"
        self._check(verb, kind, name)
        answer = await super().create_subresource(kind, namespace, name, subresource, body)
        self.writes.append((verb, kind.plural, name))
        return answer

    async def delete(
        self, kind: Kind[Any], namespace: str | None, name: str, **more: Any
    ) -> Object:
        self._check("delete", kind, name)
        last = await super().delete(kind, namespace, name, **more)
        self.writes.append(("delete", kind.plural, name))
        return last


@asynccontextmanager
async def registry_api(folder: Path, clock: Clock) -> AsyncIterator[RegistryApi]:
    """Run a registry whose store is in that folder."""
    async with open_store(folder / "store.db", syncer=PromptSyncer) as store:
        yield RegistryApi(store, clock)
