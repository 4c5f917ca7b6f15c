"""The pods' network and the names under /run/netns in memory, for the kubelet's tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from netlab.cni.host_ports import HostPort
from netlab.errors import NetworkError


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
