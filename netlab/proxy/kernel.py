"""Write the wanted chains into the kernel, only what differs, and notice foreign changes.

The I/O half of kube-proxy's sync. Remembers what was written, so that a pass costs no reading;
reads everything back when that memory is doubtful: at the start, after a failure, and when the
rule set's generation says that somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from netlab.net.iptables import Iptables
from netlab.proxy.book import ChainId, Lines, RuleBook
from netlab.proxy.plan import (
    WANTED_JUMPS,
    Change,
    Written,
    plan_changes,
    plan_restores,
    read_written,
)


@dataclass(frozen=True, slots=True)
class WriteCount:
    """How many chains a pass wrote and removed, with how many restores."""

    written: int
    removed: int
    restores: int


class KernelRules:
    """The proxy's chains in one network namespace."""

    def __init__(self, iptables: Iptables) -> None:
        self._iptables = iptables
        self._chains: dict[ChainId, Lines] = {}
        self._jumps: Mapping[ChainId, Lines] = {}
        self._generation: int | None = None
        self.known = False

    async def read(self) -> None:
        """Learn what the kernel holds.

        Raises: NetworkError when it cannot be read.
        """
        self._generation = await self._iptables.generation()
        written = read_written(await self._iptables.save())
        self._chains = dict(written.chains)
        self._jumps = written.jumps
        self.known = True

    def chains(self) -> Iterable[ChainId]:
        """Return the chains that the kernel holds of ours."""
        return list(self._chains)

    async def write(self, book: RuleBook, chains: Iterable[ChainId]) -> WriteCount:
        """Make the given chains hold what the book says.

        Raises: NetworkError when a restore is refused; the kernel's state is unknown then.
        """
        changes = plan_changes(chains, book.lines, self._chains)
        restores = plan_restores(changes, self._jumps)
        try:
            for text in restores:
                await self._iptables.restore(text)
        except BaseException:  # also when cancelled: part of it may have been written
            self.known = False
            raise
        self._remember(changes)
        if restores:
            self._generation = await self._iptables.generation()
        removed = sum(change.new is None for change in changes)
        return WriteCount(len(changes) - removed, removed, len(restores))

    def _remember(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.new is None:
                self._chains.pop(change.chain, None)
            else:
                self._chains[change.chain] = change.new
        self._jumps = WANTED_JUMPS

    async def changed_by_others(self) -> bool | None:
        """True when somebody else changed rules since the last read or write; None: cannot tell.

        Raises: NetworkError when the kernel cannot be asked.
        """
        generation = await self._iptables.generation()
        return None if generation is None else generation != self._generation


async def remove_rules(netns: Path | None, *, tool: str = "iptables") -> None:
    """Remove every chain of the proxy and the jumps to them, and nothing else. Idempotent.

    The nft variant's tables stay even when nothing is left in them: see
    ``Iptables.remove_empty_tables``.

    Raises: NetworkError when the kernel refuses, for example because a foreign rule jumps to one
    of the chains.
    """
    iptables = Iptables(netns, tool=tool)
    written = read_written(await iptables.save())
    for text in plan_removal(written):
        await iptables.restore(text)


def plan_removal(written: Written) -> list[str]:
    """Return the texts that remove the jumps first and then the chains."""
    changes = [Change(chain, lines, None) for chain, lines in written.chains.items()]
    return plan_restores([], written.jumps, {}) + plan_restores(changes, {}, {})
