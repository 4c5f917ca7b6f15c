"""The shapes in which the store keeps, finds and announces objects.

An object is kept as the JSON bytes that clients are sent, its resourceVersion included, so that a
read copies nothing. ``Item`` wraps such bytes for one reader; the store itself holds only
``Record``, because a parsed object takes five times the memory of its text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from netlab.api.view import Object

_decode = msgspec.json.Decoder().decode


class Key(NamedTuple):
    """Where an object lives: kind is its ``group_resource``; namespace is "" for none."""

    kind: str
    namespace: str
    name: str


class Record:
    """One version of one object, as it stands in the log.

    source: its JSON, or for a version that is only on disk who reads it, given the revision.
    """

    __slots__ = ("_source", "revision")

    def __init__(self, revision: int, source: bytes | Callable[[int], bytes]) -> None:
        self.revision = revision
        self._source = source

    @property
    def json(self) -> bytes:
        """The object as it is sent to clients; read anew each time when it is only on disk.

        Raises: StorageError when it must be read and cannot be.
        """
        source = self._source
        return source if isinstance(source, bytes) else source(self.revision)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return (self.revision, self.json) == (other.revision, other.json)

    def __hash__(self) -> int:
        return hash(self.revision)

    def __repr__(self) -> str:
        return f"Record({self.revision}, {self.json!r})"


class Item:
    """An object for one reader: ``json`` as stored, ``object`` parsed when first asked for.

    The parsed object is the reader's view of immutable bytes: copy before changing it.
    """

    __slots__ = ("_object", "json")

    def __init__(self, json: bytes, parsed: Object | None = None) -> None:
        self.json = json
        self._object = parsed

    @property
    def object(self) -> Object:
        """The object as a dict, parsed once; do not change it."""
        if self._object is None:
            self._object = _decode(self.json)
        return self._object

    def copy(self) -> Object:
        """A new dict that the caller owns."""
        parsed: Any = _decode(self.json)
        return dict(parsed)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Item) and self.json == other.json

    def __hash__(self) -> int:
        return hash(self.json)

    def __repr__(self) -> str:
        return f"Item({self.json!r})"


@dataclass(frozen=True, slots=True)
class Event:
    """One committed change. type is ADDED, MODIFIED or DELETED.

    item: the new state; for DELETED the last state, stamped with the deletion's resourceVersion.
    previous: the state before, None for ADDED (or when it is no longer kept).
    """

    type: str
    key: Key
    revision: int
    item: Item
    previous: Item | None
