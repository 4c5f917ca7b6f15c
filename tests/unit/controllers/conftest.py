"""A small API server in memory, enough for controllers: verbs, versions, watches, finalizers."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import NAMESPACE, POD, Kind, builtin_catalog
from netlab.api.view import Object
from netlab.client.informers import SharedInformers
from netlab.client.interface import JsonList, ObjectList, Propagation, WatchEvent
from netlab.clock import FakeClock
from netlab.controllers.run import ControllerManager
from netlab.errors import ApiError
from netlab.timestamps import rfc3339

CATALOG = builtin_catalog()
ObjectKey = tuple[str, str, str]


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


def with_conditions(obj: Object, patch: Any) -> Object:
    """The one strategic merge that controllers use: conditions, by type."""
    present = {c["type"]: c for c in obj.get("status", {}).get("conditions", [])}
    for condition in patch["status"]["conditions"]:
        present[condition["type"]] = present.get(condition["type"], {}) | condition
    return merged(obj, {"status": {"conditions": list(present.values())}})


class FakeApi:
    """Satisfies ``client.interface.Client``.

    ``hold`` keeps watch events back until ``release``, which makes an informer as slow as a test
    wants it. ``refuse`` makes creates of a kind fail.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.objects: dict[ObjectKey, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.held: list[tuple[str, WatchEvent]] | None = None
        self.refuse: dict[str, ApiError] = {}
        self._watchers: list[tuple[str, asyncio.Queue[WatchEvent]]] = []
        self._versions = itertools.count(1)
        self._version = 0

    # -- what tests use -------------------------------------------------------------------

    def put(self, obj: Object) -> Object:
        """Write an object as a user would, keeping uid and status of an existing one."""
        kind = CATALOG.by_kind(obj["apiVersion"], obj["kind"])
        assert kind is not None
        key = self._key(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        old = self.objects.get(key)
        new = copy.deepcopy(obj)
        if old is not None:
            new = merged(old, new)
        return self._store(kind, key, new, "MODIFIED" if old is not None else "ADDED")

    def find(self, kind: Kind[Any], namespace: str = "default") -> list[Object]:
        return [
            copy.deepcopy(obj)
            for key, obj in sorted(self.objects.items())
            if key[0] == kind.plural and key[1] in (namespace, "")
        ]

    def hold(self) -> None:
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for plural, event in held:
            self._tell(plural, event)

    def count(self, verb: str, kind: Kind[Any]) -> int:
        return sum(1 for v, plural, _ in self.writes if (v, plural) == (verb, kind.plural))

    # -- Client ---------------------------------------------------------------------------

    @staticmethod
    def _key(kind: Kind[Any], namespace: str | None, name: str) -> ObjectKey:
        return (kind.plural, (namespace or "") if kind.namespaced else "", name)

    def _store(self, kind: Kind[Any], key: ObjectKey, obj: Object, event: str) -> Object:
        self._version = next(self._versions)
        meta = obj.setdefault("metadata", {})
        old = self.objects.get(key)
        if event == "ADDED":
            meta.setdefault("uid", f"uid-{self._version}")
            meta.setdefault("creationTimestamp", rfc3339(self.clock.now()))
            meta["generation"] = 1
        elif old is not None and old.get("spec") != obj.get("spec"):
            meta["generation"] = old["metadata"].get("generation", 1) + 1
        meta["resourceVersion"] = str(self._version)
        if event == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = obj
        told = WatchEvent(event, msgspec.json.encode(obj))
        if self.held is not None:
            self.held.append((kind.plural, told))
        else:
            self._tell(kind.plural, told)
        return copy.deepcopy(obj)

    def _tell(self, plural: str, event: WatchEvent) -> None:
        for watched, queue in self._watchers:
            if watched == plural:
                queue.put_nowait(event)

    def _get(self, kind: Kind[Any], namespace: str | None, name: str) -> Object:
        try:
            return self.objects[self._key(kind, namespace, name)]
        except KeyError:
            text = f'{kind.group_resource} "{name}" not found'
            raise ApiError(404, "NotFound", text) from None

    async def get(self, kind: Kind[Any], namespace: str | None, name: str) -> Object:
        return copy.deepcopy(self._get(kind, namespace, name))

    async def list(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        items = [
            copy.deepcopy(obj)
            for key, obj in sorted(self.objects.items())
            if key[0] == kind.plural and (namespace is None or key[1] == namespace)
        ]
        return ObjectList(items, str(self._version))

    async def list_json(
        self, kind: Kind[Any], namespace: str | None = None, **selectors: str
    ) -> JsonList:
        found = await self.list(kind, namespace, **selectors)
        return JsonList([msgspec.json.encode(o) for o in found.items], found.resource_version)

    async def watch(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watchers.append((kind.plural, queue))
        while True:
            yield await queue.get()

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        await asyncio.sleep(0)
        if kind.plural in self.refuse:
            raise self.refuse[kind.plural]
        new = copy.deepcopy(dict(obj))
        meta = new["metadata"]
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{self._version:05d}"
        key = self._key(kind, namespace, meta["name"])
        if key in self.objects:
            text = f'{kind.group_resource} "{meta["name"]}" already exists'
            raise ApiError(409, "AlreadyExists", text)
        self.writes.append(("create", kind.plural, meta["name"]))
        if kind is POD:
            new.setdefault("status", {"phase": "Pending"})
        return self._store(kind, key, new, "ADDED")

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object:
        await asyncio.sleep(0)
        name = obj["metadata"]["name"]
        old = self._get(kind, namespace, name)
        self._precondition(kind, old, obj)
        self.writes.append(("update", kind.plural, name))
        return self._changed(kind, namespace, name, copy.deepcopy(dict(obj)))

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        patch_type: str = "merge",
        subresource: str = "",
    ) -> Object:
        await asyncio.sleep(0)
        old = self._get(kind, namespace, name)
        self._precondition(kind, old, patch)
        new = with_conditions(old, patch) if patch_type == "strategic" else merged(old, patch)
        if new == old:
            return copy.deepcopy(old)
        self.writes.append(("patch", kind.plural, name))
        return self._changed(kind, namespace, name, copy.deepcopy(new))

    def _changed(self, kind: Kind[Any], namespace: str | None, name: str, new: Object) -> Object:
        key = self._key(kind, namespace, name)
        meta = new["metadata"]
        held = meta.get("finalizers") or (kind is NAMESPACE and new["spec"].get("finalizers"))
        graceful = meta.get("deletionGracePeriodSeconds")
        gone = meta.get("deletionTimestamp") and not held and not graceful
        return self._store(kind, key, new, "DELETED" if gone else "MODIFIED")

    @staticmethod
    def _precondition(kind: Kind[Any], old: Object, new: Mapping[str, Any]) -> None:
        wanted = new.get("metadata", {})
        for field in ("resourceVersion", "uid"):
            if field in wanted and wanted[field] != old["metadata"][field]:
                text = f'Operation cannot be fulfilled on {kind.group_resource} "…"'
                raise ApiError(409, "Conflict", text)

    async def delete(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
    ) -> Object:
        await asyncio.sleep(0)
        old = copy.deepcopy(self._get(kind, namespace, name))
        meta = old["metadata"]
        if uid is not None and meta["uid"] != uid:
            raise ApiError(409, "Conflict", "uid differs")
        self.writes.append(("delete", kind.plural, name))
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation or "")
        if finalizer:
            meta["finalizers"] = [*meta.get("finalizers", []), finalizer]
        scheduled = kind is POD and old.get("spec", {}).get("nodeName")
        grace = 30 if grace_period_s is None and scheduled else 0
        meta["deletionTimestamp"] = rfc3339(self.clock.now())
        if grace:
            meta["deletionGracePeriodSeconds"] = grace
        return self._changed(kind, namespace, name, old)

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
    ) -> Object:
        raise NotImplementedError


async def settle(rounds: int = 400) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Cluster:
    """A fake API with all controllers at work."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.api = FakeApi(clock)
        self.informers = SharedInformers(self.api, clock)
        self.manager = ControllerManager(
            self.api, self.informers, clock, ca_pem="CA", cluster_cidr=IPv4Network("10.244.0.0/16")
        )
        self.settle = settle

    def namespace(self, name: str) -> Object:
        return self.api.put(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }
        )

    def run_pod(self, name: str, ip: str, *, ready: bool = True, node: str = "node0") -> None:
        """Play scheduler and kubelet for a pod."""
        obj = copy.deepcopy(self.api.objects["pods", "default", name])
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": rfc3339(self.clock.now()),
        }
        obj["spec"]["nodeName"] = node
        obj["status"] = {"phase": "Running", "podIP": ip, "conditions": [condition]}
        self.api.put(obj)

    def finish_pod(self, name: str) -> None:
        """Play the kubelet that has stopped a pod."""
        key = ("pods", "default", name)
        self.api._store(POD, key, copy.deepcopy(self.api.objects[key]), "DELETED")


@pytest.fixture
def clusters(clock: FakeClock) -> Any:
    """A factory: ``async with clusters() as cluster``."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Cluster]:
        cluster = Cluster(clock)
        cluster.namespace("default")
        cluster.api.put(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "node0"},
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }
        )
        tasks = [asyncio.create_task(part.run()) for part in (cluster.informers, cluster.manager)]
        await settle()
        try:
            yield cluster
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return start


@pytest.fixture(autouse=True)
def _no_logging_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    faults = [record for record in caplog.records if record.exc_info]
    assert not faults, faults
