"""Give pods their network: a bridge on the node, and for each pod a veth, an address, a route.

Mirrors the ``bridge`` plugin of containernetworking/plugins (with ``ipMasq`` and ``hairpinMode``)
and its verbs ADD, DEL and CHECK:

    pod netns: eth0 10.244.0.5/24, default via 10.244.0.1
       │ veth
    node netns: veth1a2b3c4d ── port of cni0 10.244.0.1/24 ── routing, iptables ── the world

and the ``portmap`` plugin's, for ports of the node that lead to a pod (``host_ports``).

Rules for callers: ``setup`` before the first ``add``; both may be called again at any time and put
right what is missing. ``delete`` succeeds when everything is gone already. The pod's namespace
belongs to the caller. Keep ``guard`` running: it puts the rules back when somebody flushes them.

Left out: IPv6, bandwidth limits, other nodes' routes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from netlab.clock import Clock
from netlab.cni.host_ports import HostPort, PortMapping
from netlab.cni.ipam import AddressPool
from netlab.cni.port_maps import PortMaps
from netlab.cni.port_records import PortRecords
from netlab.cni.rules import plan_rules, plan_rules_removal, render_pod_rules
from netlab.errors import AddressPoolError, HostError, NetlabError, NetworkError
from netlab.net.iptables import Iptables
from netlab.net.links import Links, call_links
from netlab.net.netns import is_netns
from netlab.net.rtnetlink import Link, Route
from netlab.net.ruleset import RuleSet, merge_rule_sets
from netlab.net.sysctl import SysctlRecorder, read_sysctl, write_sysctls

log = logging.getLogger(__name__)

POD_LINK = "eth0"
VETH_PREFIX = "veth"
GUARD_S = 2.0
# the legacy variant counts no changes: the rules are read this often instead
BLIND_GUARD_S = 10.0
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
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


def veth_name(container_id: str) -> str:
    """Return the name of the node's end: the same for the same container, 12 characters.

    Link names stop at 15 characters, so the id is hashed.
    """
    return VETH_PREFIX + hashlib.sha256(container_id.encode()).hexdigest()[:8]


def mac_of(address: IPv4Address) -> str:
    """Return the hardware address that goes with an IP: 0a:58 and its four bytes.

    An address that is given to another pod later keeps its MAC, so no ARP entry is ever wrong.
    """
    return (b"\x0a\x58" + address.packed).hex(":")


class PodNetwork:
    """The pod network of one node.

    netns: the node's, None for the host's; pod_cidr: this node's range, of which the first
    address is the bridge's; cluster_cidr: all nodes' pods, which must not meet service_cidr;
    keep_source: further ranges that see pods' own addresses because they know a way back (not the
    Services': their packets are translated before they leave, and the usual range 10.96.0.0/12
    holds the usual nodes 10.100.199.0/24). state_dir: where addresses are remembered.
    record: told the previous value of each kernel parameter that was changed.
    """

    def __init__(
        self,
        *,
        netns: Path | None,
        pod_cidr: IPv4Network,
        cluster_cidr: IPv4Network,
        service_cidr: IPv4Network,
        state_dir: Path,
        bridge: str = "cni0",
        mtu_bytes: int = 1500,
        keep_source: tuple[IPv4Network, ...] = (),
        record: SysctlRecorder | None = None,
        tool: str = "iptables",
    ) -> None:
        if cluster_cidr.overlaps(service_cidr):
            raise AddressPoolError(f"pods {cluster_cidr} and Services {service_cidr} overlap")
        self._netns = netns
        self._bridge = bridge
        self._network = pod_cidr
        self._gateway = pod_cidr[1]
        self._mtu_bytes = mtu_bytes
        self._record = record
        self._pool = AddressPool(state_dir / "ipam" / bridge, pod_cidr)
        self._iptables = Iptables(netns, tool=tool)
        self._rules = render_pod_rules(cluster_cidr, keep_source)
        records = PortRecords(state_dir / "hostports" / bridge)
        self._port_maps = PortMaps(netns, bridge, self._iptables, records)
        self._generation: int | None = None

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's address: every pod's way out."""
        return self._gateway

    def rule_set(self) -> RuleSet:
        """Return the network's own rules, each with its origin."""
        return merge_rule_sets(self._port_maps.rule_set(), self._rules)

    async def setup(self) -> None:
        """Have the bridge, the kernel parameters and the rules. Idempotent.

        Raises: HostError when the kernel lacks br_netfilter; NetworkError.
        """
        if await read_sysctl(self._netns, BRIDGE_RULES) is None:
            raise HostError(
                "br_netfilter is missing: pods on one node would not reach each other through "
                "Services; run: modprobe br_netfilter"
            )
        await write_sysctls(self._netns, SYSCTLS, self._record)
        await call_links(self._netns, self._ensure_bridge)
        await self.ensure_rules()

    def _ensure_bridge(self, links: Links) -> None:
        links.ensure_bridge(self._bridge, mtu_bytes=self._mtu_bytes, mac=mac_of(self._gateway))
        links.ensure_address(self._bridge, self._interface(self._gateway))

    def _interface(self, address: IPv4Address) -> IPv4Interface:
        return IPv4Interface((address, self._network.prefixlen))

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
        veth = veth_name(container_id)
        had_address = await asyncio.to_thread(self._pool.lookup, container_id) is not None
        address = await asyncio.to_thread(self._pool.allocate, container_id)
        try:
            await self._ensure_link(container_id, veth, pod_netns, address)
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
        return PodAddress(address, self._gateway, veth)

    async def _ensure_link(
        self, container_id: str, veth: str, pod_netns: Path, address: IPv4Address
    ) -> None:
        if await call_links(self._netns, lambda links: links.exists(veth)):
            if not await self._link_problems(container_id, pod_netns):
                return
            await call_links(self._netns, lambda links: links.remove_link(veth))
        await self._connect(veth, pod_netns, address)

    async def _connect(self, veth: str, pod_netns: Path, address: IPv4Address) -> None:
        def create(links: Links) -> None:
            links.create_veth(
                veth,
                peer_name=POD_LINK,
                peer_netns=pod_netns,
                peer_mac=mac_of(address),
                bridge=self._bridge,
                mtu_bytes=self._mtu_bytes,
            )

        def configure(links: Links) -> None:
            links.configure_pod(POD_LINK, self._interface(address), self._gateway)

        await call_links(self._netns, create)
        await call_links(pod_netns, configure)

    async def _undo(self, container_id: str, *, keep_address: bool) -> None:
        veth = veth_name(container_id)
        try:
            await self._port_maps.remove(container_id)
            await call_links(self._netns, lambda links: links.remove_link(veth))
            if not keep_address:
                await asyncio.to_thread(self._pool.release, container_id)
        except NetlabError as error:
            log.warning("undo network of container %s: %s", container_id, error)

    async def delete(self, *, container_id: str, pod_netns: Path | None = None) -> None:
        """Take the pod's host ports, link and address away. Idempotent; pod_netns may be gone.

        Raises: NetworkError when the kernel refuses.
        """
        del pod_netns  # a veth goes with either of its ends
        veth = veth_name(container_id)
        await self._port_maps.remove(container_id)
        await call_links(self._netns, lambda links: links.remove_link(veth))
        # after the link: an address is free only when nothing answers to it
        await asyncio.to_thread(self._pool.release, container_id)

    async def check(self, *, container_id: str, pod_netns: Path) -> list[str]:
        """Return what is broken, in words; an empty list when the pod's network is whole.

        Raises: NetworkError when the kernel cannot be asked.
        """
        problems = await self._link_problems(container_id, pod_netns)
        return problems + await self._port_maps.check(container_id)

    async def _link_problems(self, container_id: str, pod_netns: Path) -> list[str]:
        address = await asyncio.to_thread(self._pool.lookup, container_id)
        if address is None:
            return [f"container {container_id} has no address"]
        if not is_netns(pod_netns):
            return [f"network namespace {pod_netns} is gone"]
        veth = veth_name(container_id)
        node, bridge = await call_links(
            self._netns, lambda links: (links.link(veth), links.link(self._bridge))
        )
        pod, lo, routes, addresses = await call_links(pod_netns, _look_into_pod)
        problems = _node_problems(veth, self._bridge, node, bridge)
        return problems + self._pod_problems(address, pod, lo, routes, addresses)

    def _pod_problems(
        self,
        address: IPv4Address,
        pod: Link | None,
        lo: Link | None,
        routes: list[Route],
        addresses: list[IPv4Interface],
    ) -> list[str]:
        problems = []
        if pod is None:
            problems.append(f"{POD_LINK} is missing in the pod")
        elif not pod.up:
            problems.append(f"{POD_LINK} is down in the pod")
        if pod is not None and self._interface(address) not in addresses:
            problems.append(f"{POD_LINK} lacks the address {self._interface(address)}")
        if lo is None or not lo.up:
            problems.append("lo is down in the pod")
        if not any(r.destination == DEFAULT_ROUTE and r.gateway == self._gateway for r in routes):
            problems.append(f"the pod has no default route via {self._gateway}")
        return problems

    async def repair(
        self, *, container_id: str, pod_netns: Path, namespace: str, name: str
    ) -> PodAddress:
        """Put right what ``check`` finds broken, keeping the pod's address.

        Raises: NetworkError when it cannot be mended.
        """
        await call_links(self._netns, self._ensure_bridge)
        return await self.add(
            container_id=container_id, pod_netns=pod_netns, namespace=namespace, name=name
        )

    async def addresses(self) -> dict[IPv4Address, str]:
        """Return the container id by address, of all pods that have one."""
        return await asyncio.to_thread(self._pool.claims)

    async def ensure_rules(self) -> bool:
        """Have the masquerade, forward and host port rules; return whether something was missing.

        Raises: NetworkError when they cannot be read or written.
        """
        generation = await self._iptables.generation()
        text = plan_rules(self._rules, await self._iptables.save())
        if text:
            await self._iptables.restore(text)
        if await self._port_maps.ensure():
            text = "host ports"
        # the older number: a change between the two reads leads to one more look, not to none
        self._generation = generation if not text else None
        return bool(text)

    async def guard(self, clock: Clock) -> None:
        """Put the rules back whenever somebody changed the rule set, until cancelled."""
        while True:
            await clock.sleep(GUARD_S)
            try:
                generation = await self._iptables.generation()
                if generation is None:
                    await clock.sleep(BLIND_GUARD_S)
                if generation is None or generation != self._generation:
                    await self.ensure_rules()
            except (NetlabError, OSError) as error:
                log.warning("pod network rules: %s", error)

    async def teardown(self) -> None:
        """Remove the rules, the pods' links and the bridge; addresses stay remembered.

        Raises: NetworkError when the kernel refuses.
        """
        text = plan_rules_removal(self._rules, await self._iptables.save())
        if text:
            await self._iptables.restore(text)
        await self._port_maps.teardown()
        await call_links(self._netns, self._remove_links)
        self.close()

    def close(self) -> None:
        """Close what the guard keeps open."""
        self._iptables.close()

    def _remove_links(self, links: Links) -> None:
        bridge = links.link(self._bridge)
        if bridge is None:
            return
        for link in links.links():
            if link.master == bridge.index and link.name.startswith(VETH_PREFIX):
                links.remove_link(link.name)
        links.remove_link(self._bridge)


def _look_into_pod(
    links: Links,
) -> tuple[Link | None, Link | None, list[Route], list[IPv4Interface]]:
    link = links.link(POD_LINK)
    addresses = links.addresses(POD_LINK) if link is not None else []
    return link, links.link("lo"), links.routes(), addresses


def _node_problems(
    veth: str, bridge_name: str, node: Link | None, bridge: Link | None
) -> list[str]:
    if bridge is None:
        return [f"bridge {bridge_name} is missing on the node"]
    if node is None:
        return [f"{veth} is missing on the node"]
    problems = []
    if node.master != bridge.index:
        problems.append(f"{veth} is not a port of {bridge_name}")
    if not node.up:
        problems.append(f"{veth} is down on the node")
    return problems
