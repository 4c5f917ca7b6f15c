"""iptables in memory: understands the restore texts that the plan writes, and refuses bad ones.

Stands beside ``backend.Backend``, which it is, as knftables' fake stands beside its interface:
tests of whoever registers a section use this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from netlab.errors import NetworkError
from netlab.net.netfilter.backend import Variant
from netlab.net.ruleset import TABLE_HOOKS
from netlab.net.savefile import SavedChain, Snapshot

TARGETS = ("ACCEPT", "DROP", "RETURN", "REJECT", "DNAT", "MASQUERADE", "MARK")


class FakeIptables:
    """A working ``Backend``; each table of a text is taken as a whole or not at all.

    tables: the rules by chain, by table; a test may change them, as another program would, and
    raise ``number``, the generation. texts: what was restored. reads: how often it was all read.
    refuse: texts that hold this word are refused.
    """

    def __init__(self, *, variant: Variant = "nf_tables") -> None:
        self.tables: dict[str, dict[str, list[str]]] = {
            table: {hook: [] for hook in hooks} for table, hooks in TABLE_HOOKS.items()
        }
        self.texts: list[str] = []
        self.number = 0
        self.reads = 0
        self.refuse: str | None = None
        self._variant: Variant = variant

    async def variant(self) -> Variant:
        return self._variant

    async def generation(self) -> int | None:
        return None if self._variant == "legacy" else self.number

    async def save(self, table: str | None = None, *, counters: bool = False) -> Snapshot:
        self.reads += 1
        return Snapshot(
            {
                name: {chain: self._saved(name, chain, counters) for chain in chains}
                for name, chains in self.tables.items()
                if table in (None, name)
            }
        )

    def _saved(self, table: str, name: str, counters: bool) -> SavedChain:
        lines = tuple(self.tables[table][name])
        policy = "ACCEPT" if name in TABLE_HOOKS[table] else None
        zeros = (0,) * len(lines) if counters else ()
        return SavedChain(name, policy, lines, zeros, zeros)

    async def restore(self, text: str) -> None:
        await asyncio.sleep(0)
        if self.refuse is not None and self.refuse in text:
            raise NetworkError(f"refused: {self.refuse}")
        self.texts.append(text)
        table = ""
        chains: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:]
                chains = {name: list(rules) for name, rules in self.tables[table].items()}
            elif line == "COMMIT":
                _check(chains)
                self.tables[table] = chains
                self.number += 1
            else:
                _apply(line, chains)

    def change(self, table: str, chain: str, lines: list[str]) -> None:
        """Have a chain hold other lines, as if somebody else had written them."""
        self.tables[table][chain] = lines
        self.number += 1

    def close(self) -> None:
        """Nothing is open."""


def _apply(line: str, chains: dict[str, list[str]]) -> None:
    if line.startswith(":"):
        chains[line[1:].split()[0]] = []
        return
    command, name, *rest = line.split(" ", 2)
    rule = rest[0] if rest else ""
    if name not in chains:
        raise NetworkError(f"no chain: {line}")
    if command == "-A":
        chains[name].append(rule)
    elif command == "-I":
        position, rule = rule.split(" ", 1)
        if not 1 <= int(position) <= len(chains[name]) + 1:
            raise NetworkError(f"no such place: {line}")
        chains[name].insert(int(position) - 1, rule)
    elif command == "-D":
        if rule not in chains[name]:
            raise NetworkError(f"no rule: {line}")
        chains[name].remove(rule)
    elif command == "-X" and not chains[name]:
        del chains[name]
    else:
        raise NetworkError(f"cannot: {line}")


def _check(chains: Mapping[str, list[str]]) -> None:
    for rules in chains.values():
        for rule in rules:
            target = rule.rpartition("-j ")[2].split(" ")[0] if "-j " in rule else ""
            if target and target not in TARGETS and target not in chains:
                raise NetworkError(f"no chain to jump to: {rule}")
