"""All controllers at work on the real registry, in a time that stands still."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from netlab.api.kinds import POD
from netlab.api.view import Object
from netlab.client.informers import SharedInformers
from netlab.clock import FakeClock
from netlab.controllers.run import ControllerManager
from netlab.timestamps import rfc3339
from tests.support.registry_api import RegistryApi, registry_api


async def settle(rounds: int = 400) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Cluster:
    """A registry with all controllers at work."""

    def __init__(self, api: RegistryApi, clock: FakeClock) -> None:
        self.clock = clock
        self.api = api
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
        self.api.remove(POD, "default", name)


@pytest.fixture
def clusters(clock: FakeClock, tmp_path: Path) -> Any:
    """A factory: ``async with clusters() as cluster``."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Cluster]:
        folder = Path(mkdtemp(dir=tmp_path))
        async with registry_api(folder, clock) as api:
            cluster = Cluster(api, clock)
            cluster.namespace("default")
            api.put(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": "node0"},
                    "spec": {},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                }
            )
            parts = (cluster.informers, cluster.manager)
            tasks = [asyncio.create_task(part.run()) for part in parts]
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
