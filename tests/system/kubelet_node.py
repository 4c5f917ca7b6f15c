"""A node agent with the real API machinery, runtime and network, in a namespace of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, EVENT, NODE, POD, SERVICE_ACCOUNT
from netlab.api.streams import LogOptions
from netlab.api.view import Object
from netlab.apiserver.assembly import assemble
from netlab.apiserver.auth.pki import ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.requests import UserInfo
from netlab.apiserver.streams.kubelets import Door
from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.cni.plugin import PodNetwork
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.kubelet.agent import Kubelet
from netlab.net import netns
from netlab.net.dialing import dial
from netlab.net.host import NetworkHost
from netlab.runtime.engine import OciRuntime
from netlab.store.store import open_store

NAME = f"kubelet-test-{secrets.token_hex(3)}"
DEADLINE_S = 15.0


class Node:
    """One lab with an API server and one node, and nothing else."""

    def __init__(self, client: LocalClient, config: LabConfig) -> None:
        self.client = client
        self.config = config
        self.runtime: OciRuntime | None = None
        self.kubelet: Kubelet | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        """Run the agent; leaving lets the pods run on, as when the daemon ends."""
        config, clock = self.config, SystemClock()
        host = NetworkHost(config.netns)
        network = PodNetwork(
            host,
            cluster_cidr=config.pod_cidr,
            service_cidr=config.service_cidr,
            state_dir=config.state_dir / "cni",
        )
        async with OciRuntime(
            run_dir=config.run_dir, state_dir=config.state_dir, lab_name=config.name, clock=clock
        ) as runtime:
            self.runtime = runtime
            informers = SharedInformers(self.client, clock)
            self.kubelet = Kubelet(
                client=self.client,
                informers=informers,
                runtime=runtime,
                network=network,
                netns=netns,
                clock=clock,
                config=config.node(),
            )
            informing = asyncio.create_task(informers.run())
            task = asyncio.create_task(self.kubelet.run())
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self.kubelet.ready.wait()
                yield self.kubelet
                if task.done():
                    task.result()
            finally:
                task.cancel()
                informing.cancel()
                await asyncio.wait({task, informing})
                host.close()

    async def create(self, name: str, script: str, **spec: Any) -> None:
        container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}
        container |= spec.pop("container", {})
        spec = {"nodeName": self.config.node_name, "containers": [container], **spec}
        spec.setdefault("terminationGracePeriodSeconds", 1)
        pod = {"metadata": {"name": name}, "spec": spec}
        await self.client.create(POD, "default", pod)

    async def status(self, name: str) -> Object:
        status: Object = (await self.client.get(POD, "default", name)).get("status", {})
        return status

    async def until(self, name: str, test: Callable[[Object], Any]) -> Object:
        status: Object = {}
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            status = await self.status(name)
            with contextlib.suppress(KeyError, IndexError):
                if test(status):
                    return status
            await asyncio.sleep(0.01)
        raise AssertionError(f"pod {name} stayed {status}\n{await self.events()}")

    async def until_ready(self, name: str) -> Object:
        return await self.until(name, is_ready)

    async def until_gone(self, name: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                await self.client.get(POD, "default", name)
            except ApiError:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"pod {name} did not go away: {await self.status(name)}")

    async def events(self) -> list[tuple[str, str]]:
        found = (await self.client.list(EVENT, "default")).items
        return [(event["reason"], event["message"]) for event in found]

    async def output(self, name: str, container: str = "main", **options: Any) -> str:
        assert self.kubelet is not None
        pieces = self.kubelet.connection.logs("default", name, container, LogOptions(**options))
        return b"".join([piece async for piece in pieces]).decode()

    async def run(self, name: str, *argv: str) -> str:
        assert self.kubelet is not None
        process = await self.kubelet.connection.exec(
            "default", name, "main", argv, stdin=False, tty=False
        )
        output = b""
        while (piece := await process.read()) is not None:
            output += piece[1]
        await process.wait()
        await process.close()
        return output.decode()

    async def pause_pid(self) -> int:
        assert self.runtime is not None
        (sandbox,) = await self.runtime.list_sandboxes()
        return sandbox.pid

    async def container_pid(self) -> int:
        assert self.runtime is not None
        return max(c.pid for c in await self.runtime.list_containers())


def is_ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def leftovers() -> list[str]:
    """What of this test's lab can still be seen on the machine."""
    found = [name for name in netns.list_netns() if NAME in name]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if NAME in line]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if NAME in words and "pytest" not in words:
                found.append(words)
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/netlab/{NAME}*")]
    return found


@pytest.fixture(name="node")
async def node_fixture(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    # on the machine's own file system, for overlays do not lie on every /tmp
    state_root, run_root = Path("/var/lib/netlab-tests"), Path("/run/netlab-tests")
    monkeypatch.setattr("netlab.config.STATE_ROOT", state_root)
    monkeypatch.setattr("netlab.config.RUN_ROOT", run_root)
    config = LabConfig(name=NAME, sandbox=True, pod_cidr=IPv4Network("10.244.0.0/16"))
    config.state_dir.mkdir(parents=True)
    config.hosts_file.parent.mkdir(parents=True)
    config.hosts_file.write_text("127.0.0.1\tlocalhost\n")
    await netns.create_netns(config.netns_name)
    pki = ensure_pki(config.state_dir / "pki", config, datetime.now(UTC))
    try:
        async with open_store(config.state_dir / "store.db") as store:
            plane = assemble(
                store,
                config,
                pki,
                SystemClock(),
                door=Door(partial(dial, None), pki.kubelet_context()),
            )
            client = LocalClient(plane.registry, UserInfo("admin", groups=("system:masters",)))
            await ensure_system_objects(client, config)
            await client.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "default"}})
            ca = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CERTIFICATE"}}
            await client.create(CONFIG_MAP, "default", ca)
            # nobody else gives the node its range here
            range_ = {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]}
            await client.create(NODE, None, {"metadata": {"name": "node0"}, "spec": range_})
            node = Node(client, config)
            try:
                yield node
            finally:
                async with OciRuntime(
                    run_dir=config.run_dir,
                    state_dir=config.state_dir,
                    lab_name=config.name,
                    clock=SystemClock(),
                ) as runtime:
                    await runtime.destroy_all()
    finally:
        for name in [n for n in netns.list_netns() if NAME in n]:
            await netns.remove_netns(name)
        shutil.rmtree(config.state_dir, ignore_errors=True)
        shutil.rmtree(config.run_dir, ignore_errors=True)
        for folder in (state_root / "labs", state_root, run_root):
            with contextlib.suppress(OSError):
                folder.rmdir()
    assert leftovers() == []
