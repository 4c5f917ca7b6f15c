"""Resource quantities: ``500m``, ``1Gi``, ``1e3``, and the one way Kubernetes writes each.

Mirrors ``k8s.io/apimachinery/pkg/api/resource``. Values are exact decimals. A quantity keeps the
family of its suffix: binary (``Ki`` … ``Ei``), decimal (``n`` … ``E``) or exponent (``e3``). The
canonical form has the largest suffix that leaves an integer, and at most nanos as precision
(smaller parts are rounded up, away from zero).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from enum import Enum
from typing import Any

PATTERN_MESSAGE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)

_SYNTAX = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Decimal(1).scaleb(-9)
_MAX_VALUE = Decimal(2**63 - 1)
# Python reads no number of more than 4300 digits, and nobody writes one of a thousand
_LONGEST = 1000


class Family(Enum):
    """Which suffixes a quantity is written with."""

    DECIMAL = "decimal"
    BINARY = "binary"
    EXPONENT = "exponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount and the family of suffixes it is written with."""

    value: Decimal
    family: Family = Family.DECIMAL

    def __str__(self) -> str:
        return format_quantity(self)

    def milli(self) -> int:
        """Return thousandths, rounded up, as CPU shares are counted."""
        return int((self.value * 1000).to_integral_value(ROUND_UP))

    def whole(self) -> int:
        """Return units (bytes, cores, pods), rounded up."""
        return int(self.value.to_integral_value(ROUND_UP))


def parse_quantity(text: str | int | float) -> Quantity:
    """Return the quantity that ``text`` writes; JSON numbers are read as their text.

    Raises: ValueError, worded as Kubernetes does.
    """
    written = str(text)
    match = _SYNTAX.fullmatch(written) if len(written) <= _LONGEST else None
    if match is None:
        raise ValueError(PATTERN_MESSAGE)
    sign, digits, suffix = match.group(1), match.group(2), match.group(3) or ""
    number = Decimal(sign + digits)
    family = Family.DECIMAL
    if suffix in _BINARY:
        family = Family.BINARY
        number *= Decimal(2 ** _BINARY[suffix])
    elif suffix in _DECIMAL:
        number = number.scaleb(_DECIMAL[suffix])
    else:
        family = Family.EXPONENT
        # Decimal's own exponent is bounded; beyond it everything is capped anyway
        number = number.scaleb(max(-1000, min(1000, int(suffix[1:]))))
    return Quantity(_bounded(number), family)


def _bounded(number: Decimal) -> Decimal:
    """Round away from zero to nanos, and cap at 64 bits, as Kubernetes does."""
    if abs(number) > _MAX_VALUE:
        return _MAX_VALUE.copy_sign(number)
    return number.quantize(_NANO, ROUND_UP)


def format_quantity(quantity: Quantity) -> str:
    """Return the canonical form."""
    value = quantity.value
    if value == 0:
        return "0"
    if quantity.family is Family.BINARY and abs(value) >= 1024 and value == int(value):
        return _format_binary(int(value))
    mantissa, power = _decimal_parts(value)
    if quantity.family is Family.EXPONENT:
        return f"{mantissa}e{power}" if power else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIX[power]}"


def _format_binary(value: int) -> str:
    power = 0
    while power < 60 and value % 1024 == 0:
        value //= 1024
        power += 10
    return f"{value}{_BINARY_SUFFIX[power]}" if power else str(value)


def _decimal_parts(value: Decimal) -> tuple[int, int]:
    """Split into an integer mantissa and the largest fitting power of ten, a multiple of 3."""
    mantissa = int(value.scaleb(9))
    power = -9
    while power < 18 and mantissa % 1000 == 0:
        mantissa //= 1000
        power += 3
    return mantissa, power


def canonical(text: Any) -> str:
    """Return the canonical form of ``text``.

    Raises: ValueError when it is no quantity.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(PATTERN_MESSAGE)  # noqa: TRY004  one type of error for callers
    return format_quantity(parse_quantity(text))
