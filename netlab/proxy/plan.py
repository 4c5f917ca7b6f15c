"""Decide what to write: from the lines in the kernel and the lines wanted to restore texts.

Upstream's counterpart is the end of kube-proxy's ``syncProxyRules``, which writes one text. So does
this, with two differences that the size asks for:

- A text with more than ``BATCH_CHAINS`` chains is split. The nft variant of iptables-restore
  looks through a list for each new chain: 20,000 take 10 s in one text, 1.6 s in forty.
  The order keeps every moment sound: chains are filled before anything jumps to them, and
  removed after nothing does.
- In a long chain, a few lines are inserted and deleted in place: writing the 5,000 lines of
  KUBE-SERVICES anew takes 0.34 s, changing one 0.06 to 0.1 s.

Rules for callers: apply the texts in order, stop at the first failure, and read the kernel's state
again before the next plan: an in-place edit counts on it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from netlab.net.savefile import Snapshot
from netlab.proxy import names
from netlab.proxy.book import ChainId, Lines
from netlab.proxy.frame import JUMPS, TABLES

BATCH_CHAINS = 500
LONG_CHAIN_LINES = 64
MOST_EDITS = 8

WANTED_JUMPS: Mapping[ChainId, Lines] = {
    hook: tuple(rule.spell() for rule in rules) for hook, rules in JUMPS.items()
}


@dataclass(frozen=True, slots=True)
class Written:
    """What the kernel holds of ours: chains, and per built-in chain the jumps to them."""

    chains: Mapping[ChainId, Lines]
    jumps: Mapping[ChainId, Lines]


@dataclass(frozen=True, slots=True)
class Change:
    """One chain to write (old None: it is new) or, with new None, to remove."""

    chain: ChainId
    old: Lines | None
    new: Lines | None


def read_written(snapshot: Snapshot) -> Written:
    """Return our part of what iptables-save printed.

    A jump to one of our chains from a chain that is not built in, or without our comment, is
    somebody else's.
    """
    chains: dict[ChainId, Lines] = {}
    jumps: dict[ChainId, Lines] = {}
    for table, saved in snapshot.tables.items():
        for chain in saved.values():
            if names.is_owned(chain.name):
                chains[table, chain.name] = chain.lines
            elif chain.policy is not None and (ours := tuple(filter(_is_our_jump, chain.lines))):
                jumps[table, chain.name] = ours
    return Written(chains, jumps)


def _is_our_jump(line: str) -> bool:
    # not by the whole line: another version of iptables may spell it otherwise, and a jump that
    # is not recognised would be added again and again
    matches, _, target = line.rpartition("-j ")
    ours = '--comment "kubernetes ' in matches or line == f"-j {names.FIREWALL}"
    return ours and names.is_owned(target)


def plan_changes(
    chains: Iterable[ChainId],
    wanted: Callable[[ChainId], Lines | None],
    written: Mapping[ChainId, Lines],
) -> list[Change]:
    """Return the changes that make ``chains`` hold what is wanted."""
    changes = []
    for chain in chains:
        old, new = written.get(chain), wanted(chain)
        if old != new:
            changes.append(Change(chain, old, new))
    return changes


def plan_restores(
    changes: Sequence[Change],
    jumps: Mapping[ChainId, Lines],
    wanted_jumps: Mapping[ChainId, Lines] = WANTED_JUMPS,
) -> list[str]:
    """Return the texts for iptables-restore, in order; none when nothing is to do.

    jumps: what the built-in chains hold of ours now.
    """
    hooks = {
        hook: (jumps.get(hook, ()), wanted_jumps.get(hook, ()))
        for hook in sorted({*jumps, *wanted_jumps})
        if jumps.get(hook, ()) != wanted_jumps.get(hook, ())
    }
    writes = sorted((c for c in changes if c.new is not None), key=_write_order)
    removals = sorted((c for c in changes if c.new is None), key=_write_order, reverse=True)
    if len(changes) <= BATCH_CHAINS:
        text = _spell(writes, hooks, removals)
        return [text] if text else []
    texts = [_spell(batch, {}, []) for batch in _batches(writes)]
    texts.append(_spell([], hooks, []))
    texts += [_spell([], {}, batch) for batch in _batches(removals)]
    return [text for text in texts if text]


def _write_order(change: Change) -> tuple[int, ChainId]:
    return names.rank(change.chain[1]), change.chain


def _batches(changes: Sequence[Change]) -> Iterable[Sequence[Change]]:
    for start in range(0, len(changes), BATCH_CHAINS):
        yield changes[start : start + BATCH_CHAINS]


def _spell(
    writes: Sequence[Change],
    hooks: Mapping[ChainId, tuple[Lines, Lines]],
    removals: Sequence[Change],
) -> str:
    parts: list[str] = []
    for table in TABLES:
        commands = _spell_table(
            [c for c in writes if c.chain[0] == table],
            {hook: lines for (where, hook), lines in hooks.items() if where == table},
            [c for c in removals if c.chain[0] == table],
        )
        if commands:
            parts += [f"*{table}", *commands, "COMMIT"]
    return "\n".join([*parts, ""]) if parts else ""


def _spell_table(
    writes: Sequence[Change],
    hooks: Mapping[str, tuple[Lines, Lines]],
    removals: Sequence[Change],
) -> list[str]:
    edits = {c.chain: edit_chain(c) for c in writes}
    declared = [c.chain[1] for c in writes if edits[c.chain] is None]
    declared += [c.chain[1] for c in removals]
    # in falling order: the nft variant keeps its list of chains sorted, searching from the front
    commands = [f":{name} - [0:0]" for name in sorted(declared, reverse=True)]
    for change in writes:
        edit = edits[change.chain]
        if edit is not None:
            commands += edit
        else:
            commands += [f"-A {change.chain[1]} {line}".rstrip() for line in change.new or ()]
    for hook, (old, new) in hooks.items():
        commands += [f"-D {hook} {line}" for line in old]
        commands += [f"-I {hook} {position} {line}" for position, line in enumerate(new, 1)]
    commands += [f"-X {c.chain[1]}" for c in removals]
    return commands


def edit_chain(change: Change) -> list[str] | None:
    """Return the commands that edit a long chain in place, or None to write it anew."""
    old, new, name = change.old, change.new, change.chain[1]
    if old is None or new is None or min(len(old), len(new)) < LONG_CHAIN_LINES:
        return None
    before, after = set(old), set(new)
    gone = [line for line in old if line not in after]
    come = [(position, line) for position, line in enumerate(new, 1) if line not in before]
    if len(gone) + len(come) > MOST_EDITS:
        return None
    if [line for line in old if line in after] != [line for line in new if line in before]:
        return None
    commands = [f"-D {name} {line}" for line in gone]
    return commands + [f"-I {name} {position} {line}" for position, line in come]
