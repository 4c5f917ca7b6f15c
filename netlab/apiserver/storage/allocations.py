"""Which Service has which cluster address and node port, and which one is next.

Mirrors ``pkg/registry/core/service/ipallocator`` and ``portallocator``. There is no second record
that could differ: the allocations are an index over the stored Services, brought up to date with
each write and built anew when writes were refused. The caller asks and writes without awaiting in
between, so nothing is given twice.

Both ranges are split: a number nobody asked for comes from the upper part, at random, and from the
small lower part only when the upper one is full, so that numbers people choose, which tend to be
low, rarely collide.

Source: KEP-3070 (addresses), KEP-3668 (node ports).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import TypeAlias

from netlab.api.view import UNREADABLE, Object

NODE_PORTS = range(30000, 32768)

ServiceKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""

ALREADY_ALLOCATED_IP = "provided IP is already allocated"
ALREADY_ALLOCATED_PORT = "provided port is already allocated"


def _static_part(size: int, *, least: int, step: int, most: int) -> int:
    """How many numbers at the bottom are left to those who choose: none in a tiny range."""
    if size < least:
        return 0
    return min(max(size // step, least), most)


class Allocations:
    """The numbers that Services hold.

    service_cidr: the range of cluster addresses. nodes: the nodes' network, of which nothing is
    given: the usual one lies inside the usual service_cidr.
    """

    def __init__(
        self, service_cidr: IPv4Network, random: Random, *, nodes: IPv4Network | None = None
    ) -> None:
        self._cidr = service_cidr
        self._nodes = nodes
        self._random = random
        # neither the network's own address nor its broadcast address is given
        self._ip_count = max(service_cidr.num_addresses - 2, 1)
        self._static_ips = _static_part(self._ip_count, least=16, step=16, most=256)
        self._static_ports = _static_part(len(NODE_PORTS), least=16, step=32, most=128)
        self._ips: dict[str, ServiceKey] = {}
        self._ports: dict[int, ServiceKey] = {}

    def rebuild(self, services: Iterable[tuple[ServiceKey, Object]]) -> None:
        """Forget everything and read it from the Services."""
        self._ips.clear()
        self._ports.clear()
        for key, service in services:
            self._enter(key, service)

    def replace(self, key: ServiceKey, old: Object | None, new: Object | None) -> None:
        """Note that a Service was written; None when there was or is none."""
        if old is not None:
            for ip in addresses_of(old):
                if self._ips.get(ip) == key:
                    del self._ips[ip]
            for port in ports_of(old):
                if self._ports.get(port) == key:
                    del self._ports[port]
        if new is not None:
            self._enter(key, new)

    def _enter(self, key: ServiceKey, service: Object) -> None:
        with contextlib.suppress(*UNREADABLE):
            for ip in addresses_of(service):
                self._ips[ip] = key
            for port in ports_of(service):
                self._ports[port] = key

    def refuse_ip(self, ip: str, key: ServiceKey | None) -> str:
        """Return why the Service cannot have the address, or "" when it can; None for a new one."""
        address = IPv4Address(ip)
        if address not in self._cidr or not self._usable(address):
            return (
                f"the provided IP ({ip}) is not in the valid range."
                f" The range of valid IPs is {self._cidr}"
            )
        if self._ips.get(ip) not in (None, key) or self._is_nodes(address):
            return ALREADY_ALLOCATED_IP
        return ""

    def _is_nodes(self, address: IPv4Address) -> bool:
        return self._nodes is not None and address in self._nodes

    def _usable(self, address: IPv4Address) -> bool:
        return 1 <= int(address) - int(self._cidr.network_address) <= self._ip_count

    def refuse_port(self, port: int, key: ServiceKey | None) -> str:
        """Return why the Service cannot have the node port, or ""; key None for a new Service."""
        if port not in NODE_PORTS:
            return (
                "provided port is not in the valid range."
                f" The range of valid ports is {NODE_PORTS[0]}-{NODE_PORTS[-1]}"
            )
        return ALREADY_ALLOCATED_PORT if self._ports.get(port) not in (None, key) else ""

    def free_ip(self) -> str | None:
        """Return an address that no Service has, or None when the range is full."""
        base = int(self._cidr.network_address) + 1
        for start, stop in ((self._static_ips, self._ip_count), (0, self._static_ips)):
            offset = self._pick(
                start, stop, lambda number: self._is_taken(IPv4Address(base + number))
            )
            if offset is not None:
                return str(IPv4Address(base + offset))
        return None

    def _is_taken(self, address: IPv4Address) -> bool:
        return str(address) in self._ips or self._is_nodes(address)

    def free_port(self, besides: Iterable[int] = ()) -> int | None:
        """Return a node port that no Service has and that is not in ``besides``, or None."""
        excluded = set(besides)
        first = NODE_PORTS[0]
        for start, stop in ((self._static_ports, len(NODE_PORTS)), (0, self._static_ports)):
            offset = self._pick(
                start,
                stop,
                lambda number: first + number in self._ports or first + number in excluded,
            )
            if offset is not None:
                return first + offset
        return None

    def _pick(self, start: int, stop: int, taken: Callable[[int], bool]) -> int | None:
        """Walk from a random place through the whole part once."""
        size = stop - start
        if size <= 0:
            return None
        first = self._random.randrange(size)
        for step in range(size):
            number = start + (first + step) % size
            if not taken(number):
                return number
        return None


def addresses_of(service: Object) -> list[str]:
    """Return the cluster addresses that the Service holds; none when it is headless."""
    spec = service.get("spec") or {}
    listed = list(spec.get("clusterIPs") or ())
    if not listed and spec.get("clusterIP"):
        listed = [spec["clusterIP"]]
    return [ip for ip in listed if ip and ip != "None"]


def ports_of(service: Object) -> set[int]:
    """Return the node ports that the Service holds, its health check's included."""
    spec: Mapping[str, object] = service.get("spec") or {}
    ports = spec.get("ports")
    held = {int(port.get("nodePort") or 0) for port in ports} if isinstance(ports, list) else set()
    check = spec.get("healthCheckNodePort")
    if isinstance(check, int):
        held.add(check)
    return held - {0}
