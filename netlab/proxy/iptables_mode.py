"""The iptables mode: each Service's rules as a part of one section of the node's rules.

Mirrors kube-proxy ``pkg/proxy/iptables``. What is written and when is the owner's matter
(``net.netfilter``); this file says which chains and rules are kube-proxy's.

Left out: the nfacct counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from netlab.net.host import NetworkHost
from netlab.net.netfilter.owner import Netfilter
from netlab.net.netfilter.plan import WriteCount
from netlab.net.netfilter.section import NOTHING, ChainId, Ownership, Part, Rules, Section
from netlab.net.ruleset import Rule, RuleSet
from netlab.proxy import names
from netlab.proxy.frame import FIXED, JUMPS, LAST
from netlab.proxy.provider import ServedPort, ServiceKey
from netlab.proxy.rules import NodeView, PortRules, render_port

# kube-proxy's limit: beyond it the comments of endpoint chains cost more than they tell
LARGE_CLUSTER_ENDPOINTS = 1000

SYSCTLS = {
    # lets 127.0.0.1:NODEPORT be translated; KUBE-FIREWALL keeps others off the loopback range
    "net.ipv4.conf.all.route_localnet": "1",
}


def _claims(chain: ChainId, line: str) -> bool:
    # not by the whole line: another version of iptables may spell it otherwise, and a jump that
    # is not recognised would be added again and again
    matches, _, target = line.rpartition("-j ")
    ours = '--comment "kubernetes ' in matches or line == f"-j {names.FIREWALL}"
    return ours and chain in JUMPS and names.is_owned(target)


OWNERSHIP = Ownership(name="kube-proxy", owns=names.is_owned, claims=_claims, rank=names.rank)


def proxy_section() -> Section:
    """Return kube-proxy's section without any Service."""
    return Section(OWNERSHIP, common=FIXED, last=LAST, guests=JUMPS)


def service_part(ports: Iterable[PortRules]) -> Part:
    """Return what the rules of a Service's ports add."""
    common: dict[ChainId, list[Rule]] = {}
    own: dict[ChainId, Rules] = {}
    for port in ports:
        for chain, rule in port.shared:
            common.setdefault(chain, []).append(rule)
        for one in port.chains:
            own["nat", one.name] = one.rules
    if not common and not own:
        return NOTHING
    return Part({chain: tuple(rules) for chain, rules in common.items()}, own)


class IptablesProvider:
    """kube-proxy's iptables mode on one node.

    cluster_cidr: all nodes' pods: traffic from elsewhere to a cluster IP is masqueraded.
    """

    def __init__(
        self, host: NetworkHost, *, node_ip: IPv4Address, cluster_cidr: IPv4Network
    ) -> None:
        self._host = host
        self._node = NodeView(node_ip, cluster_cidr)
        self._section = proxy_section()
        host.netfilter.register(self._section)

    async def setup(self) -> None:
        """Open 127.0.0.1 to node ports."""
        await self._host.sysctls.want(SYSCTLS)

    def put(self, key: ServiceKey, ports: Sequence[ServedPort]) -> None:
        """See ``Provider``."""
        rules = [render_port(port.spec, port.choice, self._node) for port in ports]
        self._section.put(key, service_part(rules))

    def resize(self, endpoints: int) -> bool:
        """In a large cluster endpoints' chains have no comments."""
        large = endpoints > LARGE_CLUSTER_ENDPOINTS
        if self._node.large == large:
            return False
        self._node = NodeView(self._node.node_ip, self._node.pod_cidr, large)
        return True

    async def sync(self) -> WriteCount:
        """See ``Provider``."""
        return await self._host.netfilter.sync(self._section)

    def rule_set(self) -> RuleSet:
        """See ``Provider``."""
        return self._section.rule_set()

    async def remove(self) -> None:
        """See ``Provider``."""
        await self._host.netfilter.remove(self._section)


async def remove_rules(netns: Path | None, *, tool: str = "iptables") -> None:
    """Remove every chain of kube-proxy and the jumps to them, whoever made them. Idempotent.

    The nft variant's tables stay even when nothing is left in them: see
    ``Iptables.remove_empty_tables``.

    Raises: NetworkError when the kernel refuses, for example because a foreign rule jumps to one
    of the chains.
    """
    netfilter = Netfilter(netns, tool=tool)
    section = proxy_section()
    netfilter.register(section)
    try:
        await netfilter.remove(section)
    finally:
        netfilter.close()
