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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network

from netlab.api.containers import ContainerPort
from netlab.api.pods import Pod
from netlab.net.ruleset import (
    AddressType,
    Chain,
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
    RuleSet,
    SetMark,
    make_rule_set,
)
from netlab.net.savefile import Snapshot

DNAT_CHAIN = "CNI-HOSTPORT-DNAT"
SETMARK_CHAIN = "CNI-HOSTPORT-SETMARK"
MASQ_CHAIN = "CNI-HOSTPORT-MASQ"
SHARED_CHAINS = (DNAT_CHAIN, SETMARK_CHAIN, MASQ_CHAIN)
POD_CHAIN_PREFIX = "CNI-DN-"
# the plugin's limit; the kernel would take 29 characters
CHAIN_NAME_LENGTH = 28
NETWORK_NAME = "netlab"
MARK = 0x2000
# xt_multiport holds no more
PORTS_PER_RULE = 15
MAX_COMMENT = 255
LOCALHOST = IPv4Network("127.0.0.1/32")
JUMPS = (("PREROUTING", DNAT_CHAIN), ("OUTPUT", DNAT_CHAIN), ("POSTROUTING", MASQ_CHAIN))


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


def render_host_ports(mappings: Mapping[str, PortMapping]) -> RuleSet:
    """Return the rules for the mappings, by container id, jumps included; none for none."""
    if not mappings:
        return RuleSet({})
    chains = _frame()
    entries: list[Rule] = []
    for container_id, mapping in reversed(list(mappings.items())):
        entries += _entries(container_id, mapping)
        rules = [rule for port in mapping.ports for rule in _port_rules(mapping.address, port)]
        chains.append(("nat", Chain(pod_chain(container_id), tuple(rules))))
    chains.append(("nat", Chain(DNAT_CHAIN, tuple(entries))))
    return make_rule_set(chains)


def _because(reason: str) -> Origin:
    return Origin("", "", "cni", reason)


def _frame() -> list[tuple[str, Chain]]:
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
    return [
        ("nat", Chain("PREROUTING", (to_node,), "ACCEPT")),
        ("nat", Chain("OUTPUT", (to_node,), "ACCEPT")),
        ("nat", Chain("POSTROUTING", (from_here,), "ACCEPT")),
        ("nat", Chain(SETMARK_CHAIN, (mark,))),
        ("nat", Chain(MASQ_CHAIN, (masquerade,))),
    ]


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
    destination = None if port.host_ip is None else Net(IPv4Network(port.host_ip))
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


def plan_host_ports(mappings: Mapping[str, PortMapping], kernel: Snapshot) -> str:
    """Return the restore text that brings the mappings' rules into the kernel; "" for none.

    Of chains that others use too, only netlab's own rules are touched.
    """
    chains = render_host_ports(mappings).tables.get("nat", {})
    if not chains:
        return ""
    made: list[str] = []
    commands: list[str] = []
    for name in SHARED_CHAINS:
        if kernel.chain("nat", name) is None:
            made.append(f":{name} - [0:0]")
    for container_id in mappings:
        name = pod_chain(container_id)
        if _lines(kernel, name) != chains[name].lines():
            made.append(f":{name} - [0:0]")
            commands += [f"-A {name} {line}" for line in chains[name].lines()]
    for name in (SETMARK_CHAIN, MASQ_CHAIN):
        missing = [line for line in chains[name].lines() if line not in _lines(kernel, name)]
        commands += [f"-A {name} {line}" for line in missing]
    commands += _plan_entries(mappings, chains[DNAT_CHAIN].lines(), _lines(kernel, DNAT_CHAIN))
    for hook, target in JUMPS:
        if f"-j {target}" not in {line[line.rfind("-j ") :] for line in _lines(kernel, hook)}:
            # before the rules that masquerade or keep the source of all pods
            verb = "-I" if hook == "POSTROUTING" else "-A"
            commands += [f"{verb} {hook} {line}" for line in chains[hook].lines()]
    return _table([*made, *commands])


def _plan_entries(
    mappings: Mapping[str, PortMapping], wanted: Iterable[str], held: tuple[str, ...]
) -> list[str]:
    own = {f"-j {pod_chain(container_id)}" for container_id in mappings}
    wanted = list(wanted)
    stale = [line for line in held if line[line.rfind("-j ") :] in own and line not in wanted]
    # each goes to the top, so the last one that is written comes first
    missing = [line for line in reversed(wanted) if line not in held]
    return [f"-D {DNAT_CHAIN} {line}" for line in stale] + [
        f"-I {DNAT_CHAIN} {line}" for line in missing
    ]


def plan_host_ports_removal(container_ids: Iterable[str], kernel: Snapshot) -> str:
    """Return the restore text that takes the containers' rules away; "" for none."""
    gone: list[str] = []
    commands: list[str] = []
    ends: list[str] = []
    for container_id in container_ids:
        name = pod_chain(container_id)
        held = [line for line in _lines(kernel, DNAT_CHAIN) if line.endswith(f"-j {name}")]
        commands += [f"-D {DNAT_CHAIN} {line}" for line in held]
        if kernel.chain("nat", name) is not None:
            gone.append(f":{name} - [0:0]")
            ends.append(f"-X {name}")
    return _table([*gone, *commands, *ends])


def plan_frame_removal(kernel: Snapshot) -> str:
    """Return the restore text that takes the shared chains away; "" while others use them."""
    others = {
        line[line.rfind("-j ") :]
        for name, chain in kernel.tables.get("nat", {}).items()
        if name not in SHARED_CHAINS
        for line in chain.lines
    }
    if _lines(kernel, DNAT_CHAIN) or f"-j {SETMARK_CHAIN}" in others:
        return ""
    present = [name for name in SHARED_CHAINS if kernel.chain("nat", name) is not None]
    commands = [f":{name} - [0:0]" for name in present]
    for hook, target in JUMPS:
        held = [line for line in _lines(kernel, hook) if line.endswith(f"-j {target}")]
        commands += [f"-D {hook} {line}" for line in held]
    return _table([*commands, *(f"-X {name}" for name in present)])


def _lines(kernel: Snapshot, chain: str) -> tuple[str, ...]:
    saved = kernel.chain("nat", chain)
    return saved.lines if saved is not None else ()


def _table(commands: list[str]) -> str:
    return "\n".join(["*nat", *commands, "COMMIT", ""]) if commands else ""
