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
from netlab.client.interface import Client
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.controllers.run import ControllerManager
from netlab.scheduler.run import Scheduler
from netlab.store.store import open_store


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
    """What a test works with."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.eventually = eventually

    async def add_node(self, obj: dict[str, Any]) -> None:
        await self.client.create(NODE, None, obj)
        await self.client.patch(
            NODE, None, obj["metadata"]["name"], {"status": obj["status"]}, subresource="status"
        )


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    config, clock = LabConfig(), SystemClock()
    async with open_store(tmp_path / "store.db") as store:
        registry = Registry(store, config, clock)
        user = UserInfo(name="system:admin", groups=("system:masters",))
        client = LocalClient(registry, user)
        await ensure_system_objects(client, config)
        manager = ControllerManager(client, clock, ca_pem="CA")
        scheduler = Scheduler(client, clock)
        tasks = [asyncio.create_task(manager.run()), asyncio.create_task(scheduler.run())]
        await manager.synced.wait()
        await scheduler.synced.wait()
        try:
            yield Lab(client)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def node0(lab: Lab) -> None:
    """A ready node, and the account pods need."""
    await lab.add_node(node("node0"))

    async def account() -> bool:
        return bool((await lab.client.list(SERVICE_ACCOUNT, "default")).items)

    await eventually(account)
