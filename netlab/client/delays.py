"""How long to wait before the next try, when the server does not answer.

Mirrors the backoff of client-go's reflector: 0.8 s, doubled with each failure up to 30 s, each with
up to as much again at random, so that a thousand clients do not come back in the same instant; two
minutes without a failure begin anew. A server that says when to come back (``Retry-After`` of a 429
or 503) is believed.
"""

from __future__ import annotations

from random import Random

from netlab.clock import Clock
from netlab.errors import ApiError

FIRST_S = 0.8
LONGEST_S = 30.0
FACTOR = 2.0
RESET_S = 120.0


class Backoff:
    """The delays of one client. ``next_s`` after each failure."""

    def __init__(self, clock: Clock, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random or Random()
        self._delay_s = FIRST_S
        self._failed_at_s: float | None = None

    def next_s(self, error: BaseException | None = None) -> float:
        """Return the seconds to wait after a failure; ``error`` may ask for more."""
        now_s = self._clock.monotonic_s()
        if self._failed_at_s is not None and now_s - self._failed_at_s > RESET_S:
            self._delay_s = FIRST_S
        self._failed_at_s = now_s
        delay_s = self._delay_s * (1.0 + self._random.random())
        self._delay_s = min(self._delay_s * FACTOR, LONGEST_S)
        return max(delay_s, asked_s(error))


def asked_s(error: BaseException | None) -> float:
    """Return the seconds the server asks to be left alone; 0 when it does not."""
    if not isinstance(error, ApiError) or error.code not in (429, 503, 504):
        return 0.0
    seconds = error.details.get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else 0.0
