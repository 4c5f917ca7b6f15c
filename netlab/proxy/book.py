"""The lines that each of the proxy's chains shall hold, kept up to date Service by Service.

A change of one Service among thousands must cost as little as that Service: its own chains are
spelt anew, and of the common chains (KUBE-SERVICES, KUBE-NODEPORTS, …) only those to which its
contribution changed are put together again. Upstream's counterpart is kube-proxy's partial sync
(KEP-3453).

Rules for callers: plain data, no I/O. In common chains Services stand in order of namespace and
name, so equal objects give equal chains whatever the history. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from netlab.proxy.frame import FIXED, LAST
from netlab.proxy.rules import PortRules

ChainId: TypeAlias = tuple[str, str]
"""(table, chain)."""

Lines: TypeAlias = tuple[str, ...]
"""Rules of a chain as iptables-save prints them, without ``-A CHAIN``."""

ServiceKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""


class ServiceLines(msgspec.Struct, frozen=True, gc=False):
    """One Service's contributions to common chains, and its own chains."""

    shared: Mapping[ChainId, Lines] = {}
    own: Mapping[ChainId, Lines] = {}


NOTHING = ServiceLines()


def spell_service(ports: Iterable[PortRules]) -> ServiceLines:
    """Return the rules of a Service's ports as lines."""
    shared: dict[ChainId, list[str]] = {}
    own: dict[ChainId, Lines] = {}
    for port in ports:
        for key, rule in port.shared:
            shared.setdefault(key, []).append(rule.spell())
        for chain in port.chains:
            own["nat", chain.name] = chain.lines()
    return ServiceLines({key: tuple(lines) for key, lines in shared.items()}, own)


class RuleBook:
    """Lines by chain. ``put`` changes one Service; ``take_changed`` tells which chains to write."""

    def __init__(self) -> None:
        self._services: dict[ServiceKey, ServiceLines] = {}
        self._own: dict[ChainId, Lines] = {}
        self._fixed = {key: tuple(r.spell() for r in rules) for key, rules in FIXED.items()}
        self._last = {key: tuple(r.spell() for r in rules) for key, rules in LAST.items()}
        self._changed: set[ChainId] = set(FIXED)

    def __len__(self) -> int:
        return len(self._fixed) + len(self._own)

    def put(self, key: ServiceKey, lines: ServiceLines) -> None:
        """Set a Service's lines; NOTHING removes it."""
        old = self._services.get(key, NOTHING)
        for chain in {*old.own, *lines.own}:
            if old.own.get(chain) != lines.own.get(chain):
                self._changed.add(chain)
        for chain in {*old.shared, *lines.shared}:
            if old.shared.get(chain) != lines.shared.get(chain):
                self._changed.add(chain)
        for chain in old.own:
            self._own.pop(chain, None)
        self._own.update(lines.own)
        if lines.own or lines.shared:
            self._services[key] = lines
        else:
            self._services.pop(key, None)

    def lines(self, chain: ChainId) -> Lines | None:
        """Return what the chain shall hold; None when it shall not exist."""
        if chain in self._own:
            return self._own[chain]
        if chain not in self._fixed:
            return None
        lines = list(self._fixed[chain])
        for key in sorted(self._services):
            lines += self._services[key].shared.get(chain, ())
        lines += self._last.get(chain, ())
        return tuple(lines)

    def chains(self) -> Iterator[ChainId]:
        """Yield every chain that shall exist."""
        yield from self._fixed
        yield from self._own

    def take_changed(self) -> set[ChainId]:
        """Return the chains that changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed
