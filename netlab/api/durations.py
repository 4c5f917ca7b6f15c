"""Ages as Kubernetes writes them for people: ``13s``, ``4m26s``, ``8d``.

Mirrors ``k8s.io/apimachinery/pkg/util/duration``. A long duration is told coarsely: the larger it
is, the fewer units it keeps. Up to two seconds below zero count as "just now", because two
machines' clocks never agree; anything earlier is ``<invalid>``.

netlab leaves nothing out.
"""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

UNKNOWN = "<unknown>"


def human_duration(seconds: float) -> str:
    """Return the duration with about two or three figures, as the AGE column shows it."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if whole < 10 * MINUTE:
        return _two_units(whole // MINUTE, "m", whole % MINUTE, "s")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return _two_units(whole // HOUR, "h", whole % HOUR // MINUTE, "m")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    if whole < 8 * DAY:
        return _two_units(whole // DAY, "d", whole % DAY // HOUR, "h")
    if whole < 2 * YEAR:
        return f"{whole // DAY}d"
    if whole < 8 * YEAR:
        return _two_units(whole // YEAR, "y", whole // DAY % 365, "d")
    return f"{whole // YEAR}y"


def parse_time(text: str | None) -> datetime | None:
    """Return the moment a ``metav1.Time`` or ``MicroTime`` tells; None for none or nonsense."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def age(text: str | None, now: datetime) -> str:
    """Return how long ago ``text`` was, as a table cell; ``<unknown>`` when it is missing."""
    moment = parse_time(text)
    if moment is None:
        return UNKNOWN
    return human_duration((now - moment).total_seconds())


def _two_units(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
