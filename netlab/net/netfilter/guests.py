"""Decide how rules are put into a chain that others have rules in too. Pure.

PREROUTING belongs to nobody: kube-proxy, a CNI plugin and Docker all have rules there. Ours are put
at its head or its end, in the order of their sections; what others have stays where it is, in its
own order, and a rule of ours that is there already is not moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netlab.net.netfilter.held import Content, Line, spell
from netlab.net.ruleset import Rule


@dataclass(frozen=True, slots=True)
class Placed:
    """The commands to give, and what the chain holds then."""

    commands: tuple[str, ...]
    content: Content


def place_guests(
    name: str,
    held: Content,
    claims: Callable[[str], bool],
    head: Sequence[Rule],
    tail: Sequence[Rule],
) -> Placed:
    """Return how the chain comes to hold ``head`` and ``tail``, each in its order.

    claims: whether a line that is there is ours, wanted or not. Lines that are ours and not wanted
    are deleted; when those that are there stand in another order, all of ours are put anew.
    """
    wanted = {rule.spell(): rule for rule in (*head, *tail)}
    there = [spell(line) for line in held]
    ours = [line for line in there if line in wanted or claims(line)]
    kept = [line for line in ours if line in wanted]
    in_order = [text for text in wanted if text in set(kept)]
    gone = [line for line in ours if line not in wanted] if kept == in_order else ours
    now: list[Line] = [wanted.get(text, text) for text in there]
    commands = []
    for text in gone:
        now.pop(next(n for n, line in enumerate(now) if spell(line) == text))
        commands.append(f"-D {name} {text}")
    present = {spell(line) for line in now}
    for position, rule in enumerate(head):
        if rule.spell() not in present:
            place = _after(now, head[position - 1]) if position else 0
            now.insert(place, rule)
            commands.append(f"-I {name} {place + 1} {rule.spell()}")
    for position, rule in enumerate(tail):
        if rule.spell() in present:
            continue
        behind = next((one for one in tail[position + 1 :] if one.spell() in present), None)
        place = len(now) if behind is None else _after(now, behind) - 1
        now.insert(place, rule)
        at = f"-A {name}" if place == len(now) - 1 else f"-I {name} {place + 1}"
        commands.append(f"{at} {rule.spell()}")
    return Placed(tuple(commands), tuple(now))


def _after(lines: Sequence[Line], rule: Rule) -> int:
    return next(n for n, line in enumerate(lines, 1) if line == rule)
