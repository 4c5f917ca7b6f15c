"""A registry over a real store, with a clock that stands still and a seeded die."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from netlab.api.kinds import NAMESPACE, SERVICE_ACCOUNT, Kind
from netlab.api.view import Object
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import DeleteOptions, ListOptions, WatchOptions, WriteOptions
from netlab.clock import FakeClock
from netlab.config import LabConfig
from netlab.store.store import Store, open_store


@dataclass
class Lab:
    """Short words for what the tests say often."""

    store: Store
    registry: Registry
    clock: FakeClock
    config: LabConfig

    async def create(
        self, kind: Kind[Any], obj: Object, namespace: str | None = "default", **options: Any
    ) -> Object:
        where = namespace if kind.namespaced else None
        # the registry may change what it is given
        body = copy.deepcopy(obj)
        result = await self.registry.create(kind, where, body, WriteOptions(**options))
        return result.item.object

    async def get(
        self, kind: Kind[Any], name: str, namespace: str | None = "default", **more: Any
    ) -> Object:
        item = await self.registry.get(kind, namespace if kind.namespaced else None, name, **more)
        return item.copy()

    async def update(self, kind: Kind[Any], obj: Object, **more: Any) -> Object:
        subresource = more.pop("subresource", "")
        metadata = obj["metadata"]
        result = await self.registry.update(
            kind,
            metadata.get("namespace"),
            metadata["name"],
            obj,
            WriteOptions(**more),
            subresource=subresource,
        )
        return result.item.object

    async def patch(
        self, kind: Kind[Any], name: str, patch: Any, *, patch_type: Any = "merge", **more: Any
    ) -> Object:
        subresource = more.pop("subresource", "")
        namespace = more.pop("namespace", "default")
        result = await self.registry.patch(
            kind,
            namespace if kind.namespaced else None,
            name,
            patch,
            patch_type,
            WriteOptions(**more),
            subresource=subresource,
        )
        return result.item.object

    async def delete(self, kind: Kind[Any], name: str, namespace: str = "default", **more: Any):
        where = namespace if kind.namespaced else None
        return await self.registry.delete(kind, where, name, DeleteOptions(**more))

    async def names(self, kind: Kind[Any], namespace: str | None = None, **more: Any) -> list[str]:
        result = await self.registry.list(kind, namespace, ListOptions(**more))
        return [item.object["metadata"]["name"] for item in result.items]

    async def watch(self, kind: Kind[Any], namespace: str | None = None, **more: Any):
        return await self.registry.watch(kind, namespace, WatchOptions(**more))

    @staticmethod
    def config_map(name: str, **data: str) -> Object:
        return {"metadata": {"name": name}, "data": data}

    @staticmethod
    def pod(name: str, **spec: Any) -> Object:
        return {
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "web", "image": "busybox"}], **spec},
        }

    @staticmethod
    def service(name: str, *ports: Any, **spec: Any) -> Object:
        listed = [port if isinstance(port, dict) else {"port": port} for port in ports or (80,)]
        return {
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": listed, **spec},
        }

    @staticmethod
    def deployment(name: str, **spec: Any) -> Object:
        labels = {"app": name}
        return {
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": "busybox"}]},
                },
                **spec,
            },
        }


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    clock = FakeClock()
    config = LabConfig()
    async with open_store(tmp_path / "store.db") as store:
        registry = Registry(store, config, clock, random=Random(7), bookmark_interval_s=0.01)
        made = Lab(store, registry, clock, config)
        await made.create(NAMESPACE, {"metadata": {"name": "default"}})
        await made.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}})
        yield made
