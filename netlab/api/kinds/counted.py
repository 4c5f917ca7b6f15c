"""Kinds of which a ResourceQuota may bound the number by their plain name, such as ``secrets``.

An older form of ``count/secrets`` that few kinds have.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from netlab.api.kind import Counting
from netlab.api.quantities import Quantity

ONE: Final = Quantity(Decimal(1))


def counted_by_name(name: str) -> Counting:
    """Return the counting of a kind whose objects count for ``name``."""
    return Counting(lambda obj: {name: ONE})
