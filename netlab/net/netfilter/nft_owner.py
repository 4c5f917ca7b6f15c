"""Keep tables of nftables: the part of the owner that knows nft.

Each table belongs to one owner alone, so nothing in it is anybody else's: what differs from what
was written is put back. nft prints rules otherwise than they were written; the listing right after
a write is therefore remembered, and compared with when somebody else has changed something.
"""

from __future__ import annotations

from typing import Any, Protocol

from netlab.net.netfilter.live import LiveRule
from netlab.net.netfilter.nft import count
from netlab.net.netfilter.nft_plan import plan_removal, plan_table
from netlab.net.netfilter.nft_tables import NftTable


class NftBackend(Protocol):
    """What is needed of nft; ``Nft`` is the real one, ``fake_nft.FakeNft`` one in memory."""

    async def run(self, text: str) -> None: ...

    async def listing(self, table: str) -> list[dict[str, Any]] | None: ...

    async def rules(self, table: str, chain: str) -> list[dict[str, Any]]: ...


class KeptTable:
    """One table: what is wanted, what was written, and how nft prints that.

    owner: whose table it is. Only the owner changes ``wanted``.
    """

    def __init__(self, owner: str, wanted: NftTable) -> None:
        self.owner = owner
        self.wanted = wanted
        self.active = False
        self._written: NftTable | None = None
        self._listing: list[dict[str, Any]] | None = None

    async def write(self, backend: NftBackend) -> bool:
        """Have the kernel hold what is wanted; return whether something had to be written.

        Raises: NetworkError when the kernel refuses; the table is made anew by the next write.
        """
        wanted = self.wanted
        text = plan_table(self._written, wanted)
        if not text:
            return False
        self._written = None
        await backend.run(text)
        self._listing = await backend.listing(wanted.id)
        self._written = wanted
        return True

    def forget(self) -> None:
        """Have the next write make the table anew."""
        self._written = None

    async def doubt(self, backend: NftBackend) -> None:
        """Forget what was written when the kernel holds something else.

        Raises: NetworkError when it cannot be read.
        """
        if self._written is not None and await backend.listing(self.wanted.id) != self._listing:
            self._written = None

    async def remove(self, backend: NftBackend) -> None:
        """Take the table away. Idempotent.

        Raises: NetworkError when the kernel refuses.
        """
        self.active = False
        self._written = self._listing = None
        await backend.run(plan_removal(self.wanted))

    async def live_rules(self, backend: NftBackend, chain: str) -> list[LiveRule]:
        """Return a chain's rules in the kernel, each with its counters and, as written, its origin.

        Raises: NetworkError when they cannot be read.
        """
        held = await backend.rules(self.wanted.id, chain)
        written = self._written.chains.get(chain) if self._written is not None else None
        ours = written.rules if written is not None and len(written.rules) == len(held) else ()
        found = []
        for place, rule in enumerate(held):
            packets, octets = count(rule)
            found.append(
                LiveRule(
                    table=self.wanted.id,
                    chain=chain,
                    position=place + 1,
                    line=ours[place].text if ours else "",
                    packets=packets,
                    octets=octets,
                    origin=ours[place].origin if ours else None,
                    owner=self.owner if ours else "",
                )
            )
        return found
