"""Keeps the host ports of the node's pods: on disk, in the kernel, and the two alike.

Mirrors the verbs of the ``portmap`` plugin. ``host_ports`` decides the rules; this file reads,
writes and forgets the connections that still go where a port led before.

Rules for callers: one object per node; its methods may be called at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from netlab.cni.host_ports import HostPort, HostPortRules, PortMapping
from netlab.cni.port_records import PortRecords
from netlab.errors import NetworkError
from netlab.net.conntrack import delete_flows, list_flows
from netlab.net.host import NetworkHost
from netlab.net.ruleset import RuleSet

log = logging.getLogger(__name__)

UDP = "udp"


class PortMaps:
    """The host ports of one node. bridge: the link behind which the pods are."""

    def __init__(self, host: NetworkHost, bridge: str, records: PortRecords) -> None:
        self._host = host
        self._bridge = bridge
        self._records = records
        self._loaded: dict[str, PortMapping] | None = None
        self._rules = HostPortRules()
        host.netfilter.register(self._rules.section)
        host.netfilter.on_repaired(self._repaired)
        self._forgetting: set[asyncio.Task[None]] = set()

    def rule_set(self) -> RuleSet:
        """Return the rules of all mappings, each with its origin; none for none."""
        return self._rules.section.rule_set() if self._mappings() else RuleSet({})

    def _mappings(self) -> dict[str, PortMapping]:
        if self._loaded is None:
            self._loaded = self._records.load()
            for container_id, mapping in self._loaded.items():
                self._rules.put(container_id, mapping)
        return self._loaded

    async def add(self, container_id: str, mapping: PortMapping) -> None:
        """Have the container's ports lead to it. Idempotent.

        Raises: NetworkError.
        """
        mappings = self._mappings()
        if mappings.get(container_id) != mapping:
            self._records.save(container_id, mapping)
            mappings[container_id] = mapping
            self._rules.put(container_id, mapping)
        await self._write()
        await self._forget_flows(mapping.ports)

    async def remove(self, container_id: str) -> None:
        """Take the container's ports away. Idempotent; costs nothing without host ports.

        Raises: NetworkError.
        """
        mapping = self._mappings().get(container_id)
        if mapping is None:
            return
        self._rules.remove(container_id)
        await self._host.netfilter.sync(self._rules.section)
        await self._forget_flows(mapping.ports)
        self._records.remove(container_id)
        self._mappings().pop(container_id, None)

    async def check(self, container_id: str) -> list[str]:
        """Return what is missing of the container's ports, in words.

        Raises: NetworkError when the kernel cannot be asked.
        """
        mapping = self._mappings().get(container_id)
        if mapping is None:
            return []
        if not await self._host.netfilter.differs(self._rules.section):
            return []
        ports = ", ".join(f"{port.host_port}/{port.protocol}" for port in mapping.ports)
        return [f"rules of host ports {ports} are missing on the node"]

    async def ensure(self) -> None:
        """Have the rules of all mappings.

        Raises: NetworkError.
        """
        if self._mappings():
            await self._write()

    async def teardown(self) -> None:
        """Remove all rules; which pods had which ports stays remembered.

        Raises: NetworkError when the kernel refuses.
        """
        self._mappings()
        await self._host.netfilter.remove(self._rules.section)

    async def _write(self) -> None:
        # a packet from 127.0.0.1 may leave to the pods only with it; it goes with the bridge
        wanted = {f"net/ipv4/conf/{self._bridge}/route_localnet": "1"}
        await self._host.sysctls.want(wanted, record=False)
        await self._host.netfilter.sync(self._rules.section)

    def _repaired(self) -> None:
        """Connections that were made while the rules were gone go on past them."""
        ports = [port for mapping in self._mappings().values() for port in mapping.ports]
        task = asyncio.ensure_future(self._forget_quietly(ports))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _forget_quietly(self, ports: Iterable[HostPort]) -> None:
        try:
            await self._forget_flows(ports)
        except NetworkError as error:
            log.warning("host ports: %s", error)

    async def _forget_flows(self, ports: Iterable[HostPort]) -> None:
        """Make UDP clients meet the rules anew: their connections never end by themselves."""
        numbers = {port.host_port for port in ports if port.protocol.lower() == UDP}
        if not numbers:
            return
        flows = await list_flows(self._host.netns, UDP)
        stale = [flow for flow in flows if flow.original.destination_port in numbers]
        await delete_flows(self._host.netns, stale)
