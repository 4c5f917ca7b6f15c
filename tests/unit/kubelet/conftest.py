"""A node without root: on the real registry; container runtime, network and clock in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import POD, SERVICE_ACCOUNT
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.apiserver.requests import WriteOptions
from netlab.client.informers import SharedInformers
from netlab.clock import FakeClock
from netlab.config import LabConfig
from netlab.kubelet.agent import Kubelet
from netlab.store.records import Item
from netlab.store.store import open_store
from netlab.timestamps import rfc3339
from tests.support.registry_api import PromptSyncer, RegistryApi
from tests.unit.kubelet.fake_network import FakeNetns, FakeNetwork
from tests.unit.kubelet.fake_runtime import FakeRuntime
from tests.unit.kubelet.node_api import NodeApi, system_objects


class World:
    """One node with everything around it."""

    def __init__(self, root: Path, api: RegistryApi, clock: FakeClock) -> None:
        self.clock = clock
        self.api = api
        self.runtime = FakeRuntime(self.clock)
        self.network = FakeNetwork()
        self.netns = FakeNetns()
        self.config = LabConfig(name="test")
        self.root = root
        self.kubelet = self.new_kubelet()

    def new_kubelet(self) -> Kubelet:
        resolv_conf = self.root / "resolv.conf"
        resolv_conf.write_text("search example.org\nnameserver 192.0.2.53\n")
        self.informers = SharedInformers(self.api, self.clock)
        return Kubelet(
            client=self.api,
            informers=self.informers,
            runtime=self.runtime,
            network=self.network,
            netns=self.netns,
            clock=self.clock,
            config=msgspec.structs.replace(self.config.node(), resolv_conf=resolv_conf),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the agent; cancelling it is what a stopped daemon does."""
        informing = asyncio.create_task(self.informers.run())
        task = asyncio.create_task(self.kubelet.run())
        await self.settle()
        try:
            yield
            await self.settle()
            if task.done():
                task.result()
        finally:
            task.cancel()
            informing.cancel()
            await asyncio.wait({task, informing})

    async def settle(self) -> None:
        """Let everything that can happen without time passing happen."""
        for _ in range(400):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.settle()

    async def add(self, obj: Object) -> Object:
        kind = self.api.registry.catalog.by_kind(obj["apiVersion"], obj["kind"])
        created = await self.api.create(kind, "default" if kind.namespaced else None, obj)
        await self.settle()
        return created

    async def add_pod(self, name: str = "web", **spec: Any) -> Object:
        return await self.add(pod_object(name, **spec))

    def pod(self, name: str = "web") -> Pod:
        return Pod.parse(self.api.objects[("pods", "default", name)])

    def status(self, name: str = "web") -> Object:
        status: Object = self.api.objects[("pods", "default", name)]["status"]
        return status

    def container_status(self, name: str = "web", index: int = 0) -> Object:
        found: Object = self.status(name)["containerStatuses"][index]
        return found

    async def delete(self, name: str = "web", grace: int | None = None) -> None:
        await self.api.delete(POD, "default", name, grace_period_s=grace)
        await self.settle()

    def exists(self, name: str = "web") -> bool:
        return ("pods", "default", name) in self.api.objects

    def nothing_left(self) -> bool:
        """True when no trace of any pod is left on the node."""
        roots = (self.config.run_dir, self.config.state_dir)
        files = [p for root in roots if root.exists() for p in root.rglob("*") if p.is_file()]
        return (
            not self.runtime.sandboxes
            and not self.runtime.containers
            and not self.network.addresses_by_id
            and self.netns.names == {"somebody-elses"}
            and not files
        )


MAIN = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent"}


def pod_object(name: str = "web", **spec: Any) -> Object:
    """A Pod bound to node0 with one container ``main`` unless told otherwise."""
    spec.setdefault("containers", [MAIN])
    spec.setdefault("nodeName", "node0")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": spec,
    }


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    clock = FakeClock()
    numbers = itertools.count(1)

    async def issue_token(account: Item, body: Object, options: WriteOptions) -> Object:
        ends = clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
        token = f"token-{next(numbers)}"
        return {"status": {"token": token, "expirationTimestamp": rfc3339(ends)}}

    monkeypatch.setattr(asyncio, "to_thread", inline)
    monkeypatch.setattr("netlab.config.RUN_ROOT", tmp_path / "run-root")
    monkeypatch.setattr("netlab.config.STATE_ROOT", tmp_path / "state-root")
    creators = {(SERVICE_ACCOUNT, "token"): issue_token}
    async with open_store(tmp_path / "store.db", syncer=PromptSyncer) as store:
        api = NodeApi(store, clock, creators)
        for obj in system_objects():
            api.put(obj)
        yield World(tmp_path, api, clock)
