"""``--sort-by``: order objects or table rows by the field a JSONPath names.

Mirrors kubectl's sorter: objects without the field come first, numbers and quantities compare by
value, times as times, texts in natural order (``a2`` before ``a10``).
"""

from __future__ import annotations

import re

from netlab.errors import UsageError
from netlab.kubectl.output.jsonpath import JsonPathError, Template, relaxed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from netlab.kubectl.selection import Target

_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}
_QUANTITY = re.compile(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)([numkMGTPE]i?|)")


def sort_objects(objects: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Return the objects in the order of ``path``.

    Raises: UsageError when the path is malformed, or no object has the field.
    """
    template = _template(path)
    keys = [_value(template, obj) for obj in objects]
    _check(objects, keys, path)
    order = sorted(range(len(objects)), key=lambda at: _key(keys[at]))
    return [objects[at] for at in order]


def sort_tables(
    tables: Sequence[tuple[Target, dict[str, Any]]], path: str
) -> list[tuple[Target, dict[str, Any]]]:
    """Return the tables with their rows in the order of ``path``, each resource for itself."""
    template = _template(path)
    for _, table in tables:
        rows = table["rows"]
        keys = [_value(template, row.get("object") or {}) for row in rows]
        _check(rows, keys, path)
        order = sorted(range(len(rows)), key=lambda at: _key(keys[at]))
        table["rows"] = [rows[at] for at in order]
    return list(tables)


def _template(path: str) -> Template:
    try:
        return relaxed(path)
    except JsonPathError as error:
        raise UsageError(str(error)) from error


def _check(objects: Sequence[Any], keys: Sequence[Any], path: str) -> None:
    if objects and all(key is None for key in keys):
        shown = path if path.startswith("{") else "{" + path + "}"
        raise UsageError(f'couldn\'t find any field with path "{shown}" in the list of objects')


def _value(template: Template, obj: dict[str, Any]) -> Any:
    try:
        found = [value for values in template.results(obj) for value in values]
    except JsonPathError:
        return None  # an index beyond the list: the object lacks the field
    return found[0] if found else None


def _key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, int(value))
    if isinstance(value, (int, float)):
        return (1, float(value))
    if isinstance(value, str):
        quantity = _QUANTITY.fullmatch(value)
        if quantity and quantity[2] in _SUFFIXES and quantity[1].count(".") <= 1:
            return (1, float(quantity[1]) * _SUFFIXES[quantity[2]])
        return (2, natural_parts(value))
    return (3, str(value))


def natural_parts(text: str) -> list[tuple[int, int, str]]:
    """Return a key that orders texts with the numbers in them compared as numbers."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.findall(r"\d+|\D+", text)
    ]
