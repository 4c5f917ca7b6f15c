"""Turn one Service port and its endpoints into rules.

Mirrors the loop over Services in kube-proxy ``pkg/proxy/iptables`` ``syncProxyRules``: the same
chains, comments and order. A packet for a Service meets, in the nat table,

    KUBE-SERVICES ─┬─ cluster IP ───────────────────────────► KUBE-SVC-… (all endpoints)
                   ├─ external IP, load balancer ─► KUBE-EXT-… ─┬► KUBE-SVC-… / KUBE-SVL-…
                   │      (with source ranges first KUBE-FW-…)  │   (SVL: endpoints of this node)
                   └─ any local address ► KUBE-NODEPORTS ───────┘
    KUBE-SVC-… ─► KUBE-SEP-… : DNAT to one endpoint

and where there is no endpoint, a REJECT or DROP in the filter table.

Rules for callers: the result depends on nothing but the arguments. ``large`` drops the comments of
the chains that are as many as the endpoints, as kube-proxy does beyond 1,000 of them.

Left out: nfacct counters, ``--masquerade-all``, IPv6. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv4Network

import msgspec

from netlab.net.ruleset import (
    ACCEPT,
    DROP,
    AddressType,
    Chain,
    Comment,
    Dnat,
    Jump,
    Match,
    Net,
    Origin,
    Port,
    Recent,
    Reject,
    Rule,
    Statistic,
    Target,
)
from netlab.proxy import names
from netlab.proxy.endpoints import Backend, Choice
from netlab.proxy.services import PortSpec

MASQUERADE = Jump(names.MARK_MASQ)

NAT_SERVICES = ("nat", names.SERVICES)
NAT_NODE_PORTS = ("nat", names.NODE_PORTS)
FILTER_SERVICES = ("filter", names.SERVICES)
FILTER_EXTERNAL = ("filter", names.EXTERNAL_SERVICES)
FILTER_NODE_PORTS = ("filter", names.NODE_PORTS)
FILTER_FIREWALL = ("filter", names.PROXY_FIREWALL)


class NodeView(msgspec.Struct, frozen=True, gc=False):
    """What the rules need to know of the node; pod_cidr is the cluster's range of pods."""

    node_ip: IPv4Address
    pod_cidr: IPv4Network
    large: bool = False


class PortRules(msgspec.Struct, frozen=True, gc=False):
    """The rules of one Service port.

    shared: rules that join others in a common chain, by (table, chain), in order; chains: nat
    chains that are the port's own.
    """

    shared: tuple[tuple[tuple[str, str], Rule], ...]
    chains: tuple[Chain, ...]


# rules are kept for as long as the Service lives: what thousands of them have in common exists once
@cache
def _dice(endpoints: int) -> tuple[Match, ...]:
    # kube-proxy hands iptables ten digits
    return (Statistic(float(f"{1.0 / endpoints:.10f}")),) if endpoints > 1 else ()


@cache
def _speaks(protocol: str) -> tuple[Match, ...]:
    return (Port(protocol),)


@cache
def _range(network: IPv4Network, *, inverted: bool = False) -> Net:
    return Net(network, inverted)


def render_port(port: PortSpec, choice: Choice, node: NodeView) -> PortRules:
    """Return the rules of a Service port."""
    return _PortRenderer(port, choice, node).render()


class _PortRenderer:
    """The names and decisions that the parts of one Service port share."""

    def __init__(self, port: PortSpec, choice: Choice, node: NodeView) -> None:
        self.port = port
        self.choice = choice
        self.node = node
        digest = names.port_hash(port.text, port.protocol)
        self.cluster_chain = f"KUBE-SVC-{digest}"
        self.local_chain = f"KUBE-SVL-{digest}"
        self.external_chain = f"KUBE-EXT-{digest}"
        self.firewall_chain = f"KUBE-FW-{digest}"
        self.cluster_ip = Net(port.cluster_ip)
        self.to_port = Port(port.protocol, port.port)
        self.internal_chain = self.local_chain if port.internal_local else self.cluster_chain
        self.internal_open = bool(choice.local) if port.internal_local else choice.usable
        self.external_open = bool(choice.local) if port.external_local else choice.usable
        self.uses_external = choice.usable and port.externally_accessible
        self.endpoint_chains = {
            one.text: names.endpoint_chain(port.text, port.protocol, one.text)
            for one in choice.reachable
        }
        self.uses_firewall = choice.usable and bool(port.balancer_ips and port.source_ranges)
        self._origins: dict[tuple[str, str], Origin] = {}
        self._matches: dict[str, tuple[Match, ...]] = {}

    def origin(self, reason: str) -> Origin:
        return Origin("Service", self.port.namespace, self.port.service, reason)

    def _to_port(self, comment: str) -> tuple[Match, ...]:
        """A comment and the Service's port."""
        if comment not in self._matches:
            self._matches[comment] = (Comment(f"{self.port.text} {comment}"), self.to_port)
        return self._matches[comment]

    def render(self) -> PortRules:
        shared = [
            *self._cluster_ip(),
            *self._external_ips(),
            *self._balancer_ips(),
            *self._node_port(),
            *self._health_port(),
        ]
        return PortRules(tuple(shared), tuple(self._chains()))

    def _capture(self, address: IPv4Address, comment: str, target: Target, reason: str) -> Rule:
        """A rule for packets to one of the Service's addresses and its port."""
        return Rule(
            destination=Net(address) if address != self.port.cluster_ip else self.cluster_ip,
            protocol=self.port.protocol,
            matches=self._to_port(comment),
            target=target,
            origin=self.origin(reason),
        )

    def _refusal(self) -> tuple[str, Target]:
        """REJECT when there is nothing anywhere; DROP when another node could answer."""
        if not self.choice.usable:
            return "has no endpoints", Reject()
        return "has no local endpoints", DROP

    def _cluster_ip(self) -> Iterable[tuple[tuple[str, str], Rule]]:
        address = self.port.cluster_ip
        if self.internal_open:
            target = Jump(self.internal_chain)
            yield NAT_SERVICES, self._capture(address, "cluster IP", target, "cluster IP")
        else:
            comment, refusal = self._refusal()
            yield FILTER_SERVICES, self._capture(address, comment, refusal, comment)

    def _external_ips(self) -> Iterable[tuple[tuple[str, str], Rule]]:
        for address in self.port.external_ips:
            if self.choice.usable:
                target = Jump(self.external_chain)
                yield NAT_SERVICES, self._capture(address, "external IP", target, "external IP")
            if not self.external_open:
                comment, refusal = self._refusal()
                yield FILTER_EXTERNAL, self._capture(address, comment, refusal, comment)

    def _balancer_ips(self) -> Iterable[tuple[tuple[str, str], Rule]]:
        chain = self.firewall_chain if self.uses_firewall else self.external_chain
        for address in self.port.balancer_ips:
            if self.choice.usable:
                word = "loadbalancer IP"
                yield NAT_SERVICES, self._capture(address, word, Jump(chain), "load balancer")
            if self.uses_firewall:
                comment = f"traffic not accepted by {self.firewall_chain}"
                reason = "not from loadBalancerSourceRanges"
                yield FILTER_FIREWALL, self._capture(address, comment, DROP, reason)
            if not self.external_open:
                comment, refusal = self._refusal()
                yield FILTER_EXTERNAL, self._capture(address, comment, refusal, comment)

    def _node_port(self) -> Iterable[tuple[tuple[str, str], Rule]]:
        number = self.port.node_port
        if not number:
            return
        to_node_port = Port(self.port.protocol, number)
        if self.choice.usable:
            yield (
                NAT_NODE_PORTS,
                Rule(
                    protocol=self.port.protocol,
                    matches=(Comment(self.port.text), to_node_port),
                    target=Jump(self.external_chain),
                    origin=self.origin("node port"),
                ),
            )
        if not self.external_open:
            comment, refusal = self._refusal()
            yield (
                FILTER_EXTERNAL,
                Rule(
                    protocol=self.port.protocol,
                    matches=(
                        Comment(f"{self.port.text} {comment}"),
                        AddressType(destination="LOCAL"),
                        to_node_port,
                    ),
                    target=refusal,
                    origin=self.origin(comment),
                ),
            )

    def _health_port(self) -> Iterable[tuple[tuple[str, str], Rule]]:
        if not self.port.health_port:
            return
        comment = Comment(f"{self.port.text} health check node port")
        yield (
            FILTER_NODE_PORTS,
            Rule(
                protocol="tcp",
                matches=(comment, Port("tcp", self.port.health_port)),
                target=ACCEPT,
                origin=self.origin("health check of the load balancer"),
            ),
        )

    def _chains(self) -> Iterable[Chain]:
        """The port's own chains; each chain jumps only to chains yielded before it."""
        yield from (self._endpoint_chain(backend) for backend in self.choice.reachable)
        policies = (
            (self.cluster_chain, self.choice.cluster, self.port.uses_cluster_endpoints),
            (self.local_chain, self.choice.local, self.port.uses_local_endpoints),
        )
        for chain, backends, used in policies:
            if used and backends:
                masquerade = [self._masquerade()] if chain == self.internal_chain else []
                yield Chain(chain, (*masquerade, *self._balance(backends)))
        if self.uses_external:
            yield Chain(self.external_chain, tuple(self._external()))
        if self.uses_firewall:
            yield Chain(self.firewall_chain, tuple(self._firewall()))

    def _masquerade(self) -> Rule:
        """Traffic that is not from pods must come back through this node to be translated back."""
        return Rule(
            source=_range(self.node.pod_cidr, inverted=True),
            destination=self.cluster_ip,
            protocol=self.port.protocol,
            matches=self._to_port("cluster IP"),
            target=MASQUERADE,
            origin=self.origin("not from a pod: masquerade"),
        )

    def _noted(self, text: str, matches: tuple[Match, ...] = ()) -> tuple[Match, ...]:
        return matches if self.node.large else (Comment(text), *matches)

    def _balance(self, backends: tuple[Backend, ...]) -> Iterable[Rule]:
        """First back to the endpoint the client had, then one of all with equal chances."""
        port = self.port
        chains = [self.endpoint_chains[backend.text] for backend in backends]
        if port.affinity_s is not None:
            for backend, chain in zip(backends, chains, strict=True):
                recent = Recent(chain, "rcheck", port.affinity_s, reap=True)
                yield Rule(
                    matches=self._noted(f"{port.text} -> {backend.text}", (recent,)),
                    target=Jump(chain),
                    origin=self._slice_origin(backend, "the client's endpoint of before"),
                )
        for position, (backend, chain) in enumerate(zip(backends, chains, strict=True)):
            dice = _dice(len(backends) - position)
            yield Rule(
                matches=self._noted(f"{port.text} -> {backend.text}", dice),
                target=Jump(chain),
                origin=self._slice_origin(backend, "chosen endpoint"),
            )

    def _slice_origin(self, backend: Backend, reason: str) -> Origin:
        key = (backend.slice, reason)
        if key not in self._origins:
            origin = Origin("EndpointSlice", self.port.namespace, backend.slice, reason)
            self._origins[key] = origin
        return self._origins[key]

    def _endpoint_chain(self, backend: Backend) -> Chain:
        name = self.endpoint_chains[backend.text]
        speaks = _speaks(self.port.protocol)
        if self.port.affinity_s is not None:
            speaks = (Recent(name, "set"), *speaks)
        return Chain(
            name,
            (
                Rule(
                    source=Net(backend.address),
                    matches=self._noted(self.port.text),
                    target=MASQUERADE,
                    origin=self._slice_origin(backend, "from the endpoint to itself: masquerade"),
                ),
                Rule(
                    protocol=self.port.protocol,
                    matches=self._noted(self.port.text, speaks),
                    target=Dnat(backend.address, backend.port),
                    origin=self._slice_origin(backend, "endpoint"),
                ),
            ),
        )

    def _external(self) -> Iterable[Rule]:
        """Traffic to the external addresses: see the policy, and mark what must be masqueraded."""
        text = self.port.text
        if not self.port.external_local:
            yield Rule(
                matches=(Comment(f"masquerade traffic for {text} external destinations"),),
                target=MASQUERADE,
                origin=self.origin("may leave to another node: masquerade"),
            )
            yield Rule(target=Jump(self.cluster_chain), origin=self.origin("all endpoints"))
            return
        cluster, local = Jump(self.cluster_chain), AddressType(source="LOCAL")
        yield Rule(
            source=_range(self.node.pod_cidr),
            matches=(Comment(f"pod traffic for {text} external destinations"),),
            target=cluster,
            origin=self.origin("from a pod: all endpoints"),
        )
        yield Rule(
            matches=(Comment(f"masquerade LOCAL traffic for {text} external destinations"), local),
            target=MASQUERADE,
            origin=self.origin("from the node: masquerade"),
        )
        yield Rule(
            matches=(Comment(f"route LOCAL traffic for {text} external destinations"), local),
            target=cluster,
            origin=self.origin("from the node: all endpoints"),
        )
        if self.external_open:
            yield Rule(target=Jump(self.local_chain), origin=self.origin("endpoints of this node"))

    def _firewall(self) -> Iterable[Rule]:
        text, external = self.port.text, Jump(self.external_chain)
        comment = Comment(f"{text} loadbalancer IP")
        for source in self.port.source_ranges:
            yield Rule(
                source=Net(source),
                matches=(comment,),
                target=external,
                origin=self.origin("from loadBalancerSourceRanges"),
            )
        if any(self.node.node_ip in source for source in self.port.source_ranges):
            # an address of the balancer on one of the node's links is also the source that
            # the node's own packets to it get
            for address in self.port.balancer_ips:
                yield Rule(
                    source=Net(address),
                    matches=(comment,),
                    target=external,
                    origin=self.origin("from the node itself"),
                )
        note = f"other traffic to {text} will be dropped by {names.PROXY_FIREWALL}"
        yield Rule(matches=(Comment(note),), origin=self.origin("not from the source ranges"))
