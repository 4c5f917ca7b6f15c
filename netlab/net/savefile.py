"""Read what ``iptables-save`` prints: chains with their rules as lines.

Rules stay text: netlab spells its own as iptables-save does, so comparing lines tells whether
the kernel holds what was written, and foreign rules need not be understood to be left alone.
Upstream's counterpart is kube-proxy's ``utiliptables.GetChainsFromTable``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# the counters that iptables-save -c puts before a rule
_COUNTED = re.compile(r"^\[(\d+):(\d+)\] ")


@dataclass(frozen=True, slots=True)
class SavedChain:
    """One chain: policy (None for a chain somebody made) and the rules without ``-A CHAIN``.

    packets, octets: per rule, how many it matched; empty when counters were not asked for.
    """

    name: str
    policy: str | None
    lines: tuple[str, ...] = ()
    packets: tuple[int, ...] = ()
    octets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the kernel held: chains by name, by table."""

    tables: Mapping[str, Mapping[str, SavedChain]] = field(default_factory=dict)

    def chain(self, table: str, name: str) -> SavedChain | None:
        """Return the chain, or None."""
        return self.tables.get(table, {}).get(name)


def parse_saved(text: str) -> Snapshot:
    """Return the chains in the output of ``iptables-save`` (with or without ``-c``)."""
    tables: dict[str, dict[str, SavedChain]] = {}
    policies: dict[str, str | None] = {}
    lines: dict[str, list[str]] = {}
    counters: dict[str, list[tuple[int, int]]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table, policies, lines, counters = line[1:].strip(), {}, {}, {}
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split(" ")
            policies[name] = None if policy == "-" else policy
            lines[name], counters[name] = [], []
        elif line.startswith("COMMIT"):
            tables[table] = {
                name: SavedChain(
                    name,
                    policy,
                    tuple(lines[name]),
                    tuple(packets for packets, _ in counters[name]),
                    tuple(octets for _, octets in counters[name]),
                )
                for name, policy in policies.items()
            }
        else:
            _add_rule(line, lines, counters)
    return Snapshot(tables)


def _add_rule(
    line: str, lines: dict[str, list[str]], counters: dict[str, list[tuple[int, int]]]
) -> None:
    counted = _COUNTED.match(line)
    rule = line[counted.end() :] if counted else line
    if not rule.startswith("-A "):
        return
    _, name, *rest = rule.split(" ", 2)
    lines[name].append(rest[0] if rest else "")
    if counted:
        counters[name].append((int(counted.group(1)), int(counted.group(2))))
