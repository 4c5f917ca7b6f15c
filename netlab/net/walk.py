"""Walk a packet through a rule set: which rules it meets, and what becomes of it.

Plays the kernel's netfilter on a ``RuleSet``, so that tests can ask where a packet goes and the
packet trace can tell which rule, from which API object, decided. Checked against the kernel's own
counters in ``tests/system/test_net_walk.py``.

The way of a packet: PREROUTING, then INPUT when its destination is local, else FORWARD and
POSTROUTING; a packet made here starts at OUTPUT. In each hook the tables come in the order raw,
mangle, nat, filter. Only the first packet of a connection (state NEW) meets the nat table. An
address translation ends that table's walk for the packet.

Left out: bridges (a frame between two ports meets these hooks too, once br_netfilter is on, but
needs no route), source translation at INPUT, IPsec, and the undoing of translation on the way
back, which connection tracking does without rules. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Address
from typing import Literal, TypeAlias

from netlab.net.addresses import Address
from netlab.net.ruleset import (
    TABLE_HOOKS,
    AddressType,
    Comment,
    ConntrackState,
    Dnat,
    Jump,
    Mark,
    Masquerade,
    Match,
    Multiport,
    Port,
    Reject,
    Rule,
    RuleSet,
    SetMark,
    Statistic,
    Verdict,
)

Outcome: TypeAlias = Literal["ACCEPT", "DROP", "REJECT"]

TABLE_ORDER = ("raw", "mangle", "nat", "filter")
LOOPBACK = IPv4Network("127.0.0.0/8")
LOOPBACK_6 = IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class Packet:
    """What rules can see of a packet; ports are 0 for protocols without them."""

    source: Address
    destination: Address
    protocol: str = "tcp"
    source_port: int = 40000
    destination_port: int = 0
    mark: int = 0
    states: frozenset[str] = frozenset({"NEW"})
    in_link: str = ""
    out_link: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """How the host would send a packet: the link and the link's own address."""

    link: str
    source: Address


def _always(_: Rule) -> bool:
    return True


def _never_seen(_: str, __: Address) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Host:
    """What a walk needs to know of the host besides its rules.

    local: the addresses of its links; 127.0.0.0/8 and ::1 are local always. route: the way to an
    address, None when there is none. choose: whether a rule with a random match matches this time.
    seen: whether the named list of recent sources holds the address.
    """

    local: frozenset[Address]
    route: Callable[[Address], Way | None]
    choose: Callable[[Rule], bool] = _always
    seen: Callable[[str, Address], bool] = _never_seen

    def is_local(self, address: Address) -> bool:
        """True when the address is the host's own."""
        return address in self.local or address in LOOPBACK or address == LOOPBACK_6


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at; position counts from 1, as ``iptables -L --line-numbers``."""

    hook: str
    table: str
    chain: str
    position: int
    rule: Rule
    matched: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """What became of the packet, and every rule looked at on the way.

    packet: as it was when it left, arrived or died. answer: the ICMP message of a REJECT.
    lost: why it went nowhere though no rule stopped it (no route).
    """

    outcome: Outcome
    packet: Packet
    steps: tuple[Step, ...]
    hooks: tuple[str, ...]
    answer: str = ""
    lost: str = ""

    @property
    def matched(self) -> tuple[Step, ...]:
        """The rules that matched, in order."""
        return tuple(step for step in self.steps if step.matched)


@dataclass(slots=True)
class _Walker:
    rules: RuleSet
    host: Host
    packet: Packet
    steps: list[Step] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    answer: str = ""

    def hook(self, hook: str, *, translated: bool = False) -> Outcome:
        """Take the packet through all tables of a hook; nat only if not yet ``translated``."""
        self.hooks.append(hook)
        for table in TABLE_ORDER:
            if hook not in TABLE_HOOKS[table]:
                continue
            if table == "nat" and (translated or "NEW" not in self.packet.states):
                continue
            chain = self.rules.chain(table, hook)
            if chain is None:
                continue
            verdict = self._chain(hook, table, hook) or chain.policy or "ACCEPT"
            if verdict in ("DROP", "REJECT"):
                return "DROP" if verdict == "DROP" else "REJECT"
        return "ACCEPT"

    def _chain(self, hook: str, table: str, name: str) -> str | None:
        """Return the verdict a chain came to, or None when it was left at its end."""
        chain = self.rules.chain(table, name)
        if chain is None:
            return None
        for position, rule in enumerate(chain.rules, 1):
            matched = self._matches(rule)
            self.steps.append(Step(hook, table, name, position, rule, matched))
            if not matched:
                continue
            if isinstance(rule.target, Jump):
                verdict = self._chain(hook, table, rule.target.chain)
            else:
                verdict = self._act(rule)
            if verdict == "RETURN":
                return None
            if verdict is not None:
                return verdict
        return None

    def _act(self, rule: Rule) -> str | None:
        target = rule.target
        if isinstance(target, Verdict):
            return target.name
        if isinstance(target, Reject):
            self.answer = target.answer
            return "REJECT"
        if isinstance(target, SetMark):
            mark = (self.packet.mark & ~target.mask) ^ target.value
            self.packet = replace(self.packet, mark=mark)
        elif isinstance(target, Dnat):
            self.packet = replace(
                self.packet,
                destination=target.address,
                destination_port=target.port,
                states=self.packet.states | {"DNAT"},
            )
            return "ACCEPT"
        elif isinstance(target, Masquerade):
            way = self.host.route(self.packet.destination)
            source = way.source if way is not None else self.packet.source
            states = self.packet.states | {"SNAT"}
            self.packet = replace(self.packet, source=source, states=states)
            return "ACCEPT"
        return None

    def _matches(self, rule: Rule) -> bool:
        packet = self.packet
        if rule.protocol is not None and rule.protocol != packet.protocol:
            return False
        if rule.in_link is not None and rule.in_link != packet.in_link:
            return False
        if rule.out_link is not None and rule.out_link != packet.out_link:
            return False
        if rule.source is not None and packet.source not in rule.source:
            return False
        if rule.destination is not None and packet.destination not in rule.destination:
            return False
        return all(self._match(match, rule) for match in rule.matches)

    def _match(self, match: Match, rule: Rule) -> bool:
        packet = self.packet
        if isinstance(match, Comment):
            return True
        if isinstance(match, ConntrackState):
            return bool(packet.states & set(match.states)) != match.inverted
        if isinstance(match, Port):
            return (
                match.protocol == packet.protocol
                and match.destination in (None, packet.destination_port)
                and match.source in (None, packet.source_port)
            )
        if isinstance(match, Multiport):
            return packet.destination_port in match.destinations
        if isinstance(match, AddressType):
            return self._is_type(match.source, packet.source) and self._is_type(
                match.destination, packet.destination
            )
        if isinstance(match, Mark):
            return ((packet.mark & match.mask) == match.value) != match.inverted
        if isinstance(match, Statistic):
            return self.host.choose(rule)
        return match.action == "set" or self.host.seen(match.name, packet.source)

    def _is_type(self, wanted: str | None, address: Address) -> bool:
        return wanted is None or (wanted == "LOCAL") == self.host.is_local(address)

    def end(self, outcome: Outcome, lost: str = "") -> Walk:
        """Return the walk so far."""
        steps, hooks = tuple(self.steps), tuple(self.hooks)
        return Walk(outcome, self.packet, steps, hooks, self.answer, lost)

    def leave(self) -> Walk:
        """Choose the link, take the packet through POSTROUTING and end."""
        way = self.host.route(self.packet.destination)
        if way is None:
            return self.end("DROP", f"no route to {self.packet.destination}")
        self.packet = replace(self.packet, out_link=way.link)
        return self.end(self.hook("POSTROUTING"))


def walk_packet(rules: RuleSet, host: Host, packet: Packet) -> Walk:
    """Return what becomes of a packet: arriving when it has an in_link, else made by the host."""
    walker = _Walker(rules, host, packet)
    if packet.in_link:
        return _arrive(walker)
    way = host.route(packet.destination)
    if not host.is_local(packet.destination):
        if way is None:
            return walker.end("DROP", f"no route to {packet.destination}")
        walker.packet = replace(packet, out_link=way.link)
    else:
        walker.packet = replace(packet, out_link="lo")
    outcome = walker.hook("OUTPUT")
    if outcome != "ACCEPT":
        return walker.end(outcome)
    if host.is_local(walker.packet.destination):
        return _loop_back(walker)
    return walker.leave()


def _arrive(walker: _Walker) -> Walk:
    outcome = walker.hook("PREROUTING")
    if outcome != "ACCEPT":
        return walker.end(outcome)
    if walker.host.is_local(walker.packet.destination):
        return walker.end(walker.hook("INPUT"))
    way = walker.host.route(walker.packet.destination)
    if way is None:
        return walker.end("DROP", f"no route to {walker.packet.destination}")
    walker.packet = replace(walker.packet, out_link=way.link)
    outcome = walker.hook("FORWARD")
    return walker.leave() if outcome == "ACCEPT" else walker.end(outcome)


def _loop_back(walker: _Walker) -> Walk:
    """A packet to the host itself leaves by lo and comes in again with its connection entry,
    for which the nat table has been asked already.
    """
    walker.packet = replace(walker.packet, out_link="lo")
    outcome = walker.hook("POSTROUTING")
    if outcome != "ACCEPT":
        return walker.end(outcome)
    walker.packet = replace(walker.packet, in_link="lo", out_link="")
    outcome = walker.hook("PREROUTING", translated=True)
    if outcome != "ACCEPT":
        return walker.end(outcome)
    return walker.end(walker.hook("INPUT", translated=True))
