"""Decides how long a failing container or image waits until it is tried again.

Mirrors client-go's ``flowcontrol.Backoff`` as the kubelet uses it: 10 s, doubled with each
failure up to 300 s, and forgotten when a container has run for twice the longest delay since.
Like the kubelet's, the memory is lost when the agent restarts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 300.0
FORGET_AFTER_S = 2 * LONGEST_DELAY_S


@dataclass(frozen=True, slots=True)
class BackOff:
    """The delay after the next failure, and when it was last raised."""

    delay_s: float
    updated: datetime


def next_back_off(entry: BackOff | None, event: datetime, now: datetime) -> BackOff:
    """Return the back-off after one more failure, which happened at ``event``."""
    if entry is None or _expired(entry, event):
        return BackOff(FIRST_DELAY_S, now)
    return BackOff(min(entry.delay_s * 2, LONGEST_DELAY_S), now)


def remaining_s(entry: BackOff | None, event: datetime, now: datetime) -> float:
    """Return the seconds left to wait after a failure at ``event``; 0 means: try now."""
    if entry is None or _expired(entry, event):
        return 0.0
    return max(0.0, entry.delay_s - (now - event).total_seconds())


def _expired(entry: BackOff, event: datetime) -> bool:
    return event - entry.updated > timedelta(seconds=FORGET_AFTER_S)


def format_delay(delay_s: float) -> str:
    """Return a delay as Go prints it: ``10s``, ``1m20s``, ``5m0s``."""
    minutes, seconds = divmod(round(delay_s), 60)
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
