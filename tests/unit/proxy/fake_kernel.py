"""iptables in memory: understands the restore texts that the plan writes, and refuses bad ones."""

from __future__ import annotations

from collections.abc import Mapping

from netlab.errors import NetworkError
from netlab.net.ruleset import TABLE_HOOKS
from netlab.net.savefile import SavedChain, Snapshot


class FakeIptables:
    """A working ``Iptables``; each table of a text is taken as a whole or not at all."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {
            table: {hook: [] for hook in hooks} for table, hooks in TABLE_HOOKS.items()
        }
        self.texts: list[str] = []
        self.number = 0
        self.refuse: str | None = None

    async def variant(self) -> str:
        return "nf_tables"

    async def generation(self) -> int:
        return self.number

    async def save(self, table: str | None = None, *, counters: bool = False) -> Snapshot:
        return Snapshot(
            {
                table: {
                    name: SavedChain(name, self._policy(table, name), tuple(lines))
                    for name, lines in chains.items()
                }
                for table, chains in self.tables.items()
            }
        )

    def _policy(self, table: str, name: str) -> str | None:
        return "ACCEPT" if name in TABLE_HOOKS[table] else None

    async def restore(self, text: str) -> None:
        if self.refuse is not None:
            raise NetworkError(self.refuse)
        self.texts.append(text)
        table = ""
        chains: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:]
                chains = {name: list(rules) for name, rules in self.tables[table].items()}
            elif line == "COMMIT":
                self._check(chains)
                self.tables[table] = chains
                self.number += 1
            else:
                self._apply(line, chains)

    def _apply(self, line: str, chains: dict[str, list[str]]) -> None:
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
            assert 1 <= int(position) <= len(chains[name]) + 1, line
            chains[name].insert(int(position) - 1, rule)
        elif command == "-D":
            if rule not in chains[name]:
                raise NetworkError(f"no rule: {line}")
            chains[name].remove(rule)
        else:
            assert command == "-X", line
            if chains[name]:
                raise NetworkError(f"not empty: {line}")
            del chains[name]

    def _check(self, chains: Mapping[str, list[str]]) -> None:
        targets = ("ACCEPT", "DROP", "RETURN", "REJECT", "DNAT", "MASQUERADE", "MARK")
        for rules in chains.values():
            for rule in rules:
                target = rule.rpartition("-j ")[2].split(" ")[0] if "-j " in rule else ""
                if target and target not in targets and target not in chains:
                    raise NetworkError(f"no chain to jump to: {rule}")
