"""Keep the node's rules equal to the Services and EndpointSlices.

The shell of kube-proxy: informers, and a pass per burst of changes, which a proxy mode
(``provider``) turns into rules. Mirrors ``pkg/proxy/iptables/proxier.go`` and its bounded frequency
runner.

Rules for callers: run ``run()`` as a task; it works until cancelled and leaves the rules in place,
as kube-proxy does, so that traffic flows on while the daemon restarts. ``Provider.remove`` takes
them away.

Left out: IPv6, node port address ranges, metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from netlab.api.core import Node, Service
from netlab.api.discovery import EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, NODE, SERVICE
from netlab.client.informer import key_of, wait_synced
from netlab.client.informers import SharedInformers
from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.net.conntrack import delete_flows, list_flows
from netlab.net.host import NetworkHost
from netlab.net.netfilter.plan import WriteCount
from netlab.net.ruleset import RuleSet
from netlab.proxy.desired import Desired
from netlab.proxy.endpoints import Place
from netlab.proxy.flows import stale_flows
from netlab.proxy.health import HealthServer
from netlab.proxy.provider import Provider, ServiceKey

log = logging.getLogger(__name__)

# a change after a quiet time is written at once; in a burst, passes start this far apart
MIN_INTERVAL_S = 0.05
RETRY_S = 0.5
# Services rendered between two turns of the event loop, about 5 ms
RENDER_SLICE = 50
ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class SyncInfo:
    """The last pass: seconds spent deciding and writing, and what was written."""

    render_s: float
    write_s: float
    count: WriteCount


def _service_of(endpoint_slice: EndpointSlice) -> Iterable[str]:
    return (f"{endpoint_slice.metadata.namespace}/{endpoint_slice.service_name}",)


class ProxyAgent:
    """kube-proxy for one node.

    informers: somebody else runs them. provider: the proxy mode. cluster_cidr: all nodes' pods.
    host: the node's network namespace; somebody else runs it, and it puts back flushed rules.
    ``synced`` is set after the first pass; ``last_sync`` tells of the latest.
    """

    def __init__(
        self,
        informers: SharedInformers,
        *,
        provider: Provider,
        node_name: str,
        cluster_cidr: IPv4Network,
        host: NetworkHost,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._netns = host.netns
        self._node_name = node_name
        self._cluster_cidr = cluster_cidr
        self._desired = Desired(Place(node_name))
        self._health = HealthServer(host.netns, self.healthy)
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINT_SLICE, index={"service": _service_of})
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        self._nodes = informers.of(NODE)
        self._nodes.on_change(self._node_changed)
        host.netfilter.on_repaired(self._repaired)
        self._endpoints = 0
        self._dirty: set[ServiceKey] = set()
        self._wake = asyncio.Event()
        self._set_up = False
        self._failing = ""
        self.last_sync: SyncInfo | None = None
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Write rules until cancelled."""
        try:
            await self._sync_loop()
        finally:
            await self._health.close()

    def healthy(self) -> bool:
        """True once the rules are written and as long as passes succeed."""
        return self.synced.is_set() and not self._failing

    def problem(self) -> str:
        """Return why the last pass failed; "" when it did not."""
        return self._failing

    def rule_set(self) -> RuleSet:
        """Return the rules that the mode wants, each with its origin."""
        return self._provider.rule_set()

    def _slices_of(self, key: ServiceKey) -> list[EndpointSlice]:
        return self._slices.by_index("service", f"{key[0]}/{key[1]}")

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        for service in (old, new):
            if service is not None:
                self._mark(key_of(service))

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for endpoint_slice, sign in ((old, -1), (new, 1)):
            if endpoint_slice is not None:
                self._endpoints += sign * len(endpoint_slice.endpoints)
                self._mark((endpoint_slice.metadata.namespace, endpoint_slice.service_name))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or node.metadata.name != self._node_name:
            return
        place = Place(self._node_name, node.metadata.labels.get(ZONE_LABEL, "") if new else "")
        if place != self._desired.place:
            self._desired.place = place
            self._mark_all()

    def _repaired(self) -> None:
        """Connections that were made while the rules were gone go on past them."""
        self._desired.keep_changed_udp()
        self._wake.set()

    def _mark_all(self) -> None:
        self._dirty.update(key_of(service) for service in self._services.list())
        self._wake.set()

    def _mark(self, key: ServiceKey) -> None:
        self._dirty.add(key)
        self._wake.set()

    async def _sync_loop(self) -> None:
        await wait_synced((self._services, self._slices, self._nodes))
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            started_s = self._clock.monotonic_s()
            try:
                await self._sync()
            except (NetlabError, OSError) as error:
                self._fail(error)
                await self._clock.sleep(RETRY_S)
                continue
            self._succeed()
            spent_s = self._clock.monotonic_s() - started_s
            await self._clock.sleep(max(MIN_INTERVAL_S - spent_s, 0.0))

    def _fail(self, error: Exception) -> None:
        if str(error) != self._failing:  # told once, not at every retry
            log.error("proxy rules: %s", error)
        self._failing = str(error)
        self._wake.set()

    def _succeed(self) -> None:
        if self._failing:
            log.info("proxy rules: in order again")
        self._failing = ""
        self.synced.set()

    async def _sync(self) -> None:
        """One pass: render what changed, write what differs."""
        started_s = self._clock.monotonic_s()
        if not self._set_up:
            await self._provider.setup()
            self._set_up = True
        await self._render()
        rendered_s = self._clock.monotonic_s()
        count = await self._provider.sync()
        written_s = self._clock.monotonic_s()
        self.last_sync = SyncInfo(rendered_s - started_s, written_s - rendered_s, count)
        await self._end_stale_flows()
        await self._health.update(self._desired.health())

    async def _render(self) -> None:
        if self._provider.resize(self._endpoints):
            self._mark_all()
        done = 0
        while self._dirty:
            key = self._dirty.pop()
            ports = self._desired.refresh(key, self._services.get(*key), self._slices_of(key))
            self._provider.put(key, ports)
            done += 1
            if done % RENDER_SLICE == 0:
                await asyncio.sleep(0)

    async def _end_stale_flows(self) -> None:
        """After the rules are right, so that a deleted flow cannot be made anew by old ones."""
        ports = self._desired.take_changed_udp()
        if not ports:
            return
        try:
            flows = await list_flows(self._netns, "udp")
            await delete_flows(self._netns, stale_flows(flows, ports, self._cluster_cidr))
        except NetlabError:
            self._desired.keep_changed_udp()  # the next pass tries again
            raise
