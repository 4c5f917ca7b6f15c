"""A real API registry on a store of its own, with scheduler and controllers at work on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import NODE, SERVICE_ACCOUNT
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.controllers.run import ControllerManager
from netlab.scheduler.run import Scheduler
from netlab.store.store import Store, open_store


async def eventually(check: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """Return the first true result of ``await check()``."""
    async with asyncio.timeout(timeout_s):
        while not (result := await check()):
            await asyncio.sleep(0.002)
    return result


def node(name: str, ready: str = "True", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        },
    }


class Lab:
    """What a test works with: the registry on its store, and the components at work on it."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        user = UserInfo(name="system:admin", groups=("system:masters",))
        self.client: Client = LocalClient(registry, user)
        self.eventually = eventually
        self.tasks: list[asyncio.Task[None]] = []

    async def add_node(self, obj: dict[str, Any]) -> None:
        await self.client.create(NODE, None, obj)
        await self.client.patch(
            NODE, None, obj["metadata"]["name"], {"status": obj["status"]}, subresource="status"
        )

    async def start(self) -> None:
        """Start controllers and scheduler, and wait until they work."""
        clock = SystemClock()
        informers = SharedInformers.recording(self.client, clock, component="netlab")
        manager = ControllerManager(self.client, informers, clock, ca_pem="CA")
        scheduler = Scheduler(self.client, informers, clock)
        self.tasks = [asyncio.create_task(part.run()) for part in (informers, manager, scheduler)]
        await manager.synced.wait()
        await scheduler.synced.wait()

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        await self.start()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    config = LabConfig()
    async with open_store(tmp_path / "store.db") as store:
        lab = Lab(store, Registry(store, config, SystemClock()))
        await ensure_system_objects(lab.client, config)
        await lab.start()
        try:
            yield lab
        finally:
            await lab.stop()


@pytest.fixture
async def node0(lab: Lab) -> None:
    """A ready node, and the account pods need."""
    await lab.add_node(node("node0"))

    async def account() -> bool:
        return bool((await lab.client.list(SERVICE_ACCOUNT, "default")).items)

    await eventually(account)
