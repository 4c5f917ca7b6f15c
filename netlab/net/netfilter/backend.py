"""What the owner needs of the kernel: read rules, write them, and tell whether they changed.

``Iptables`` is the real one, in both its variants and families; ``fake.FakeIptables`` stands beside
and works in memory. Pure.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from netlab.net.savefile import Snapshot

Variant: TypeAlias = Literal["nf_tables", "legacy"]


class Backend(Protocol):
    """The rules of one family in one network namespace."""

    async def variant(self) -> Variant:
        """Return which of the kernel's two engines holds the rules."""
        ...

    async def save(self, table: str | None = None, *, counters: bool = False) -> Snapshot:
        """Return what the kernel holds: one table or all."""
        ...

    async def restore(self, text: str) -> None:
        """Write a text; each table of it as a whole or not at all."""
        ...

    async def generation(self) -> int | None:
        """Return the number of the namespace's last change, which each table of a text raises by 1.

        None when the engine does not count.
        """
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
