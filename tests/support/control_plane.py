"""A control plane without a node, in one process: a real registry on a store of its own, with the
controllers and the scheduler at work on it. Tests of both are written against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from netlab.api.kinds import EVENT, NODE, SERVICE_ACCOUNT
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.clock import Clock, SystemClock
from netlab.config import LabConfig
from netlab.controllers.run import ControllerManager
from netlab.scheduler.run import Scheduler
from netlab.store.store import Store, open_store
from tests.support.registry_api import PromptSyncer


async def eventually(check: Callable[[], Awaitable[Any]], timeout_s: float = 30.0) -> Any:
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


class ControlPlane:
    """What a test works with: the registry on its store, and the components at work on it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.registry = Registry(store, LabConfig(), clock)
        user = UserInfo(name="system:admin", groups=("system:masters",))
        self.client: Client = LocalClient(self.registry, user)
        self.eventually = eventually
        self.tasks: list[asyncio.Task[None]] = []

    async def add_node(self, obj: dict[str, Any]) -> None:
        await self.client.create(NODE, None, obj)
        await self.client.patch(
            NODE, None, obj["metadata"]["name"], {"status": obj["status"]}, subresource="status"
        )

    async def start(self) -> None:
        """Start controllers and scheduler, and wait until they work."""
        clock = self.clock
        informers = SharedInformers.recording(self.client, clock, component="netlab")
        manager = ControllerManager(
            self.client,
            informers,
            clock,
            ca_pem="CA",
            cluster_cidr=LabConfig().pod_cidr,
            catalog=self.registry.catalog,
        )
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

    async def events(self, name: str = "") -> list[tuple[str, str, str]]:
        """Return (type, reason, message) of all events, or of those about one object."""
        return [
            (event["type"], event["reason"], event["message"])
            for event in (await self.client.list(EVENT)).items
            if name in ("", event["involvedObject"]["name"])
        ]

    async def settle(self) -> None:
        """Wait until everything that follows from what was written has happened."""
        quiet = 0
        while quiet < 30:
            before = self.store.revision
            await asyncio.sleep(0.003)
            quiet = 0 if self.store.revision != before or self.store._pending else quiet + 1

    async def ready_for_pods(self, namespace: str = "default") -> None:
        """Wait for the account that pods need."""

        async def account() -> bool:
            return bool((await self.client.list(SERVICE_ACCOUNT, namespace)).items)

        await eventually(account)


@asynccontextmanager
async def quiet_control_plane(
    folder: Path, clock: Clock | None = None
) -> AsyncIterator[ControlPlane]:
    """Run a registry whose store is in that folder; nothing is at work on it until ``start``."""
    async with open_store(folder / "store.db", syncer=PromptSyncer) as store:
        plane = ControlPlane(store, clock or SystemClock())
        await ensure_system_objects(plane.client, LabConfig())
        try:
            yield plane
        finally:
            await plane.stop()


@asynccontextmanager
async def control_plane(folder: Path, clock: Clock | None = None) -> AsyncIterator[ControlPlane]:
    """Run a control plane whose store is in that folder."""
    async with quiet_control_plane(folder, clock) as plane:
        await plane.start()
        yield plane
