"""Give pods their network: a bridge on the node, and for each pod a veth, an address, a route.

Mirrors the ``bridge`` plugin of containernetworking/plugins (with ``ipMasq`` and ``hairpinMode``)
and its verbs ADD, DEL and CHECK:

    pod netns: eth0 10.244.0.5/24, default via 10.244.0.1
       │ veth
    node netns: veth1a2b3c4d ── port of cni0 10.244.0.1/24 ── routing, iptables ── the world

and the ``portmap`` plugin's, for ports of the node that lead to a pod (``host_ports``).

Rules for callers: ``setup`` before the first ``add``; both may be called again at any time and put
right what is missing. ``delete`` succeeds when everything is gone already. The pod's namespace
belongs to the caller. Keep the host's ``run`` running: it puts right what somebody undoes, in the
node's namespace and, told by the kernel, in the pods'.

Left out: IPv6, bandwidth limits, other nodes' routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from netlab.cni.host_ports import HostPort, PortMapping
from netlab.cni.ipam import AddressPool
from netlab.cni.pod_links import (
    ON_NODE,
    POD_LINK,
    VETH_PREFIX,
    mac_of,
    node_links,
    node_port,
    pod_links,
    veth_name,
)
from netlab.cni.port_maps import PortMaps
from netlab.cni.port_records import PortRecords
from netlab.cni.rules import pod_rules
from netlab.errors import AddressPoolError, HostError, NetlabError, NetworkError
from netlab.net.host import NetworkHost
from netlab.net.link_state import Fault, Wanted, plan_links
from netlab.net.links import Links, call_links
from netlab.net.monitor import MISSED
from netlab.net.netns import is_netns
from netlab.net.ruleset import RuleSet, merge_rule_sets
from netlab.net.sysctl import read_sysctl

log = logging.getLogger(__name__)

OWNER = "cni"
BRIDGE_RULES = "net.bridge.bridge-nf-call-iptables"
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    # without it a pod's answer to a pod on the same bridge takes the short way past conntrack
    # and arrives from the pod's own address instead of the Service's
    BRIDGE_RULES: "1",
}


@dataclass(frozen=True, slots=True)
class PodAddress:
    """What a pod was given; host_veth is the node's end of its link."""

    ip: IPv4Address
    gateway: IPv4Address
    host_veth: str


@dataclass(frozen=True, slots=True)
class _Range:
    """The node's part of the pods' range, the bridge's address in it, and who has the others."""

    network: IPv4Network
    gateway: IPv4Address
    pool: AddressPool


@dataclass(frozen=True, slots=True)
class _Connected:
    """A pod that is kept; number: by which the node's namespace knows the pod's, None unknown."""

    netns: Path
    address: IPv4Address
    number: int | None


class PodNetwork:
    """The pod network of one node.

    host: the node's namespace; cluster_cidr: all nodes' pods, which must not meet service_cidr;
    keep_source: further ranges that see pods' own addresses because they know a way back (not the
    Services': their packets are translated before they leave, and the usual range 10.96.0.0/12
    holds the usual nodes 10.100.199.0/24). state_dir: where addresses are remembered.
    """

    def __init__(
        self,
        host: NetworkHost,
        *,
        cluster_cidr: IPv4Network,
        service_cidr: IPv4Network,
        state_dir: Path,
        bridge: str = "cni0",
        mtu_bytes: int = 1500,
        keep_source: tuple[IPv4Network, ...] = (),
    ) -> None:
        if cluster_cidr.overlaps(service_cidr):
            raise AddressPoolError(f"pods {cluster_cidr} and Services {service_cidr} overlap")
        self._host = host
        self._netns = host.netns
        self._bridge = bridge
        self._range: _Range | None = None
        self._mtu_bytes = mtu_bytes
        self._leases = state_dir / "ipam" / bridge
        records = PortRecords(state_dir / "hostports" / bridge)
        # before the pods' own: what is marked by a host port must not be kept from masquerading
        self._port_maps = PortMaps(host, bridge, records)
        self._rules = pod_rules(cluster_cidr, keep_source)
        host.netfilter.register(self._rules)
        self._connected: dict[str, _Connected] = {}
        # mending a pod's link must not mix with taking it away
        self._mending = asyncio.Lock()
        host.links.on_change_elsewhere(self._pods_changed)

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's address: every pod's way out.

        Raises: NetworkError before ``setup``.
        """
        return self._given.gateway

    @property
    def _given(self) -> _Range:
        if self._range is None:
            raise NetworkError("the pod network is not set up yet")
        return self._range

    def rule_set(self) -> RuleSet:
        """Return the network's own rules, each with its origin."""
        return merge_rule_sets(self._port_maps.rule_set(), self._rules.rule_set())

    async def setup(self, pod_cidr: IPv4Network) -> None:
        """Have the bridge, the kernel parameters and the rules. Idempotent.

        pod_cidr: this node's range, of which the first address is the bridge's.

        Raises: HostError when the kernel lacks br_netfilter; NetworkError.
        """
        if await read_sysctl(self._netns, BRIDGE_RULES) is None:
            raise HostError(
                "br_netfilter is missing: pods on one node would not reach each other through "
                "Services; run: modprobe br_netfilter"
            )
        self._range = _Range(pod_cidr, pod_cidr[1], AddressPool(self._leases, pod_cidr))
        await self._host.sysctls.want(SYSCTLS)
        bridge = node_links(self._bridge, self._interface(self._given.gateway), self._mtu_bytes, ())
        faults = await call_links(self._netns, lambda links: links.mend(bridge))
        broken = [fault.text for fault in faults if not fault.requests]
        if broken:
            raise NetworkError(f"set up the pod network: {'; '.join(broken)}")
        # of the bridge alone, besides that of the node
        forwarding = {f"net/ipv4/conf/{self._bridge}/forwarding": "1"}
        await self._host.sysctls.want(forwarding, record=False)
        self._host.links.want(OWNER, self._wanted)
        await self._host.netfilter.sync(self._rules)
        await self._port_maps.ensure()

    def _wanted(self) -> Wanted:
        gateway = self._interface(self._given.gateway)
        return node_links(self._bridge, gateway, self._mtu_bytes, self._connected)

    def _interface(self, address: IPv4Address) -> IPv4Interface:
        return IPv4Interface((address, self._given.network.prefixlen))

    def _pod_wanted(self, address: IPv4Address) -> Wanted:
        return pod_links(self._interface(address), self._given.gateway, self._mtu_bytes)

    async def add(
        self,
        *,
        container_id: str,
        pod_netns: Path,
        namespace: str,
        name: str,
        host_ports: Sequence[HostPort] = (),
    ) -> PodAddress:
        """Give the pod an address and its link; again for the same container: the same address.

        host_ports: the ports of the node that lead to it; () means those it has already, if any.

        Raises: AddressPoolError when no address is left; NetworkError, after undoing what this
        call did (an address the container had before stays its own).
        """
        had_address = await asyncio.to_thread(self._given.pool.lookup, container_id) is not None
        address = await asyncio.to_thread(self._given.pool.allocate, container_id)
        try:
            if had_address:
                async with self._mending:
                    await self._mend_link(container_id, pod_netns, address)
            else:
                await self._connect(container_id, pod_netns, address)
            if host_ports:
                mapping = PortMapping(self._interface(address), tuple(host_ports))
                await self._port_maps.add(container_id, mapping)
            else:
                await self._port_maps.ensure()
        except BaseException as error:
            await self._undo(container_id, keep_address=had_address)
            if isinstance(error, NetworkError):
                raise NetworkError(f"pod {namespace}/{name}: {error}") from error
            raise
        return PodAddress(address, self._given.gateway, veth_name(container_id))

    async def _connect(self, container_id: str, pod_netns: Path, address: IPv4Address) -> None:
        veth = veth_name(container_id)

        def create(links: Links) -> int | None:
            links.create_veth(
                veth,
                peer_name=POD_LINK,
                peer_netns=pod_netns,
                peer_mac=mac_of(address),
                bridge=self._bridge,
                mtu_bytes=self._mtu_bytes,
            )
            return links.netns_id(pod_netns)

        def configure(links: Links) -> None:
            links.configure_pod(POD_LINK, self._interface(address), self._given.gateway)

        number = await call_links(self._netns, create)
        await call_links(pod_netns, configure)
        self._connected[container_id] = _Connected(pod_netns, address, number)

    async def _mend_link(
        self, container_id: str, pod_netns: Path, address: IPv4Address
    ) -> list[str]:
        """Have the pod's link as it shall be; return what was not so, in words."""
        veth = veth_name(container_id)
        if await call_links(self._netns, lambda links: links.exists(veth)):
            port = Wanted(ON_NODE, (node_port(self._bridge, self._mtu_bytes, container_id),))
            faults = await call_links(pod_netns, lambda ls: ls.mend(self._pod_wanted(address)))
            both = (self._bridge, veth)
            faults += await call_links(self._netns, lambda links: links.mend(port, only=both))
            if all(fault.requests for fault in faults):
                return [fault.text for fault in faults]
        else:
            faults = [Fault(f"{veth} is missing {ON_NODE}")]
        # whatever is left of either end, under whatever name the other has now
        await call_links(self._netns, lambda links: links.remove_link(veth))
        await call_links(pod_netns, lambda links: links.remove_link(POD_LINK))
        await self._connect(container_id, pod_netns, address)
        return [fault.text for fault in faults]

    async def _undo(self, container_id: str, *, keep_address: bool) -> None:
        veth = veth_name(container_id)
        try:
            await self._port_maps.remove(container_id)
            if not keep_address:
                self._connected.pop(container_id, None)
                await call_links(self._netns, lambda links: links.remove_link(veth))
                await asyncio.to_thread(self._given.pool.release, container_id)
        except NetlabError as error:
            log.warning("undo network of container %s: %s", container_id, error)

    async def delete(self, *, container_id: str, pod_netns: Path | None = None) -> None:
        """Take the pod's host ports, link and address away. Idempotent; pod_netns may be gone.

        Raises: NetworkError when the kernel refuses.
        """
        del pod_netns  # a veth goes with either of its ends
        veth = veth_name(container_id)
        async with self._mending:
            self._connected.pop(container_id, None)
        await self._port_maps.remove(container_id)
        await call_links(self._netns, lambda links: links.remove_link(veth))
        # after the link: an address is free only when nothing answers to it
        await asyncio.to_thread(self._given.pool.release, container_id)

    async def check(self, *, container_id: str, pod_netns: Path) -> list[str]:
        """Return what is broken, in words; an empty list when the pod's network is whole.

        A pod that is whole is kept so from now on, also one that an earlier process connected.

        Raises: NetworkError when the kernel cannot be asked.
        """
        problems = await self._link_problems(container_id, pod_netns)
        return problems + await self._port_maps.check(container_id)

    async def _link_problems(self, container_id: str, pod_netns: Path) -> list[str]:
        address = await asyncio.to_thread(self._given.pool.lookup, container_id)
        if address is None:
            return [f"container {container_id} has no address"]
        if not is_netns(pod_netns):
            return [f"network namespace {pod_netns} is gone"]
        bridge = node_links(
            self._bridge, self._interface(self._given.gateway), self._mtu_bytes, ()
        ).links
        port = node_port(self._bridge, self._mtu_bytes, container_id)
        on_node = Wanted(ON_NODE, (*bridge, port))

        def look(links: Links) -> tuple[list[Fault], int | None]:
            observed = links.observe(only=(self._bridge, port.name))
            return plan_links(on_node, observed), links.netns_id(pod_netns)

        faults, number = await call_links(self._netns, look)
        wanted = self._pod_wanted(address)
        faults += await call_links(pod_netns, lambda links: plan_links(wanted, links.observe()))
        if not faults:
            self._connected[container_id] = _Connected(pod_netns, address, number)
        return [fault.text for fault in faults]

    async def repair(
        self, *, container_id: str, pod_netns: Path, namespace: str, name: str
    ) -> PodAddress:
        """Put right what ``check`` finds broken, keeping the pod's address.

        Raises: NetworkError when it cannot be mended.
        """
        await self._host.links.ensure()
        return await self.add(
            container_id=container_id, pod_netns=pod_netns, namespace=namespace, name=name
        )

    async def _pods_changed(self, numbers: frozenset[int]) -> None:
        """Mend the pods in whose namespaces something changed."""
        for container_id, pod in list(self._connected.items()):
            if MISSED in numbers or pod.number in numbers:
                async with self._mending:
                    await self._keep_pod(container_id)

    async def _keep_pod(self, container_id: str) -> None:
        pod = self._connected.get(container_id)
        if pod is None or not is_netns(pod.netns):
            return
        try:
            mended = await self._mend_link(container_id, pod.netns, pod.address)
        except (NetlabError, OSError) as error:
            log.warning("network of container %s: %s", container_id, error)
            return
        for text in mended:
            log.warning("container %s: mended: %s", container_id, text)

    async def addresses(self) -> dict[IPv4Address, str]:
        """Return the container id by address, of all pods that have one."""
        return await asyncio.to_thread(self._given.pool.claims)

    async def teardown(self) -> None:
        """Remove the rules, the pods' links and the bridge; addresses stay remembered.

        Raises: NetworkError when the kernel refuses.
        """
        await self._port_maps.teardown()
        await self._host.netfilter.remove(self._rules)
        self._connected.clear()
        self._host.links.forget(OWNER)
        await call_links(self._netns, self._remove_links)

    def _remove_links(self, links: Links) -> None:
        bridge = links.link(self._bridge)
        if bridge is None:
            return
        for link in links.links():
            if link.master == bridge.index and link.name.startswith(VETH_PREFIX):
                links.remove_link(link.name)
        links.remove_link(self._bridge)
