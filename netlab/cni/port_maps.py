"""Keeps the host ports of the node's pods: on disk, in the kernel, and the two alike.

Mirrors the verbs of the ``portmap`` plugin. ``host_ports`` decides the rules; this file reads,
writes and forgets the connections that still go where a port led before.

Rules for callers: one object per node; its methods may be called at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from netlab.cni.host_ports import (
    HostPort,
    PortMapping,
    plan_frame_removal,
    plan_host_ports,
    plan_host_ports_removal,
    render_host_ports,
)
from netlab.cni.port_records import PortRecords
from netlab.net.conntrack import delete_flows, list_flows
from netlab.net.host import NetworkHost
from netlab.net.ruleset import RuleSet

UDP = "udp"


class PortMaps:
    """The host ports of one node. bridge: the link behind which the pods are."""

    def __init__(self, host: NetworkHost, bridge: str, records: PortRecords) -> None:
        self._host = host
        self._netns = host.netns
        self._bridge = bridge
        self._iptables = host.iptables
        self._records = records
        self._loaded: dict[str, PortMapping] | None = None
        # reading the rules and writing what is missing must not mix with another such pass
        self._lock = asyncio.Lock()

    def rule_set(self) -> RuleSet:
        """Return the rules of all mappings, each with its origin."""
        return render_host_ports(self._mappings())

    def _mappings(self) -> dict[str, PortMapping]:
        if self._loaded is None:
            self._loaded = self._records.load()
        return self._loaded

    async def add(self, container_id: str, mapping: PortMapping) -> None:
        """Have the container's ports lead to it. Idempotent.

        Raises: NetworkError.
        """
        async with self._lock:
            mappings = self._mappings()
            if mappings.get(container_id) != mapping:
                self._records.save(container_id, mapping)
                mappings[container_id] = mapping
            await self._write()
            await self._forget_flows(mapping.ports)

    async def remove(self, container_id: str) -> None:
        """Take the container's ports away. Idempotent; costs nothing without host ports.

        Raises: NetworkError.
        """
        if container_id not in self._mappings():
            return
        async with self._lock:
            mapping = self._mappings().get(container_id)
            if mapping is None:
                return
            await self._remove_rules([container_id])
            await self._forget_flows(mapping.ports)
            self._records.remove(container_id)
            del self._mappings()[container_id]

    async def check(self, container_id: str) -> list[str]:
        """Return what is missing of the container's ports, in words.

        Raises: NetworkError when the kernel cannot be asked.
        """
        mapping = self._mappings().get(container_id)
        if mapping is None:
            return []
        kernel = await self._iptables.save("nat")
        if not plan_host_ports({container_id: mapping}, kernel):
            return []
        ports = ", ".join(f"{port.host_port}/{port.protocol}" for port in mapping.ports)
        return [f"rules of host ports {ports} are missing on the node"]

    async def ensure(self) -> bool:
        """Have the rules of all mappings; return whether something was missing.

        Raises: NetworkError.
        """
        if not self._mappings():
            return False
        async with self._lock:
            return await self._write()

    async def teardown(self) -> None:
        """Remove all rules; which pods had which ports stays remembered.

        Raises: NetworkError when the kernel refuses.
        """
        async with self._lock:
            await self._remove_rules(self._mappings())
            text = plan_frame_removal(await self._iptables.save("nat"))
            if text:
                await self._iptables.restore(text)

    async def _write(self) -> bool:
        # a packet from 127.0.0.1 may leave to the pods only with it; it goes with the bridge
        wanted = {f"net/ipv4/conf/{self._bridge}/route_localnet": "1"}
        await self._host.sysctls.want(wanted, record=False)
        text = plan_host_ports(self._mappings(), await self._iptables.save("nat"))
        if text:
            await self._iptables.restore(text)
        return bool(text)

    async def _remove_rules(self, container_ids: Iterable[str]) -> None:
        kernel = await self._iptables.save("nat")
        text = plan_host_ports_removal(container_ids, kernel)
        if text:
            await self._iptables.restore(text)

    async def _forget_flows(self, ports: Iterable[HostPort]) -> None:
        """Make UDP clients meet the rules anew: their connections never end by themselves."""
        numbers = {port.host_port for port in ports if port.protocol.lower() == UDP}
        if not numbers:
            return
        flows = await list_flows(self._netns, UDP)
        stale = [flow for flow in flows if flow.original.destination_port in numbers]
        await delete_flows(self._netns, stale)
