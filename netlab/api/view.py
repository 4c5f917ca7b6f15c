"""The base of the typed, read-only views of API objects.

An object is stored as the JSON the user wrote. A view is a frozen struct that holds only the
fields netlab acts on, so the views together are the honest list of what has effect: a field of
Kubernetes that no view names is stored, returned, and announced with a ``Warning:``.

Each view repeats ``frozen=True, kw_only=True``: msgspec inherits the first, type checkers neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, Self, TypeAlias

import msgspec

from netlab.errors import UnreadableError

Object: TypeAlias = dict[str, Any]
"""One API object as parsed JSON. Treat it as frozen: copy before changing."""


ANY_VALUE: Final = object()
"""Marks a harmless field whose every value is harmless."""

UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What reading an object raises that has not the shape of its kind (msgspec's errors included).

The API server stores none, but an older version of it may have: whoever goes through all objects
passes over such a one, so that it costs itself and nothing else."""


def _name_in(obj: object) -> Any:
    """The name of an object; None for what has none, or is no object where one belongs."""
    meta = obj.get("metadata") if isinstance(obj, Mapping) else None
    return meta.get("name") if isinstance(meta, Mapping) else None


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A typed reading of a part of an API object; unknown fields are skipped.

    HARMLESS: fields that have no effect and need no warning, each with the values for which that
    is so (or ``ANY_VALUE``). OPAQUE: fields that the view keeps as they were written, each with the
    view that reads it further.
    """

    HARMLESS: ClassVar[Mapping[str, Any]] = {}
    OPAQUE: ClassVar[Mapping[str, type[View]]] = {}

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Return the view of ``obj``.

        Raises: UnreadableError when a field has a wrong type.
        """
        try:
            return msgspec.convert(obj, cls)
        except msgspec.ValidationError as error:
            name = _name_in(obj)
            shown = f"{cls.__name__} {name}" if name else cls.__name__
            raise UnreadableError(f"{shown} cannot be read: {error}") from error

    @classmethod
    def parse_readable(cls, objs: Iterable[Mapping[str, Any]]) -> list[Self]:
        """Return the views of those objects that can be read."""
        found = []
        for obj in objs:
            with suppress(UnreadableError):  # told by whoever follows objects of its kind
                found.append(cls.parse(obj))
        return found

    def to_object(self) -> Object:
        """Return the JSON of the view's fields; fields at their defaults are left out."""
        built: Object = msgspec.to_builtins(self)
        return built
