"""JSON as Go's encoder writes it: sorted keys, four spaces, and ``<``, ``>``, ``&`` escaped."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)


def escape_html(text: str) -> str:
    """Return encoded JSON with the characters escaped that could be HTML."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def to_json(value: Any) -> str:
    """Return the value over several lines, as ``-o json`` prints it, with a final newline."""
    text = json.dumps(go_numbers(value), indent=4, sort_keys=True, ensure_ascii=False)
    return escape_html(text).replace("\x7f", "\x7f") + "\n"


def to_compact_json(value: Any, *, sort_keys: bool = True) -> str:
    """Return the value on one line without spaces, as request bodies and annotations have it."""
    text = json.dumps(
        go_numbers(value), separators=(",", ":"), sort_keys=sort_keys, ensure_ascii=False
    )
    return escape_html(text)


def go_numbers(value: Any) -> Any:
    """Return the value with floats that are whole numbers as integers, as Go prints them."""
    if isinstance(value, dict):
        return {key: go_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [go_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value
