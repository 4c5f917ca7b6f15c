"""The base of the typed, read-only views of API objects.

An object is stored as the JSON the user wrote. A view is a frozen struct that holds only the
fields netlab acts on, so the views together are the honest list of what has effect: a field of
Kubernetes that no view names is stored, returned, and announced with a ``Warning:``.

Each view repeats ``frozen=True, kw_only=True``: msgspec inherits the first, type checkers neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import msgspec

Object: TypeAlias = dict[str, Any]
"""One API object as parsed JSON. Treat it as frozen: copy before changing."""


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A typed reading of a part of an API object; unknown fields are skipped."""

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Return the view of ``obj``.

        Raises: msgspec.ValidationError when a field has a wrong type (the API server never
        stores such an object).
        """
        return msgspec.convert(obj, cls)

    def to_object(self) -> Object:
        """Return the JSON of the view's fields; fields at their defaults are left out."""
        built: Object = msgspec.to_builtins(self)
        return built
