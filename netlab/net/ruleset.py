"""A rule set in memory: tables, chains and rules, each rule with the object it came from.

What the kernel holds after an ``iptables-restore``, but typed, so that it can be compared, walked
(``walk``) and explained. Rules are spelt exactly as ``iptables-save`` spells them: what is read
back from the kernel equals what was rendered. Upstream's counterpart is the text that kube-proxy
``pkg/proxy/iptables`` assembles without keeping its meaning.

Rules for callers: all types are frozen. The order of ``Rule.matches`` is the order on the command
line, which ``iptables-save`` keeps. A rule is of the family that its addresses are of. Left out:
ipset, and matches no component uses. Pure.

Source: iptables(8), iptables-extensions(8)
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

import msgspec

from netlab.net.addresses import Address, Family, Network

HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
TABLE_HOOKS: Mapping[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": HOOKS,
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
# xt_statistic keeps a probability as a 32-bit number of which 2^31 means always
PROBABILITY_ONE = 0x80000000

WHOLE_ADDRESS: Mapping[Family, str] = {
    4: "255.255.255.255",
    6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
}

_PLAIN = frozenset(string.ascii_letters + string.digits + "_-")


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The API object a rule came from, and why; kind "" means netlab itself."""

    kind: str
    namespace: str
    name: str
    reason: str = ""


class Net(msgspec.Struct, frozen=True, gc=False):
    """A source or destination range, or everything but it.

    network: one address stands for itself; thousands of rules name one, and its range would take
    six times the memory.
    """

    network: Network | Address
    inverted: bool = False

    def __contains__(self, address: Address) -> bool:
        """True when the address is one that the rule is for."""
        if isinstance(self.network, IPv4Network | IPv6Network):
            return (address in self.network) != self.inverted
        return (address == self.network) != self.inverted

    def spell(self, flag: str) -> str:
        """Return ``-s 10.0.0.0/8`` or ``! -s 10.0.0.0/8``."""
        text = str(self.network)
        if "/" not in text:
            text = f"{text}/{self.network.max_prefixlen}"
        return f"{'! ' if self.inverted else ''}{flag} {text}"


class Comment(msgspec.Struct, frozen=True, gc=False):
    """A note that is kept with the rule; matches always."""

    text: str

    def spell(self) -> str:
        """Return the match as iptables-save prints it; quoted only when it must be."""
        words = self.text if _is_word(self.text) else f'"{_escape(self.text)}"'
        return f"-m comment --comment {words}"


class ConntrackState(msgspec.Struct, frozen=True, gc=False):
    """The packet's connection is in one of the states; DNAT and SNAT tell of translation."""

    states: tuple[str, ...]
    inverted: bool = False

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        sign = "! " if self.inverted else ""
        return f"-m conntrack {sign}--ctstate {','.join(self.states)}"


class Port(msgspec.Struct, frozen=True, gc=False):
    """The packet has the protocol and, where given, the ports."""

    protocol: str
    destination: int | None = None
    source: int | None = None

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        spelt = f"-m {self.protocol}"
        if self.source is not None:
            spelt += f" --sport {self.source}"
        if self.destination is not None:
            spelt += f" --dport {self.destination}"
        return spelt


class Multiport(msgspec.Struct, frozen=True, gc=False):
    """The packet's destination port is one of up to 15."""

    destinations: tuple[int, ...]

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        return f"-m multiport --dports {','.join(map(str, self.destinations))}"


class AddressType(msgspec.Struct, frozen=True, gc=False):
    """The packet's source or destination is of a type such as LOCAL: an address of this host."""

    source: str | None = None
    destination: str | None = None

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        spelt = "-m addrtype"
        if self.source is not None:
            spelt += f" --src-type {self.source}"
        if self.destination is not None:
            spelt += f" --dst-type {self.destination}"
        return spelt


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The packet's mark, under the mask, has (or has not) the value."""

    value: int
    mask: int
    inverted: bool = False

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        return f"-m mark {'! ' if self.inverted else ''}--mark {self.value:#x}/{self.mask:#x}"


class Statistic(msgspec.Struct, frozen=True, gc=False):
    """Matches at random, with a probability between 0 and 1."""

    probability: float

    def spell(self) -> str:
        """Return the match as iptables-save prints it: what the kernel made of the number."""
        kept = round(self.probability * PROBABILITY_ONE) / PROBABILITY_ONE
        return f"-m statistic --mode random --probability {kept:.11f}"


class Recent(msgspec.Struct, frozen=True, gc=False):
    """The list of recently seen sources: ``set`` adds the source, ``rcheck`` looks it up.

    seconds: for rcheck, how long ago at most; reap drops entries that are older.
    """

    name: str
    action: str
    seconds: int | None = None
    reap: bool = False
    family: Family = 4

    def spell(self) -> str:
        """Return the match as iptables-save prints it."""
        spelt = f"-m recent --{self.action}"
        if self.seconds is not None:
            spelt += f" --seconds {self.seconds}"
        if self.reap:
            spelt += " --reap"
        return f"{spelt} --name {self.name} --mask {WHOLE_ADDRESS[self.family]} --rsource"


Match: TypeAlias = (
    Comment | ConntrackState | Port | Multiport | AddressType | Mark | Statistic | Recent
)


class Jump(msgspec.Struct, frozen=True, gc=False):
    """Go on in another chain of the table, and come back at its end."""

    chain: str

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        return f"-j {self.chain}"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """ACCEPT, DROP or RETURN."""

    name: str

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        return f"-j {self.name}"


class Reject(msgspec.Struct, frozen=True, gc=False):
    """Drop, and answer with an ICMP message; ``icmp6-port-unreachable`` for IPv6."""

    answer: str = "icmp-port-unreachable"

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        return f"-j REJECT --reject-with {self.answer}"


class Dnat(msgspec.Struct, frozen=True, gc=False):
    """Change where the connection goes."""

    address: Address
    port: int

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        host = f"{self.address}" if self.address.version == 4 else f"[{self.address}]"
        return f"-j DNAT --to-destination {host}:{self.port}"


class Masquerade(msgspec.Struct, frozen=True, gc=False):
    """Change the connection's source to the address of the link it leaves by."""

    random_fully: bool = True

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        return "-j MASQUERADE --random-fully" if self.random_fully else "-j MASQUERADE"


class SetMark(msgspec.Struct, frozen=True, gc=False):
    """Clear the mask's bits in the packet's mark, then flip those of value; goes on."""

    value: int
    mask: int

    def spell(self) -> str:
        """Return the target as iptables-save prints it."""
        return f"-j MARK --set-xmark {self.value:#x}/{self.mask:#x}"


Target: TypeAlias = Jump | Verdict | Reject | Dnat | Masquerade | SetMark

ACCEPT = Verdict("ACCEPT")
DROP = Verdict("DROP")
RETURN = Verdict("RETURN")


class Rule(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One rule: where all of it matches, the target acts. Without a target it only counts."""

    origin: Origin
    target: Target | None = None
    source: Net | None = None
    destination: Net | None = None
    in_link: str | None = None
    out_link: str | None = None
    protocol: str | None = None
    matches: tuple[Match, ...] = ()

    def spell(self) -> str:
        """Return the rule as iptables-save prints it, without ``-A CHAIN``."""
        parts = []
        if self.source is not None:
            parts.append(self.source.spell("-s"))
        if self.destination is not None:
            parts.append(self.destination.spell("-d"))
        if self.in_link is not None:
            parts.append(f"-i {self.in_link}")
        if self.out_link is not None:
            parts.append(f"-o {self.out_link}")
        if self.protocol is not None:
            parts.append(f"-p {self.protocol}")
        parts.extend(match.spell() for match in self.matches)
        if self.target is not None:
            parts.append(self.target.spell())
        return " ".join(parts)


class Chain(msgspec.Struct, frozen=True, gc=False):
    """Rules in order; policy is the verdict at the end of a built-in chain, None for others."""

    name: str
    rules: tuple[Rule, ...] = ()
    policy: str | None = None

    def lines(self) -> tuple[str, ...]:
        """Return the rules as iptables-save prints them, without ``-A CHAIN``."""
        return tuple(rule.spell() for rule in self.rules)


class RuleSet(msgspec.Struct, frozen=True, gc=False):
    """Chains by name, by table. A table or built-in chain that is missing accepts everything."""

    tables: Mapping[str, Mapping[str, Chain]]

    def chain(self, table: str, name: str) -> Chain | None:
        """Return the chain, or None."""
        return self.tables.get(table, {}).get(name)

    def rules(self) -> Iterable[tuple[str, Chain, Rule]]:
        """Yield (table, chain, rule) in order."""
        for table, chains in self.tables.items():
            for chain in chains.values():
                for rule in chain.rules:
                    yield table, chain, rule


def make_rule_set(chains: Iterable[tuple[str, Chain]]) -> RuleSet:
    """Return the rule set of (table, chain) pairs; chains of one name in one table are joined."""
    tables: dict[str, dict[str, Chain]] = {}
    for table, chain in chains:
        present = tables.setdefault(table, {}).get(chain.name)
        if present is not None:
            policy = present.policy or chain.policy
            chain = Chain(chain.name, present.rules + chain.rules, policy)
        tables[table][chain.name] = chain
    return RuleSet(tables)


def merge_rule_sets(*rule_sets: RuleSet) -> RuleSet:
    """Return one rule set; of a chain in several, the rules of the earlier set come first."""
    return make_rule_set(
        (table, chain)
        for rule_set in rule_sets
        for table, chains in rule_set.tables.items()
        for chain in chains.values()
    )


def render_rule_set(rule_set: RuleSet) -> str:
    """Return the text that iptables-save prints (without its comment lines and counters).

    Built-in chains first, in the order of the packet's way, then the others by name.
    """
    lines: list[str] = []
    for table, chains in rule_set.tables.items():
        lines.append(f"*{table}")
        builtin = [hook for hook in TABLE_HOOKS[table] if hook in chains]
        names = builtin + sorted(name for name in chains if name not in builtin)
        lines += [f":{name} {chains[name].policy or '-'} [0:0]" for name in names]
        lines += [f"-A {name} {line}" for name in names for line in chains[name].lines()]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def _is_word(value: str) -> bool:
    """True for text that iptables-save prints without quotes."""
    return bool(value) and all(letter in _PLAIN for letter in value)


def _escape(value: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\\"'" else letter for letter in value)
