"""Tables of nftables as values: chains, rules with their origin, sets and maps. Pure.

What NetworkPolicies and kube-proxy's nftables mode are made of. Where an iptables chain is walked
rule by rule, a set or map is looked up once, whatever its size, and is changed element by element
without touching a rule. Upstream's counterpart is kubernetes-sigs/knftables.

Rules for callers: all types are frozen. A rule is written as nft(8) reads it, without ``add
rule``; it may name chains, sets and maps of its own table alone. Elements are written as nft prints
them.
Left out: flowtables, objects with names, timeouts of elements.

Source: nft(8)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from netlab.net.ruleset import Origin

NftFamily: TypeAlias = Literal["ip", "ip6", "inet"]


class NftRule(msgspec.Struct, frozen=True, gc=False):
    """One rule, such as ``ip daddr @blocked counter drop``; ``counter`` has it count."""

    text: str
    origin: Origin


class NftHook(msgspec.Struct, frozen=True, gc=False):
    """Where the kernel enters a chain: type filter, nat or route; priority as nft writes it."""

    type: str
    hook: str
    priority: str
    policy: str = "accept"

    def spell(self) -> str:
        """Return what stands between the braces of ``add chain``."""
        return f"type {self.type} hook {self.hook} priority {self.priority}; policy {self.policy};"


class NftChain(msgspec.Struct, frozen=True):
    """Rules in order; hook None for a chain that others jump to."""

    rules: tuple[NftRule, ...] = ()
    hook: NftHook | None = None


class NftSet(msgspec.Struct, frozen=True):
    """A set. type: of its elements, such as ``ipv4_addr . inet_service``; flags: ``interval``."""

    type: str
    elements: frozenset[str] = frozenset()
    flags: str = ""


class NftMap(msgspec.Struct, frozen=True):
    """A map. type: of keys and values, such as ``ipv4_addr : verdict``."""

    type: str
    elements: Mapping[str, str] = {}
    flags: str = ""


class NftTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table, which belongs to its owner alone."""

    family: NftFamily
    name: str
    chains: Mapping[str, NftChain] = {}
    sets: Mapping[str, NftSet] = {}
    maps: Mapping[str, NftMap] = {}

    @property
    def id(self) -> str:
        """Family and name, as nft writes them."""
        return f"{self.family} {self.name}"
