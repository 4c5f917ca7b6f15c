"""``describe`` of kinds without a description of their own: their fields, one below the other."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

_ACRONYMS = frozenset(("API", "URL", "UID", "OSB", "GUID"))
_LEFT_OUT = {
    "metadata": {"managedFields", "name", "namespace", "labels", "annotations"},
}


def describe_anything(lines: Lines, obj: dict[str, Any], context: Context) -> None:
    """Add the description of an object of any kind."""
    metadata = obj["metadata"]
    lines.add(f"Name:\t{metadata['name']}")
    lines.add(f"Namespace:\t{metadata.get('namespace', '')}")
    lines.add_pairs("Labels", metadata.get("labels"))
    lines.add_annotations("Annotations", metadata.get("annotations"))
    _add_fields(lines, obj, 0, "")
    context.add_events(lines, obj)


def _add_fields(lines: Lines, fields: dict[str, Any], level: int, path: str) -> None:
    hidden = _LEFT_OUT.get(path, set())
    titles = sorted((_title(key), key) for key in fields if key not in hidden)
    for title, key in titles:
        value = fields[key]
        if isinstance(value, dict):
            lines.add(f"{title}:", level)
            _add_fields(lines, value, level + 1, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            _add_list(lines, title, value, level, f"{path}.{key}" if path else key)
        else:
            lines.add(f"{title}:\t{_text(value)}", level)


def _add_list(lines: Lines, title: str, items: list[Any], level: int, path: str) -> None:
    lines.add(f"{title}:", level)
    for item in items:
        if isinstance(item, dict):
            _add_fields(lines, item, level + 1, path)
        elif isinstance(item, list):
            _add_list(lines, title, item, level + 1, path)
        else:
            lines.add(_text(item), level + 1)


def _text(value: Any) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _title(key: str) -> str:
    """Return ``holderIdentity`` as ``Holder Identity``."""
    if re.search(r"[./]", key):
        return key
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+", key) or [key]
    return " ".join(
        word.upper() if word.upper() in _ACRONYMS else word[0].upper() + word[1:] for word in words
    )
