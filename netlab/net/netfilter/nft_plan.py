"""Decide what to give to ``nft -f``: from the table that was written to the one wanted. Pure.

One text is one transaction: the kernel takes all of it or nothing, and no packet meets half of it.
Within it the order still matters: what is named must be there, and what goes must not be in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from netlab.net.netfilter.nft_tables import NftChain, NftMap, NftSet, NftTable

ELEMENTS_PER_COMMAND = 1000

_Holder: TypeAlias = NftSet | NftMap


@dataclass(slots=True)
class _Commands:
    """The commands by what they do, in the order in which they are given."""

    start: list[str] = field(default_factory=list)
    flush: list[str] = field(default_factory=list)
    take: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    make: list[str] = field(default_factory=list)
    fill: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return them as one text."""
        parts = (self.start, self.flush, self.take, self.drop, self.make, self.fill, self.rules)
        return "".join(f"{command}\n" for part in parts for command in part)


def plan_table(old: NftTable | None, new: NftTable) -> str:
    """Return the text that makes ``old`` into ``new``; "" when nothing is to do.

    old: None when it is not known what there is: the table is then made anew as a whole.
    """
    if old == new:
        return ""
    commands = _Commands()
    if old is None:
        # add before delete: deleting what is not there is refused
        commands.start = [f"add table {new.id}", f"delete table {new.id}", f"add table {new.id}"]
        old = NftTable(family=new.family, name=new.name)
    anew = _of_other_type(old.sets, new.sets) | _of_other_type(old.maps, new.maps)
    _plan_chains(commands, old, new, rewrite=bool(anew))
    _plan_holders(commands, "set", new.id, old.sets, new.sets)
    _plan_holders(commands, "map", new.id, old.maps, new.maps)
    return commands.text()


def plan_removal(table: NftTable) -> str:
    """Return the text that takes the table away, also when it is not there."""
    return f"add table {table.id}\ndelete table {table.id}\n"


def _plan_chains(commands: _Commands, old: NftTable, new: NftTable, *, rewrite: bool) -> None:
    """rewrite: all chains, because a set or map that some of them may look into is made anew."""
    gone = [name for name in old.chains if name not in new.chains]
    moved = [
        name
        for name, chain in new.chains.items()
        if name in old.chains and old.chains[name].hook != chain.hook
    ]
    changed = [
        name
        for name, chain in new.chains.items()
        if rewrite or moved or old.chains.get(name) != chain
    ]
    flushed = [*(name for name in changed if name in old.chains), *gone]
    commands.flush = [f"flush chain {new.id} {name}" for name in flushed]
    dropped = [f"delete chain {new.id} {name}" for name in [*gone, *moved]]
    # before the sets: a map may jump to a chain, and a rule look into a set
    commands.drop += dropped
    for name, chain in new.chains.items():
        if name not in old.chains or name in moved:
            commands.make.append(_add_chain(new.id, name, chain))
    for name in changed:
        rules = new.chains[name].rules
        commands.rules += [f"add rule {new.id} {name} {rule.text}" for rule in rules]


def _add_chain(table: str, name: str, chain: NftChain) -> str:
    hook = f" {{ {chain.hook.spell()} }}" if chain.hook is not None else ""
    return f"add chain {table} {name}{hook}"


def _of_other_type(old: Mapping[str, _Holder], new: Mapping[str, _Holder]) -> set[str]:
    """Return the names of those that are there before and after, but not of the same type."""
    return {
        name
        for name in new
        if name in old and (old[name].type, old[name].flags) != (new[name].type, new[name].flags)
    }


def _plan_holders(
    commands: _Commands,
    kind: str,
    table: str,
    old: Mapping[str, _Holder],
    new: Mapping[str, _Holder],
) -> None:
    anew = _of_other_type(old, new)
    for name, holder in old.items():
        kept = set(_spell(new[name])) if name in new and name not in anew else set()
        gone = sorted(set(_spell(holder)) - kept)
        commands.take += _elements("delete", table, name, gone)
        if name not in new or name in anew:
            commands.drop.append(f"delete {kind} {table} {name}")
    for name, holder in new.items():
        had: set[str] = set()
        if name in old and name not in anew:
            had = set(_spell(old[name]))
        else:
            flags = f" flags {holder.flags};" if holder.flags else ""
            commands.make.append(f"add {kind} {table} {name} {{ type {holder.type};{flags} }}")
        commands.fill += _elements("add", table, name, sorted(set(_spell(holder)) - had))


def _spell(holder: _Holder) -> list[str]:
    if isinstance(holder, NftSet):
        return list(holder.elements)
    return [f"{key} : {value}" for key, value in holder.elements.items()]


def _elements(verb: str, table: str, name: str, elements: list[str]) -> list[str]:
    return [
        f"{verb} element {table} {name} {{ {', '.join(elements[at : at + ELEMENTS_PER_COMMAND])} }}"
        for at in range(0, len(elements), ELEMENTS_PER_COMMAND)
    ]
