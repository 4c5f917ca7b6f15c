"""Values of query parameters: booleans and whole numbers, as Go reads them.

Mirrors the conversions of ``k8s.io/apimachinery/pkg/conversion/queryparams`` and ``runtime``. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from netlab.api.field_errors import bad_request

_INTEGER = re.compile(r"[+-]?[0-9]+")
_LONGEST_INTEGER = 25
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:{_PART.pattern})+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_LONGEST_DURATION = 100


def truth(text: str | None) -> bool:
    """Return what a boolean query parameter says; present but empty means true."""
    return text is not None and text.lower() not in ("false", "0")


def integer(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number; None when the parameter is missing or empty.

    Raises: ApiError BadRequest (400) for anything else.
    """
    text = query.get(name)
    if not text:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    # more digits than these are out of range whatever they are, and slow to read
    number = int(text) if len(text) <= _LONGEST_INTEGER else 2**63
    if not -(2**63) <= number < 2**63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return number


def duration_s(text: str) -> float:
    """Return the seconds that a Go duration such as ``1m30s`` or ``300ms`` says.

    Raises: ValueError, worded as ``time.ParseDuration``.
    """
    quoted = f'"{text}"'
    if text in ("0", "+0", "-0"):
        return 0.0
    if _DURATION.fullmatch(text) is None or len(text) > _LONGEST_DURATION:
        lacks_unit = _NUMBER.fullmatch(text) is not None
        problem = "missing unit in duration" if lacks_unit else "invalid duration"
        raise ValueError(f"time: {problem} {quoted}")
    total = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    return -total if text.startswith("-") else total
