"""A node without root: on the real registry; container runtime, network and clock in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import NODE, POD, SERVICE_ACCOUNT, Kind
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.apiserver.requests import WriteOptions
from netlab.client.informers import SharedInformers
from netlab.clock import FakeClock
from netlab.cni.host_ports import HostPort
from netlab.config import LabConfig
from netlab.errors import ContainerError, ImageError, NetworkError
from netlab.kubelet.agent import Kubelet
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerPhase,
    ContainerState,
    GroupUsage,
    ImageInfo,
    LinuxResources,
    RegistryCredentials,
    SandboxConfig,
    SandboxStatus,
)
from netlab.store.records import Item
from netlab.store.store import open_store
from netlab.timestamps import rfc3339
from tests.support.registry_api import PromptSyncer, RegistryApi


@dataclass
class FakeProcess:
    """A process in a container, for exec: it prints its words, takes a while, and ends."""

    argv: tuple[str, ...]
    container_id: str
    code: int = 0
    lasts: Callable[[], Awaitable[None]] | None = None
    closed: bool = False
    _told: bool = False

    async def read(self) -> tuple[int, bytes] | None:
        if self._told:
            return None
        self._told = True
        if self.lasts is not None:
            await self.lasts()
        return 1, " ".join(self.argv).encode()

    async def wait(self) -> int:
        return self.code

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """Containers that run until told to end."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.sandboxes: dict[str, SandboxStatus] = {}
        self.containers: dict[str, ContainerState] = {}
        self.configs: dict[str, ContainerConfig] = {}
        self.images = {"busybox", "mongo", "busybox:2"}
        self.registry: set[str] = set()
        self.users: dict[str, str] = {}
        self.resized: dict[str, LinuxResources] = {}
        self.execs: list[tuple[str, tuple[str, ...]]] = []
        self.exec_codes: dict[str, int] = {}
        self.exec_seconds: dict[str, float] = {}
        self.slow_pull_s = 0.0
        self.calls: list[str] = []
        self.stubborn: set[str] = set()
        self.create_error = ""
        self.start_error = ""
        self.sandbox_error = ""
        self._exits: asyncio.Queue[str] = asyncio.Queue()
        self.listings = 0

    async def run_sandbox(self, config: SandboxConfig) -> str:
        self.calls.append("run_sandbox")
        await asyncio.sleep(0)
        if self.sandbox_error:
            raise ContainerError(self.sandbox_error)
        sandbox_id = f"sandbox{next(self._ids)}"
        self.sandboxes[sandbox_id] = SandboxStatus(
            sandbox_id, config, ContainerPhase.RUNNING, 1000, self._clock.now()
        )
        return sandbox_id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self.calls.append("stop_sandbox")
        if sandbox_id in self.sandboxes:
            old = self.sandboxes[sandbox_id]
            self.sandboxes[sandbox_id] = replace(old, phase=ContainerPhase.EXITED, pid=0)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.calls.append("remove_sandbox")
        self.sandboxes.pop(sandbox_id, None)
        inside = [c.id for c in self.containers.values() if c.sandbox_id == sandbox_id]
        for container_id in inside:
            del self.containers[container_id]

    async def list_sandboxes(self) -> list[SandboxStatus]:
        return list(self.sandboxes.values())

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self.calls.append(f"create {config.name}/{config.attempt}")
        if self.create_error:
            raise ContainerError(self.create_error)
        assert self.sandboxes[sandbox_id].phase is ContainerPhase.RUNNING
        container_id = f"container{next(self._ids)}"
        config.log_path.write_bytes(b"")
        self.configs[container_id] = config
        self.containers[container_id] = ContainerState(
            id=container_id,
            sandbox_id=sandbox_id,
            pod=self.sandboxes[sandbox_id].config.pod,
            name=config.name,
            attempt=config.attempt,
            image=config.image,
            image_id=f"sha256:{config.image}",
            phase=ContainerPhase.CREATED,
            pid=0,
            created_at=self._clock.now(),
            log_path=config.log_path,
        )
        return container_id

    async def start_container(self, container_id: str) -> None:
        if self.start_error:
            self._set(
                container_id,
                phase=ContainerPhase.EXITED,
                exit_code=128,
                finished_at=self._clock.now(),
                reason="StartError",
            )
            raise ContainerError(self.start_error)
        self._set(
            container_id, phase=ContainerPhase.RUNNING, pid=2000, started_at=self._clock.now()
        )

    def _set(self, container_id: str, **changes: Any) -> None:
        self.containers[container_id] = replace(self.containers[container_id], **changes)

    def end(self, container_id: str, code: int) -> None:
        """The container's process ends by itself."""
        reason = "Completed" if code == 0 else "Error"
        self._set(
            container_id,
            phase=ContainerPhase.EXITED,
            pid=0,
            exit_code=code,
            reason=reason,
            finished_at=self._clock.now(),
        )
        self._exits.put_nowait(container_id)

    def kill_pause(self) -> None:
        """Somebody kills the pause process of the only sandbox."""
        (sandbox_id,) = self.sandboxes
        old = self.sandboxes[sandbox_id]
        self.sandboxes[sandbox_id] = replace(old, phase=ContainerPhase.EXITED, pid=0)
        self._exits.put_nowait(sandbox_id)

    async def stop_container(self, container_id: str, *, grace_period_s: float) -> None:
        state = self.containers.get(container_id)
        self.calls.append(f"stop {state.name if state else '?'} {grace_period_s:g}")
        if state is None or state.phase is ContainerPhase.EXITED:
            return
        if state.name in self.stubborn:
            await self._clock.sleep(grace_period_s)
        self.end(container_id, 137 if state.name in self.stubborn else 0)

    async def remove_container(self, container_id: str) -> None:
        self.calls.append("remove_container")
        self.containers.pop(container_id, None)

    async def list_containers(self) -> list[ContainerState]:
        self.listings += 1
        await asyncio.sleep(0)
        return list(self.containers.values())

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> FakeProcess:
        name = self.containers[container_id].name
        self.execs.append((name, tuple(argv)))
        self.calls.append(f"exec {name} {' '.join(argv)}")
        seconds = self.exec_seconds.get(argv[0], 0.0)
        lasts = (lambda: self._clock.sleep(seconds)) if seconds else None
        return FakeProcess(tuple(argv), container_id, self.exec_codes.get(argv[0], 0), lasts)

    async def exits(self) -> AsyncIterator[str]:
        while True:
            yield await self._exits.get()

    async def usage(self) -> Mapping[str, GroupUsage]:
        return {}

    async def remove_image(self, image_id: str) -> None:
        self.images.discard(image_id.removeprefix("sha256:"))

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        found = self.containers.get(container_id)
        self.calls.append(f"resize {found.name if found else 'pod'}")
        self.resized[container_id] = resources

    async def pull_image(
        self, reference: str, *, policy: str, credentials: Sequence[RegistryCredentials] = ()
    ) -> ImageInfo:
        if policy != "Never" and self.slow_pull_s:
            await self._clock.sleep(self.slow_pull_s)
        if policy != "Never" and reference in self.registry:
            self.images.add(reference)
        if reference not in self.images:
            raise ImageError(f'"{reference}": not found')
        user = self.users.get(reference, "")
        return ImageInfo(f"sha256:{reference}", (reference,), 1234, True, user=user)

    async def list_images(self) -> list[ImageInfo]:
        return [ImageInfo(f"sha256:{name}", (name,), 1234, True) for name in sorted(self.images)]

    def container(self, name: str) -> ContainerState:
        """The newest container of that name."""
        same = [c for c in self.containers.values() if c.name == name]
        return max(same, key=lambda c: c.attempt)


@dataclass(frozen=True)
class FakeAddress:
    ip: IPv4Address


@dataclass
class FakeNetwork:
    """Addresses and faults by container id."""

    addresses_by_id: dict[str, IPv4Address] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    host_ports: dict[str, tuple[HostPort, ...]] = field(default_factory=dict)
    error: str = ""
    set_up: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    async def setup(self, pod_cidr: IPv4Network) -> None:
        self.set_up = True

    async def add(
        self,
        *,
        container_id: str,
        pod_netns: Path,
        namespace: str,
        name: str,
        host_ports: Sequence[HostPort] = (),
    ) -> FakeAddress:
        self.host_ports[container_id] = tuple(host_ports)
        if self.error:
            raise NetworkError(self.error)
        assert container_id not in self.addresses_by_id
        address = IPv4Address("10.244.0.0") + next(self._numbers)
        self.addresses_by_id[container_id] = address
        return FakeAddress(address)

    async def delete(self, *, container_id: str, pod_netns: Path | None = None) -> None:
        self.addresses_by_id.pop(container_id, None)

    async def check(self, *, container_id: str, pod_netns: Path) -> list[str]:
        return self.faults.get(container_id, [])

    async def repair(
        self, *, container_id: str, pod_netns: Path, namespace: str, name: str
    ) -> FakeAddress:
        self.repaired.append(container_id)
        self.faults.pop(container_id, None)
        return FakeAddress(self.addresses_by_id[container_id])

    async def addresses(self) -> dict[IPv4Address, str]:
        return {address: name for name, address in self.addresses_by_id.items()}


@dataclass
class FakeNetns:
    """Names under /run/netns."""

    names: set[str] = field(default_factory=lambda: {"somebody-elses"})

    async def create_netns(self, name: str) -> Path:
        assert name not in self.names
        self.names.add(name)
        return Path("/run/netns") / name

    async def remove_netns(self, name: str) -> None:
        self.names.discard(name)

    def list_netns(self) -> list[str]:
        return sorted(self.names)


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
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


class NodeApi(RegistryApi):
    """The registry; where ``gives_ranges``, the node IPAM controller's work is done at once."""

    gives_ranges = True

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        if kind is NODE and self.gives_ranges:
            obj = {**obj, "spec": {"podCIDR": "10.244.0.0/24", **obj.get("spec", {})}}
        return await super().create(kind, namespace, obj)


def system_objects() -> list[Object]:
    """What a cluster has before its first node."""
    names = ("default", "kube-node-lease", "shop")
    account = {"name": "default", "namespace": "default"}
    return [
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names),
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": account,
            "automountServiceAccountToken": False,
        },
    ]


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
