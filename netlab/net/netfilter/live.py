"""Tell whose rule a line of the kernel's is, with its counters. Pure.

What iptables prints has lost where a rule came from; the owner's memory has it. A line is matched
by its place where the chain is as remembered, else by its text among the rules wanted there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from netlab.net.netfilter.held import Held, spell
from netlab.net.netfilter.section import ChainId, Section
from netlab.net.ruleset import Origin, Rule
from netlab.net.savefile import SavedChain


class LiveRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in the kernel; origin and owner: None and "" for other programs' rules.

    table: of nftables with its family. position: from 1, as ``iptables -L --line-numbers`` counts.
    line: as iptables-save prints it, or as it was given to nft. rule: None for nftables.
    """

    table: str
    chain: str
    position: int
    line: str
    packets: int
    octets: int
    rule: Rule | None = None
    origin: Origin | None = None
    owner: str = ""


def match_live(
    chain: ChainId, saved: SavedChain, held: Held, sections: Sequence[Section]
) -> list[LiveRule]:
    """Return the chain's rules with their origins; saved: read with counters."""
    remembered = held.chains.get(chain, ())
    as_remembered = tuple(spell(line) for line in remembered) == saved.lines
    by_text = {} if as_remembered else _wanted_there(chain, sections)
    found = []
    for place, line in enumerate(saved.lines):
        kept = remembered[place] if as_remembered else by_text.get(line)
        rule = kept if isinstance(kept, Rule) else None
        found.append(
            LiveRule(
                table=chain[0],
                chain=chain[1],
                position=place + 1,
                line=line,
                packets=saved.packets[place],
                octets=saved.octets[place],
                rule=rule,
                origin=rule.origin if rule is not None else None,
                owner=_owner(chain, line, sections) if rule is not None else "",
            )
        )
    return found


def _wanted_there(chain: ChainId, sections: Sequence[Section]) -> Mapping[str, Rule]:
    found: dict[str, Rule] = {}
    for section in sections:
        if section.active:
            for rule in (*(section.chain(chain) or ()), *section.guests().get(chain, ())):
                found[rule.spell()] = rule
    return found


def _owner(chain: ChainId, line: str, sections: Sequence[Section]) -> str:
    for section in sections:
        if section.owns(chain) or section.ownership.claims(chain, line):
            return section.name
    return ""
