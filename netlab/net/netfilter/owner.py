"""The owner of a namespace's rules: one memory, one writer, one guard.

Components register a ``Section`` each and change its parts; the owner writes what differs,
remembers what it wrote as typed rules, and reads everything back only when the memory is doubtful:
at the start, after a failure, and when somebody else wrote. No component of Kubernetes does this:
there kube-proxy, the CNI plugins and a policy agent each read and write for themselves.

Rules for callers: one owner per namespace and process; register before the first ``sync``, in the
order in which the sections' rules shall stand in chains of others. ``sync`` after changing a
section; calls that come while a write runs are written together by the next. ``run`` as a task: it
puts back what somebody undid. A section that the kernel refuses fails its own ``sync`` and no
other's.

Woken by: the kernel's message that the rule set has a new generation (NFNLGRP_NFTABLES), which the
socket does not listen to while we write ourselves, for the messages cost a big write a fifth of its
time; the number of generations tells whether somebody wrote meanwhile. The legacy variant tells
nothing and counts nothing: its rules are read every ``BLIND_S`` seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.net.addresses import Family
from netlab.net.iptables import Iptables
from netlab.net.monitor import Monitor, open_monitor
from netlab.net.netfilter.backend import Backend
from netlab.net.netfilter.held import Held
from netlab.net.netfilter.live import LiveRule, match_live
from netlab.net.netfilter.nft import Nft
from netlab.net.netfilter.nft_owner import KeptTable, NftBackend
from netlab.net.netfilter.plan import Changed, WriteCount, plan_pass, plan_removal
from netlab.net.netfilter.section import ChainId, Section
from netlab.net.netlink import NETLINK_NETFILTER
from netlab.net.ruleset import Rule

log = logging.getLogger(__name__)

NFNLGRP_NFTABLES = 7
NFT_MSG_NEWGEN = 10 << 8 | 15
# the legacy variant counts no changes: its rules are read this often instead
BLIND_S = 10.0
# a flush is several changes; one look is enough for them
SETTLE_S = 0.05
# reading back 5,000 Services takes 3 s: spend at most a tenth of the time on it
READ_PAUSE = 10.0
GENERATIONS = 1 << 32


@dataclass(slots=True)
class _Side:
    """The rules of one family: how to get at them, and what they are."""

    backend: Backend
    held: Held = field(default_factory=Held)
    sections: list[Section] = field(default_factory=list)
    # those whose chains have been compared with ``held`` as a whole
    compared: set[Section] = field(default_factory=set)
    known: bool = False
    generation: int | None = None


@dataclass(slots=True)
class _Tables:
    """The tables of nftables that are kept."""

    backend: NftBackend
    kept: list[KeptTable] = field(default_factory=list)
    generation: int | None = None


class Netfilter:
    """The rules in the namespace at ``netns``.

    tool: see ``Iptables``. open_backend: makes what reads and writes one family's rules, nft: what
    reads and writes tables of nftables; tests give fakes.
    """

    def __init__(
        self,
        netns: Path | None,
        *,
        tool: str = "iptables",
        open_backend: Callable[[Family], Backend] | None = None,
        nft: NftBackend | None = None,
    ) -> None:
        self._netns = netns
        self._open = open_backend or (lambda family: Iptables(netns, tool=tool, family=family))
        self._sides: dict[Family, _Side] = {}
        self._tables = _Tables(nft or Nft(netns))
        self._lock = asyncio.Lock()
        self._monitor: Monitor | None = None
        self._suspicious = asyncio.Event()
        self._passes = 0
        self._failed: dict[Section, Exception] = {}
        self._last = WriteCount()
        self._repaired: list[Callable[[], None]] = []
        self.read_s = 0.0

    def backend(self, family: Family = 4) -> Backend:
        """Return what reads and writes the family's rules; for those who only read."""
        return self._side(family).backend

    def _any_backend(self) -> Backend:
        """What tells of the namespace as a whole: its generation, and the variant."""
        for side in self._sides.values():
            return side.backend
        return self._side(4).backend

    def _side(self, family: Family) -> _Side:
        if family not in self._sides:
            self._sides[family] = _Side(self._open(family))
        return self._sides[family]

    def register(self, section: Section) -> None:
        """Keep the section from its first ``sync`` on."""
        side = self._side(section.family)
        side.sections.append(section)
        side.known = False  # its chains were not looked at

    def on_repaired(self, told: Callable[[], None]) -> None:
        """Have ``told`` called when the guard put something back."""
        self._repaired.append(told)

    async def sync(self, section: Section) -> WriteCount:
        """Have the kernel hold what the section wants; return what was written.

        Raises: NetworkError when the kernel refuses; the next call tries again.
        """
        section.active = True
        wanted = self._passes
        async with self._lock:
            await asyncio.sleep(0)  # whoever changes something at the same time is written too
            # a pass that began after the call has written this section with the others
            if self._passes == wanted or section.has_changed() or section in self._failed:
                self._last = await self._pass()
        if section in self._failed:
            raise self._failed[section]
        return self._last

    async def differs(self, section: Section) -> bool:
        """True when the kernel does not hold what the section wants; read only if others wrote.

        Raises: NetworkError when the kernel cannot be asked.
        """
        side = self._side(section.family)
        async with self._lock:
            if await self._is_doubtful(side):
                await self._read(side)
            plan = plan_pass({section: Changed(everything=True)}, [section], side.held)
        return bool(plan.changes or plan.edits)

    async def remove(self, section: Section) -> None:
        """Take everything of the section out of the kernel. Idempotent.

        Raises: NetworkError when the kernel refuses, for example because somebody's rule jumps to
        one of the chains.
        """
        side = self._side(section.family)
        async with self._lock:
            section.active = False
            side.compared.discard(section)
            side.known = False
            plan = plan_removal(section, await side.backend.save())
            for text in plan.texts():
                await side.backend.restore(text)

    async def _pass(self) -> WriteCount:
        """Write all sections; which of them failed stands in ``_failed``."""
        self._passes += 1
        count = WriteCount()
        for side in self._sides.values():
            count += await self._write_side(side)
        return count

    async def _write_side(self, side: _Side) -> WriteCount:
        active = [section for section in side.sections if section.active]
        if not active:
            return WriteCount()
        sound = [section for section in active if section not in self._failed]
        troubled = [section for section in active if section in self._failed]
        count = WriteCount()
        # one restore for all; a section that was refused is tried by itself
        for group in ([sound] if sound else []) + [[one] for one in troubled]:
            try:
                count += await self._write(side, group)
                for section in group:
                    self._failed.pop(section, None)
            except (NetlabError, OSError) as error:
                if len(group) == 1:
                    self._failed[group[0]] = error
                    continue
                for section in group:
                    count += await self._write_alone(side, section)
        return count

    async def _write_alone(self, side: _Side, section: Section) -> WriteCount:
        try:
            return await self._write(side, [section])
        except (NetlabError, OSError) as error:
            self._failed[section] = error
            return WriteCount()

    async def _write(self, side: _Side, group: Sequence[Section]) -> WriteCount:
        if not side.known or await self._others_wrote(side):
            await self._read(side)
        changed = {section: self._what_changed(side, section) for section in group}
        # not the rules of one whose chains are not there
        placed = [one for one in side.sections if one in group or one in side.compared]
        plan = plan_pass(changed, placed, side.held)
        texts = plan.texts()
        try:
            await self._restore(side, texts)
        except BaseException:  # also when cancelled: part of it may have been written
            side.known = False
            raise
        plan.apply(side.held)
        side.compared.update(group)
        for section in group:
            section.forget_gone(plan.removed_chains)
        return plan.count(len(texts))

    def _what_changed(self, side: _Side, section: Section) -> Changed:
        chains, guests = section.take_changed()
        if section not in side.compared:
            return Changed(everything=True)
        return Changed(frozenset(chains), guests)

    async def _read(self, side: _Side) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        # the older number: a change between the two reads leads to one more look, not to none
        side.generation = await side.backend.generation()
        side.held.read(await side.backend.save(), side.sections)
        side.known = True
        side.compared.clear()
        self.read_s = loop.time() - started_s

    async def _others_wrote(self, side: _Side) -> bool:
        return await side.backend.generation() != side.generation

    async def _restore(self, side: _Side, texts: Sequence[str]) -> None:
        if not texts:
            return
        if self._monitor is not None:
            self._monitor.pause()
        try:
            for text in texts:
                await side.backend.restore(text)
        finally:
            if self._monitor is not None:
                self._monitor.resume()
        ours = sum(text.count("\nCOMMIT") for text in texts)
        await self._count_generations(side.generation, ours)

    async def _count_generations(self, before: int | None, ours: int) -> bool:
        """Return False when somebody wrote while we did; each table of a text is one generation."""
        after = await self._any_backend().generation()
        if before is None or after is None:
            return True
        if (after - before) % GENERATIONS != ours:
            self._suspicious.set()
            return False
        # the number is the namespace's: what else is kept there has moved too, and by nobody else
        for side in self._sides.values():
            if side.generation == before:
                side.generation = after
        if self._tables.generation == before:
            self._tables.generation = after
        return True

    async def check(self) -> bool:
        """Look whether somebody changed the rules, and put right what is ours; True if any was.

        Raises: NetworkError when the kernel cannot be asked, or refuses the repair.
        """
        async with self._lock:
            self._suspicious.clear()
            doubtful = [side for side in self._sides.values() if await self._is_doubtful(side)]
            for side in doubtful:
                side.known = False
            count = await self._pass() if doubtful else WriteCount()
            mended = await self._check_tables()
        if self._failed:
            raise next(iter(self._failed.values()))
        return mended or bool(count.restores)

    def register_table(self, table: KeptTable) -> None:
        """Keep a table of nftables from its first ``sync_table`` on."""
        self._tables.kept.append(table)

    async def sync_table(self, table: KeptTable) -> None:
        """Have the kernel hold the table as it is wanted.

        Raises: HostError when nft is not installed; NetworkError when the kernel refuses.
        """
        table.active = True
        async with self._lock:
            await self._write_table(table)

    async def remove_table(self, table: KeptTable) -> None:
        """Take the table away. Idempotent.

        Raises: HostError when nft is not installed; NetworkError when the kernel refuses.
        """
        async with self._lock:
            await table.remove(self._tables.backend)

    async def live_table_rules(self, table: KeptTable, chain: str) -> list[LiveRule]:
        """Return a chain's rules in the kernel, with their counters and origins.

        Raises: HostError when nft is not installed; NetworkError when they cannot be read.
        """
        return await table.live_rules(self._tables.backend, chain)

    async def _write_table(self, table: KeptTable) -> bool:
        generation = await self._any_backend().generation()
        if generation is None or generation != self._tables.generation:
            for one in self._tables.kept:
                await one.doubt(self._tables.backend)
            self._tables.generation = generation
        if self._monitor is not None:
            self._monitor.pause()
        try:
            written = await table.write(self._tables.backend)
        finally:
            if self._monitor is not None:
                self._monitor.resume()
        if written and not await self._count_generations(generation, 1):
            table.forget()  # the listing that was remembered may be somebody else's work
        return written

    async def _check_tables(self) -> bool:
        mended = False
        for table in self._tables.kept:
            if table.active:
                mended = await self._write_table(table) or mended
        return mended

    async def _is_doubtful(self, side: _Side) -> bool:
        """True when the memory may not be what the kernel holds, or was not looked through."""
        if not side.known or any(one.active and one not in side.compared for one in side.sections):
            return True
        return await side.backend.generation() is None or await self._others_wrote(side)

    async def run(self, clock: Clock) -> None:
        """Put back what somebody undoes, until cancelled."""
        try:
            self._monitor = await self._open_monitor()
            self._suspicious.set()  # nobody told of what was before
            while True:
                await self._wait(clock)
                try:
                    repaired = await self.check()
                except (NetlabError, OSError) as error:
                    log.warning("rules: %s", error)
                    repaired = False
                if repaired:
                    log.warning("mended: somebody had changed the rules")
                    for told in self._repaired:
                        told()
                await clock.sleep(self.read_s * READ_PAUSE)
        finally:
            self.close()

    async def _open_monitor(self) -> Monitor | None:
        if await self._any_backend().variant() == "legacy":
            log.info(
                "iptables is the legacy variant, which tells of no change: "
                "its rules are read every %d s",
                BLIND_S,
            )
            return None
        return await open_monitor(
            self._netns,
            NETLINK_NETFILTER,
            groups=(NFNLGRP_NFTABLES,),
            only_kind=NFT_MSG_NEWGEN,
        )

    async def _wait(self, clock: Clock) -> None:
        """Return when somebody may have changed the rules."""
        if self._monitor is None:
            await clock.sleep(BLIND_S)
            return
        wakers = [
            asyncio.ensure_future(self._monitor.wait()),
            asyncio.ensure_future(self._suspicious.wait()),
        ]
        try:
            await asyncio.wait(wakers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waker in wakers:
                waker.cancel()
        await clock.sleep(SETTLE_S)
        self._monitor.take()

    def rule(self, chain: ChainId, position: int, *, family: Family = 4) -> Rule | None:
        """Return our rule at a place, from 1 as ``iptables -L --line-numbers`` counts; else None.

        Answered from memory: what was last written or read.
        """
        return self._side(family).held.rule(chain, position)

    async def live_rules(
        self, table: str, chains: Iterable[str] | None = None, *, family: Family = 4
    ) -> list[LiveRule]:
        """Return the rules that the kernel holds now, with their counters and, of ours, the origin.

        chains: their names; None for the whole table.

        Raises: NetworkError when they cannot be read.
        """
        side = self._side(family)
        saved = (await side.backend.save(table, counters=True)).tables.get(table, {})
        names = saved if chains is None else chains
        found: list[LiveRule] = []
        for name in names:
            if name in saved:
                found += match_live((table, name), saved[name], side.held, side.sections)
        return found

    def close(self) -> None:
        """Close the sockets."""
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        for side in self._sides.values():
            side.backend.close()
