"""Decides the rules by which ports of the node lead to ports of pods.

Mirrors the ``portmap`` plugin of containernetworking/plugins, chains and comments included:

    PREROUTING, OUTPUT  to an address of the node  -> CNI-HOSTPORT-DNAT
    CNI-HOSTPORT-DNAT   the ports of one pod       -> CNI-DN-<hash of the container id>
    CNI-DN-…            one port                   -> DNAT to the pod, after CNI-HOSTPORT-SETMARK
                                                      for the pod itself and for 127.0.0.1
    POSTROUTING         -> CNI-HOSTPORT-MASQ: what is marked gets the node's address

The three CNI-HOSTPORT chains are shared with other plugins on the machine: netlab adds its rules
to them and takes exactly those away. The newest pod's rule stands first, so that it wins a port
which a pod that ends still holds.

Left out: IPv6, the plugin's nftables backend and its conditions. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from netlab.api.containers import ContainerPort
from netlab.api.pods import Pod
from netlab.net.netfilter.section import (
    NOTHING,
    ChainId,
    Ownership,
    Part,
    Rules,
    Section,
)
from netlab.net.ruleset import (
    AddressType,
    Comment,
    Dnat,
    Jump,
    Mark,
    Masquerade,
    Match,
    Multiport,
    Net,
    Origin,
    Port,
    Rule,
    SetMark,
)

DNAT_CHAIN = "CNI-HOSTPORT-DNAT"
SETMARK_CHAIN = "CNI-HOSTPORT-SETMARK"
MASQ_CHAIN = "CNI-HOSTPORT-MASQ"
DNAT, SETMARK, MASQ = ("nat", DNAT_CHAIN), ("nat", SETMARK_CHAIN), ("nat", MASQ_CHAIN)
_FRAME_JUMPS = {("nat", "PREROUTING"): DNAT, ("nat", "OUTPUT"): DNAT, ("nat", "POSTROUTING"): MASQ}
POD_CHAIN_PREFIX = "CNI-DN-"
# the plugin's limit; the kernel would take 29 characters
CHAIN_NAME_LENGTH = 28
NETWORK_NAME = "netlab"
MARK = 0x2000
# xt_multiport holds no more
PORTS_PER_RULE = 15
MAX_COMMENT = 255
LOCALHOST = IPv4Network("127.0.0.1/32")


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to a container's port.

    protocol: TCP, UDP or SCTP. host_ip: only at this address of the node; None means at all.
    """

    protocol: str
    host_port: int
    container_port: int
    host_ip: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class PortMapping:
    """The host ports of one pod, and the pod's address with its range."""

    address: IPv4Interface
    ports: tuple[HostPort, ...]


def pod_host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """Return the host ports that a pod's containers and sidecars ask for, each once."""
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    found = [
        wanted
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if (wanted := _host_port(port)) is not None
    ]
    return tuple(dict.fromkeys(found))


def _host_port(port: ContainerPort) -> HostPort | None:
    if not port.host_port:
        return None
    try:
        host_ip = IPv4Address(port.host_ip) if port.host_ip else None
    except AddressValueError:
        return None  # an IPv6 address: the node has none
    if host_ip is not None and host_ip.is_unspecified:
        host_ip = None
    return HostPort(port.protocol, port.host_port, port.container_port, host_ip)


def pod_chain(container_id: str) -> str:
    """Return the name of a container's own chain."""
    digest = hashlib.sha512((NETWORK_NAME + container_id).encode()).hexdigest()
    return (POD_CHAIN_PREFIX + digest)[:CHAIN_NAME_LENGTH]


def host_port_part(container_id: str, mapping: PortMapping) -> Part:
    """Return what one container's ports add: its own chain, and entries that lead there."""
    rules = [rule for port in mapping.ports for rule in _port_rules(mapping.address, port)]
    return Part(
        own={("nat", pod_chain(container_id)): tuple(rules)},
        guests={DNAT: tuple(_entries(container_id, mapping))},
    )


class HostPortRules:
    """The rules of all host ports of a node, as a section of the node's rules."""

    def __init__(self) -> None:
        # of containers that have ports, or had some that the kernel may hold still
        self._chains: set[str] = set()
        self._keys: dict[str, tuple[int, str]] = {}
        self._number = 0
        ownership = Ownership(
            name="host-ports",
            claims=self._claims,
            makes=frozenset({DNAT, SETMARK, MASQ}),
            at_end=frozenset({SETMARK, MASQ, ("nat", "PREROUTING"), ("nat", "OUTPUT")}),
        )
        self.section = Section(ownership, guests=_frame())

    def put(self, container_id: str, mapping: PortMapping) -> None:
        """Have the container's ports lead to it; a new one's come before all others'."""
        self._chains.add(pod_chain(container_id))
        if container_id not in self._keys:
            self._number -= 1
            self._keys[container_id] = (self._number, container_id)
        self.section.put(self._keys[container_id], host_port_part(container_id, mapping))

    def remove(self, container_id: str) -> None:
        """Have no rules for the container."""
        key = self._keys.pop(container_id, None)
        if key is not None:
            self.section.put(key, NOTHING)

    def _claims(self, chain: ChainId, line: str) -> bool:
        target = line.rpartition("-j ")[2]
        if chain == DNAT:
            return target in self._chains
        if chain in (SETMARK, MASQ):
            return line in _FIXED_LINES
        return ("nat", target) == _FRAME_JUMPS.get(chain)


def _because(reason: str) -> Origin:
    return Origin("", "", "cni", reason)


def _frame() -> dict[ChainId, Rules]:
    to_node = Rule(
        matches=(AddressType(destination="LOCAL"),),
        target=Jump(DNAT_CHAIN),
        origin=_because("to a port of the node"),
    )
    from_here = Rule(
        matches=(Comment("CNI portfwd requiring masquerade"),),
        target=Jump(MASQ_CHAIN),
        origin=_because("the answer must come back through the node"),
    )
    mark = Rule(
        matches=(Comment("CNI portfwd masquerade mark"),),
        target=SetMark(MARK, MARK),
        origin=_because("the answer must come back through the node"),
    )
    masquerade = Rule(
        matches=(Mark(MARK, MARK),),
        target=Masquerade(random_fully=False),
        origin=_because("the answer must come back through the node"),
    )
    return {
        ("nat", "PREROUTING"): (to_node,),
        ("nat", "OUTPUT"): (to_node,),
        ("nat", "POSTROUTING"): (from_here,),
        SETMARK: (mark,),
        MASQ: (masquerade,),
    }


_FIXED_LINES = frozenset(rule.spell() for rules in _frame().values() for rule in rules)


def _entries(container_id: str, mapping: PortMapping) -> list[Rule]:
    comment = f'dnat name: "{NETWORK_NAME}" id: "{container_id}"'
    if len(comment) > MAX_COMMENT:
        comment = comment[: MAX_COMMENT - 3] + "..."
    by_protocol: dict[str, list[int]] = {}
    for port in mapping.ports:
        numbers = by_protocol.setdefault(port.protocol.lower(), [])
        if port.host_port not in numbers:
            numbers.append(port.host_port)
    return [
        Rule(
            protocol=protocol,
            matches=(Comment(comment), Multiport(tuple(numbers[at : at + PORTS_PER_RULE]))),
            target=Jump(pod_chain(container_id)),
            origin=_because(f"host ports of {container_id}"),
        )
        for protocol, numbers in sorted(by_protocol.items())
        for at in range(0, len(numbers), PORTS_PER_RULE)
    ]


def _port_rules(address: IPv4Interface, port: HostPort) -> list[Rule]:
    protocol = port.protocol.lower()
    matches: tuple[Match, ...] = (Port(protocol, port.host_port),)
    destination = None if port.host_ip is None else Net(port.host_ip)
    marks = [
        Rule(
            source=Net(source),
            destination=destination,
            protocol=protocol,
            matches=matches,
            target=Jump(SETMARK_CHAIN),
            origin=_because(reason),
        )
        for source, reason in ((address.network, "hairpin"), (LOCALHOST, "from the node itself"))
    ]
    translation = Rule(
        destination=destination,
        protocol=protocol,
        matches=matches,
        target=Dnat(address.ip, port.container_port),
        origin=_because(f"host port {port.host_port}"),
    )
    return [*marks, translation]
