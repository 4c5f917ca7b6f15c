"""How objects become rows: columns, printers, and the small text forms that several kinds share.

Mirrors ``k8s.io/kubernetes/pkg/printers``. A kind's descriptor names its printer; one that names
none prints name and time of creation, as the API server does for such kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from netlab.api.durations import age
from netlab.api.label_text import NONE, format_label_selector, format_labels
from netlab.api.view import Object

__all__ = [
    "AGE",
    "DEFAULT_PRINTER",
    "NAME",
    "NONE",
    "CellFunction",
    "Cells",
    "Column",
    "Printer",
    "age_of",
    "format_label_selector",
    "format_labels",
    "join_with_more",
    "metadata",
    "name_of",
    "part",
    "wide",
]

Cells: TypeAlias = list[Any]
CellFunction: TypeAlias = Callable[[Object, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those with a priority above 0 show only with ``-o wide``."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Object:
        """Return the ``TableColumnDefinition``."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """How one kind becomes rows. conditions: marks of finished objects, from the object."""

    columns: tuple[Column, ...]
    cells: CellFunction
    conditions: Callable[[Object], list[Object]] | None = None


NAME = Column("Name", format="name", description="Name of the object, unique in its namespace.")
AGE = Column("Age", description="Time since the object was created.")


def wide(name: str, type: str = "string", description: str = "") -> Column:
    """Return a column that only ``-o wide`` shows."""
    return Column(name, type, priority=1, description=description)


def metadata(obj: Object) -> Mapping[str, Any]:
    """Return the object's metadata; empty when there is none."""
    found: Mapping[str, Any] = obj.get("metadata") or {}
    return found


def name_of(obj: Object) -> str:
    """Return the NAME cell."""
    return str(metadata(obj).get("name", ""))


def age_of(obj: Object, now: datetime) -> str:
    """Return the AGE cell."""
    return age(metadata(obj).get("creationTimestamp"), now)


def part(obj: Mapping[str, Any], *path: str) -> Any:
    """Return a nested field, or an empty mapping when any step is missing or null."""
    current: Any = obj
    for key in path:
        current = current.get(key) if isinstance(current, Mapping) else None
        if current is None:
            return {}
    return current


def join_with_more(shown: Sequence[str], count: int, *, empty: str) -> str:
    """Return ``a,b,c + 2 more...``: the shown items and how many of ``count`` are not."""
    text = ",".join(shown)
    if count > len(shown):
        return f"{text} + {count - len(shown)} more..."
    return text or empty


def _default_cells(obj: Object, now: datetime) -> Cells:
    meta = metadata(obj)
    return [meta.get("name", ""), meta.get("creationTimestamp") or ""]


DEFAULT_PRINTER = Printer(
    (NAME, Column("Created At", "date", description="When the object was created.")),
    _default_cells,
)
