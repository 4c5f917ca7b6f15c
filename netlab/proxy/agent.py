"""Keep the node's rules equal to the Services and EndpointSlices.

The shell of kube-proxy: two informers, a pass per burst of changes, and a guard that puts back
what somebody flushed. Mirrors ``pkg/proxy/iptables/proxier.go`` and its bounded frequency runner.

Rules for callers: run ``run()`` as a task; it works until cancelled and leaves the rules in place,
as kube-proxy does, so that traffic flows on while the daemon restarts. ``kernel.remove_rules``
takes them away. After any failure the next pass reads the kernel's state and starts from there.

Left out: nftables and ipvs modes, IPv6, node port address ranges, metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, SERVICE
from netlab.client.informer import key_of, wait_synced
from netlab.client.informers import SharedInformers
from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.net.conntrack import delete_flows, list_flows
from netlab.net.host import NetworkHost
from netlab.net.ruleset import RuleSet
from netlab.proxy.book import ServiceKey
from netlab.proxy.desired import Desired, render_node
from netlab.proxy.flows import stale_flows
from netlab.proxy.health import HealthServer
from netlab.proxy.kernel import KernelRules, WriteCount, remove_rules
from netlab.proxy.rules import NodeView

__all__ = ["ProxyAgent", "SyncInfo", "remove_rules"]

log = logging.getLogger(__name__)

# a change after a quiet time is written at once; in a burst, passes start this far apart
MIN_INTERVAL_S = 0.05
RETRY_S = 0.5
# how often the rule set's generation is asked for; it costs some microseconds
GUARD_S = 1.0
# the legacy variant counts no generations: read all rules this often instead
BLIND_GUARD_S = 10.0
# reading back 5,000 Services takes 3 s: spend at most a tenth of the time on it
READ_PAUSE = 10.0
# kube-proxy's limit: beyond it the comments of endpoint chains cost more than they tell
LARGE_CLUSTER_ENDPOINTS = 1000
# Services rendered between two turns of the event loop, about 5 ms
RENDER_SLICE = 50

SYSCTLS = {
    # lets 127.0.0.1:NODEPORT be translated; KUBE-FIREWALL keeps others off the loopback range
    "net.ipv4.conf.all.route_localnet": "1",
}


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

    informers: somebody else runs them. cluster_cidr: all nodes' pods: traffic from elsewhere to a
    cluster IP is masqueraded. host: the node's network namespace.
    ``synced`` is set after the first pass; ``last_sync`` tells of the latest.
    """

    def __init__(
        self,
        informers: SharedInformers,
        *,
        node_name: str,
        node_ip: IPv4Address,
        cluster_cidr: IPv4Network,
        host: NetworkHost,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._host = host
        self._netns = host.netns
        self._node_name = node_name
        self._desired = Desired(node_name, NodeView(node_ip, cluster_cidr))
        self._kernel = KernelRules(host.iptables)
        self._health = HealthServer(host.netns, self.healthy)
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINT_SLICE, index={"service": _service_of})
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        self._endpoints = 0
        self._dirty: set[ServiceKey] = set()
        self._wake = asyncio.Event()
        self._writing = False
        self._read_s = 0.0
        self._failing = ""
        self.last_sync: SyncInfo | None = None
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Write rules until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sync_loop())
                group.create_task(self._guard_loop())
        finally:
            await self._health.close()

    def healthy(self) -> bool:
        """True once the rules are written and as long as passes succeed."""
        return self.synced.is_set() and not self._failing

    def problem(self) -> str:
        """Return why the last pass failed; "" when it did not."""
        return self._failing

    def rule_set(self) -> RuleSet:
        """Return the rules that belong to the objects of now, each with its origin."""
        pairs = ((service, self._slices_of(key_of(service))) for service in self._services.list())
        return render_node(pairs, self._node_name, self._desired.node)

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

    def _mark(self, key: ServiceKey) -> None:
        self._dirty.add(key)
        self._wake.set()

    async def _sync_loop(self) -> None:
        await wait_synced((self._services, self._slices))
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            started_s = self._clock.monotonic_s()
            self._writing = True
            try:
                await self._sync()
            except (NetlabError, OSError) as error:
                self._fail(error)
                await self._clock.sleep(RETRY_S)
                continue
            finally:
                self._writing = False
            self._succeed()
            spent_s = self._clock.monotonic_s() - started_s
            await self._clock.sleep(max(MIN_INTERVAL_S - spent_s, 0.0))

    def _fail(self, error: Exception) -> None:
        if str(error) != self._failing:  # told once, not at every retry
            log.error("proxy rules: %s", error)
        self._failing = str(error)
        self._kernel.known = False
        self._wake.set()

    def _succeed(self) -> None:
        if self._failing:
            log.info("proxy rules: in order again")
        self._failing = ""
        self.synced.set()

    async def _sync(self) -> None:
        """One pass: render what changed, write what differs."""
        started_s = self._clock.monotonic_s()
        everything = not self._kernel.known
        if everything:
            await self._host.sysctls.want(SYSCTLS)
            await self._kernel.read()
            self._read_s = self._clock.monotonic_s() - started_s
        await self._render()
        rendered_s = self._clock.monotonic_s()
        book = self._desired.book
        chains = book.take_changed()
        if everything:
            chains |= {*book.chains(), *self._kernel.chains()}
        count = await self._kernel.write(book, chains)
        written_s = self._clock.monotonic_s()
        self.last_sync = SyncInfo(rendered_s - started_s, written_s - rendered_s, count)
        await self._end_stale_flows()
        await self._health.update(self._desired.health())

    async def _render(self) -> None:
        self._choose_size()
        done = 0
        while self._dirty:
            key = self._dirty.pop()
            self._desired.refresh(key, self._services.get(*key), self._slices_of(key))
            done += 1
            if done % RENDER_SLICE == 0:
                await asyncio.sleep(0)

    def _choose_size(self) -> None:
        large = self._endpoints > LARGE_CLUSTER_ENDPOINTS
        node = self._desired.node
        if node.large != large:
            self._desired.node = NodeView(node.node_ip, node.pod_cidr, large)
            self._dirty.update(key_of(service) for service in self._services.list())

    async def _end_stale_flows(self) -> None:
        """After the rules are right, so that a deleted flow cannot be made anew by old ones."""
        ports = self._desired.take_changed_udp()
        if not ports:
            return
        try:
            flows = await list_flows(self._netns, "udp")
            await delete_flows(self._netns, stale_flows(flows, ports, self._desired.node.pod_cidr))
        except NetlabError:
            self._desired.keep_changed_udp()  # the next pass tries again
            raise

    async def _guard_loop(self) -> None:
        """Have the rules read back, and repaired, when somebody else changed some."""
        await self.synced.wait()
        while True:
            await self._clock.sleep(GUARD_S)
            if self._writing or not self._kernel.known:
                continue
            try:
                changed = await self._kernel.changed_by_others()
            except (NetlabError, OSError) as error:
                log.warning("proxy guard: %s", error)
                continue
            if changed is None:
                await self._clock.sleep(BLIND_GUARD_S)
            if changed is not False and not self._writing:
                self._kernel.known = False
                self._wake.set()
                await self._clock.sleep(self._read_s * READ_PAUSE)
