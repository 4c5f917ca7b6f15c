"""Decides what becomes of one more event: a new Event, one more of a known one, or nothing.

Mirrors client-go's ``EventCorrelator``, in its order:

- the same event again (same object, type, reason and message) raises ``count`` of the one written;
- ten different messages of one reason about one object within ten minutes are one Event from then
  on, whose message begins with ``(combined from similar events): ``;
- each source may tell 25 events about one object in a row and then one every five minutes; what is
  beyond that is dropped.

What is remembered is bounded in number and time, and keyed by hashes: the texts themselves would be
most of a daemon's growth. Pure: the time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

SIMILAR_MESSAGES = 10
SIMILAR_WITHIN_S = 600.0
COMBINED_PREFIX = "(combined from similar events): "
BURST = 25
REFILL_PER_S = 1 / 300
REMEMBERED = 512
"""Entries of each memory; client-go keeps 4096, for clusters of thousands of nodes."""
EVENT_LIFE_S = 3600.0
"""The API server removes events after this; there is nothing to count on any more."""

V = TypeVar("V")


class Occurrence(NamedTuple):
    """Something that happened. source: who tells, on which host; about: kind, namespace, name,
    uid and version of API of the object; part: the field path, "" for the whole object.
    """

    source: tuple[str, str]
    about: tuple[str, str, str, str, str]
    part: str
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """The Event that stands for an occurrence once it is written."""

    name: str
    count: int
    first: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to write. key: for ``wrote``; known: the Event to count up, None for a new one."""

    key: bytes
    message: str
    known: Told | None


class _Memory(Generic[V]):
    """Values by key, the least recently used first; forgets what is too old or too much."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._entries: OrderedDict[Hashable, tuple[datetime, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, now: datetime) -> V | None:
        entry = self._entries.get(key)
        if entry is None or (now - entry[0]).total_seconds() > self._life_s:
            return None
        return entry[1]

    def put(self, key: Hashable, value: V, now: datetime) -> None:
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        while self._entries:
            oldest = next(iter(self._entries))
            stale = (now - self._entries[oldest][0]).total_seconds() > self._life_s
            if not stale and len(self._entries) <= REMEMBERED:
                return
            del self._entries[oldest]


@dataclass(slots=True)
class _Bucket:
    """Tokens left for events of one source about one object."""

    tokens: float = float(BURST)
    at: datetime | None = None

    def take(self, now: datetime) -> bool:
        if self.at is not None:
            gained = (now - self.at).total_seconds() * REFILL_PER_S
            self.tokens = min(float(BURST), self.tokens + max(0.0, gained))
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


@dataclass
class Correlator:
    """The memory of one recorder. Ask ``judge``, write, then tell ``wrote``."""

    _told: _Memory[Told] = field(default_factory=lambda: _Memory(EVENT_LIFE_S))
    _similar: _Memory[tuple[bytes, ...]] = field(default_factory=lambda: _Memory(SIMILAR_WITHIN_S))
    _buckets: _Memory[_Bucket] = field(default_factory=lambda: _Memory(BURST / REFILL_PER_S))

    def judge(self, occurrence: Occurrence, now: datetime) -> Verdict | None:
        """Return what to write for an occurrence; None when it is one too many."""
        key, message = self._combine(occurrence, now)
        known = self._told.get(key, now)
        if known is not None:
            known = replace(known, count=known.count + 1)
            self._told.put(key, known, now)
        bucket_key = _hash(*occurrence.source, *occurrence.about)
        bucket = self._buckets.get(bucket_key, now) or _Bucket()
        allowed = bucket.take(now)
        self._buckets.put(bucket_key, bucket, now)
        return Verdict(key, message, known) if allowed else None

    def wrote(self, key: bytes, told: Told, now: datetime) -> None:
        """Remember the Event that was written for a verdict."""
        self._told.put(key, told, now)

    def _combine(self, occurrence: Occurrence, now: datetime) -> tuple[bytes, str]:
        source, about, part, type_, reason, message = occurrence
        group = _hash(*source, *about, type_, reason)
        seen = self._similar.get(group, now) or ()
        this = _hash(message)
        if this not in seen:
            seen = (*seen, this)
        many = len(seen) >= SIMILAR_MESSAGES
        if many:
            seen = seen[1:]  # one less, so that it never grows beyond the limit
        self._similar.put(group, seen, now)
        if many:
            return group, COMBINED_PREFIX + message
        return _hash(*source, *about, part, type_, reason, message), message


def _hash(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=12).digest()
