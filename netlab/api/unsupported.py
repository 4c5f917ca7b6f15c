"""Tells users which of the fields they wrote have no effect in netlab.

netlab stores every field of Kubernetes and acts on those that a view names (see ``view``). Silence
about the others would teach something false, so the API server sends one ``Warning:`` for each.
Not told are fields that only inform people or machines, empty values, and values that mean what
netlab does anyway: a view says which (``HARMLESS``). Give the object as the user wrote it, before
admission adds to it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from netlab.api.kind import Kind
from netlab.api.view import ANY_VALUE, Object, View

WARNING: Final = "netlab stores this field but does not act on it"

# Fields whose default is true: to write false is to ask for something.
_SAID_BY_FALSE: Final = frozenset({"hostUsers"})
_SKIPPED_AT_TOP: Final = frozenset({"apiVersion", "kind", "metadata", "status"})


def inert_field_warnings(kind: Kind[Any], obj: Object) -> list[str]:
    """Return one warning for each field of ``obj`` that is stored but has no effect.

    obj: after ``schemas.check_fields``, so that every field is one of Kubernetes.
    """
    if kind.record:
        return []
    shown = {key: value for key, value in obj.items() if key not in _SKIPPED_AT_TOP}
    return [f"{path}: {WARNING}" for path in _inert_paths(kind.view, shown, "")]


def _inert_paths(view: type[View], part: Mapping[str, Any], path: str) -> Iterator[str]:
    known = _children(view)
    for name, value in part.items():
        if not value and not (name in _SAID_BY_FALSE and value is False):
            continue
        here = f"{path}.{name}" if path else name
        if name not in known:
            if not _is_harmless(view.HARMLESS, name, value):
                yield here
            continue
        child = known[name]
        if child is None:
            continue
        if isinstance(value, dict):
            yield from _inert_paths(child, value, here)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _inert_paths(child, item, f"{here}[{index}]")


def _is_harmless(harmless: Mapping[str, Any], name: str, value: Any) -> bool:
    values = harmless.get(name)
    return values is ANY_VALUE or (values is not None and value in values)


@cache
def _children(view: type[View]) -> Mapping[str, type[View] | None]:
    """The JSON fields that a view names, each with the view of its value or items, if any."""
    opaque = view.OPAQUE
    return {
        field.encode_name: opaque.get(field.encode_name) or _view_in(field.type)
        for field in msgspec.structs.fields(view)
    }


def _view_in(annotation: Any) -> type[View] | None:
    """Find the view in ``V``, ``V | None`` or ``tuple[V, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, View):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            found = _view_in(argument)
            if found is not None:
                return found
    return None
