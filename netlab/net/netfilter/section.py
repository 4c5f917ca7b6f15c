"""What one owner of rules wants: typed chains, put together part by part. Pure.

A change of one part among thousands must cost as little as that part: its own chains are compared
anew, and of the section's common chains (such as KUBE-SERVICES) only those to which its
contribution changed are put together again. Upstream's counterpart is kube-proxy's partial sync
(KEP-3453).

A section has chains of its own, and is a guest in chains of others: rules at the head or the end of
PREROUTING, or entries in a chain that several programs share.

Rules for callers: parts stand in order of their keys, so equal parts give equal chains whatever the
history. ``Netfilter`` reads sections; only their owner changes them.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from netlab.net.addresses import Family
from netlab.net.ruleset import Chain, Rule, RuleSet, make_rule_set

ChainId: TypeAlias = tuple[str, str]
"""(table, chain)."""

Rules: TypeAlias = tuple[Rule, ...]

PartKey: TypeAlias = tuple[Any, ...]
"""What orders the parts of a section, such as (namespace, name)."""


def _never(_: str) -> bool:
    return False


def _nothing(_: ChainId, __: str) -> bool:
    return False


def _flat(_: str) -> int:
    return 0


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """Whose chains and rules are whose.

    owns: whether a chain of that name is the section's alone, whoever made it; such chains are
    removed when they are not wanted. claims: whether a line of another's chain is the section's,
    however it is spelt there. rank: greater than those of the chains that a chain jumps to.
    makes: chains that are made when missing but that others may use too. at_end: chains in which
    the section's rules stand behind those that are there, not before.
    """

    name: str
    owns: Callable[[str], bool] = _never
    claims: Callable[[ChainId, str], bool] = _nothing
    rank: Callable[[str], int] = _flat
    makes: frozenset[ChainId] = frozenset()
    at_end: frozenset[ChainId] = frozenset()


NO_RULES: Mapping[ChainId, Rules] = MappingProxyType({})


class Part(msgspec.Struct, frozen=True):
    """What one object contributes: to common chains, own chains, entries in others' chains."""

    common: Mapping[ChainId, Rules] = NO_RULES
    own: Mapping[ChainId, Rules] = NO_RULES
    guests: Mapping[ChainId, Rules] = NO_RULES


NOTHING = Part()


class Section:
    """The wanted chains of one owner, in one family.

    common: the rules at the head of chains that exist with and without parts; last: those behind
    all parts'. guests: rules in chains of others. As long as ``active`` is False nothing of the
    section is wanted, and nothing of it is touched.
    """

    def __init__(
        self,
        ownership: Ownership,
        *,
        common: Mapping[ChainId, Rules] = {},
        last: Mapping[ChainId, Rules] = {},
        guests: Mapping[ChainId, Rules] = {},
        family: Family = 4,
    ) -> None:
        self.ownership = ownership
        self.family = family
        self.active = False
        self._common = dict(common)
        self._last = dict(last)
        self._guests = dict(guests)
        self._keys: list[PartKey] = []
        self._parts: dict[PartKey, Part] = {}
        self._own: dict[ChainId, Rules] = {}
        # how many parts have guests: usually none, and there may be thousands of parts
        self._entries = 0
        # chains that are wanted no more but may be in the kernel still
        self._gone: set[ChainId] = set()
        self._changed: set[ChainId] = set(common)
        self._guests_changed = bool(guests)

    @property
    def name(self) -> str:
        """Whose section it is."""
        return self.ownership.name

    def __len__(self) -> int:
        return len(self._common) + len(self._own)

    def parts(self) -> Mapping[PartKey, Part]:
        """Return the parts by key."""
        return self._parts

    def put(self, key: PartKey, part: Part) -> None:
        """Set one part; NOTHING removes it."""
        old = self._parts.get(key, NOTHING)
        for before, after in ((old.own, part.own), (old.common, part.common)):
            for chain in {*before, *after}:
                if before.get(chain) != after.get(chain):
                    self._changed.add(chain)
        self._guests_changed = self._guests_changed or old.guests != part.guests
        self._entries += bool(part.guests) - bool(old.guests)
        for chain in old.own:
            self._own.pop(chain, None)
        self._gone.update(chain for chain in old.own if chain not in part.own)
        self._gone.difference_update(part.own)
        self._own.update(part.own)
        if part == NOTHING:
            if self._parts.pop(key, None) is not None:
                self._keys.pop(bisect.bisect_left(self._keys, key))
            return
        if key not in self._parts:
            bisect.insort(self._keys, key)
        self._parts[key] = part

    def owns(self, chain: ChainId) -> bool:
        """True for a chain that nobody else has rules in."""
        return (
            chain in self._own
            or chain in self._common
            or chain in self._gone
            or self.ownership.owns(chain[1])
        )

    def chain(self, chain: ChainId) -> Rules | None:
        """Return what a chain of the section's own shall hold; None when it shall not exist."""
        own = self._own.get(chain)
        if own is not None:
            return own
        head = self._common.get(chain)
        if head is None:
            return None
        rules = list(head)
        for key in self._keys:
            added = self._parts[key].common.get(chain)
            if added:
                rules += added
        rules += self._last.get(chain, ())
        return tuple(rules)

    def chains(self) -> Iterator[ChainId]:
        """Yield every chain of the section's own that shall exist."""
        yield from self._common
        yield from self._own

    def guests(self) -> dict[ChainId, Rules]:
        """Return the rules that shall stand in chains of others."""
        found = dict(self._guests)
        for chain, rules in self.entries().items():
            found[chain] = found.get(chain, ()) + rules
        return found

    def entries(self) -> dict[ChainId, Rules]:
        """Return those of the guests that are there for some part."""
        found: dict[ChainId, list[Rule]] = {}
        if self._entries:
            for key in self._keys:
                for chain, rules in self._parts[key].guests.items():
                    found.setdefault(chain, []).extend(rules)
        return {chain: tuple(rules) for chain, rules in found.items()}

    def take_changed(self) -> tuple[set[ChainId], bool]:
        """Return the own chains that changed since the last call, and whether the guests did."""
        changed, guests = self._changed, self._guests_changed
        self._changed, self._guests_changed = set(), False
        return changed, guests

    def has_changed(self) -> bool:
        """True when ``take_changed`` would tell something."""
        return bool(self._changed) or self._guests_changed

    def forget_gone(self, chains: frozenset[ChainId]) -> None:
        """Take it as known that these removed chains are in the kernel no more."""
        self._gone -= chains

    def rule_set(self) -> RuleSet:
        """Return everything that is wanted, each rule with its origin."""
        chains = [
            (table, Chain(name, self.chain((table, name)) or ())) for table, name in self.chains()
        ]
        for (table, name), rules in self.guests().items():
            policy = None if (table, name) in self.ownership.makes else "ACCEPT"
            chains.append((table, Chain(name, rules, policy)))
        return make_rule_set(chains)
