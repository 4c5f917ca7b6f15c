"""What the kernel holds of the sections' rules, as far as it was read or written. Pure.

The memory of the owner: with it a pass costs no reading. A rule that netlab wrote is kept as the
typed ``Rule`` that it is, with its origin; a line that was read and is not what is wanted, and
other programs' lines in the chains where netlab is a guest, stay text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from netlab.net.netfilter.section import ChainId, Rules, Section
from netlab.net.ruleset import Rule
from netlab.net.savefile import Snapshot

Line: TypeAlias = Rule | str
"""A rule of ours, or a line of somebody's as iptables-save prints it."""

Content: TypeAlias = tuple[Line, ...]


def spell(line: Line) -> str:
    """Return the line as iptables-save prints it, without ``-A CHAIN``."""
    return line if isinstance(line, str) else line.spell()


class Held:
    """Contents by chain, of one family; a chain that is missing here is not in the kernel."""

    def __init__(self) -> None:
        self.chains: dict[ChainId, Content] = {}

    def read(self, snapshot: Snapshot, sections: Sequence[Section]) -> None:
        """Take over what iptables-save printed of the sections' chains and of their hosts'."""
        wanted = _guest_rules(sections)
        made = {chain for section in sections for chain in section.ownership.makes}
        self.chains = {}
        for table, chains in snapshot.tables.items():
            for saved in chains.values():
                chain = (table, saved.name)
                if saved.policy is not None or chain in made:
                    if chain in wanted or chain in made:
                        self.chains[chain] = _type_guests(saved.lines, wanted.get(chain, {}))
                    continue
                owner = next((one for one in sections if one.owns(chain)), None)
                if owner is not None:
                    self.chains[chain] = _type_lines(saved.lines, owner.chain(chain))

    def rule(self, chain: ChainId, position: int) -> Rule | None:
        """Return our rule at a position, from 1 as iptables counts; None when it is not ours."""
        content = self.chains.get(chain, ())
        line = content[position - 1] if 0 < position <= len(content) else None
        return line if isinstance(line, Rule) else None


def _guest_rules(sections: Iterable[Section]) -> dict[ChainId, dict[str, Rule]]:
    found: dict[ChainId, dict[str, Rule]] = {}
    for section in sections:
        for chain, rules in section.guests().items():
            found.setdefault(chain, {}).update((rule.spell(), rule) for rule in rules)
    return found


def _type_guests(lines: Sequence[str], ours: dict[str, Rule]) -> Content:
    return tuple(ours.get(line, line) for line in lines)


def _type_lines(lines: tuple[str, ...], wanted: Rules | None) -> Content:
    if wanted is not None and len(wanted) == len(lines):
        same = all(rule.spell() == line for rule, line in zip(wanted, lines, strict=True))
        if same:
            return wanted
    return lines
