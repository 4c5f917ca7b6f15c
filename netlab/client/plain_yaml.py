"""A reader for the part of YAML that tools write into kubeconfig files.

Block mappings and sequences of plain or simply quoted one-line scalars, ``{}`` and ``[]``. Text
that uses anything else is not guessed at: the answer is None, and the caller takes a full parser.
It exists because importing one costs more than ``netlab get pods`` may take in all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPECIAL = frozenset("[]{}&*!|>%@`\"',?#")


class _NotPlainError(Exception):
    """The text uses more of YAML than this reader knows."""


def parse_plain_yaml(text: str) -> Any:
    """Return the document, or None when it is beyond this reader (or is not YAML at all)."""
    if text.lstrip().startswith("{"):
        import json

        try:
            return json.loads(text)
        except ValueError:
            return None
    try:
        lines = _split_lines(text)
        if not lines:
            return None
        value, end = _parse_block(lines, 0, lines[0][0])
    except _NotPlainError:
        return None
    return value if end == len(lines) else None


def _split_lines(text: str) -> list[tuple[int, str]]:
    """Return (indent, content) of each line; a dash counts as indentation of what follows it."""
    lines: list[tuple[int, str]] = []
    for line in text.splitlines():
        content = line.strip(" ")
        if not content or content[0] == "#" or (content == "---" and not lines):
            continue
        if "\t" in line or " #" in content:
            raise _NotPlainError
        lines.append((len(line) - len(line.lstrip(" ")), content))
    return lines


def _parse_block(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[Any, int]:
    if lines[at][1].startswith("- "):
        return _parse_sequence(lines, at, indent)
    return _parse_mapping(lines, at, indent)


def _parse_sequence(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
        rest = lines[at][1][2:]
        inner = rest.lstrip(" ")
        if _key_end(inner) < 0:
            items.append(_scalar(inner))
            at += 1
            continue
        deeper = indent + 2 + len(rest) - len(inner)
        lines[at] = (deeper, inner)
        item, at = _parse_mapping(lines, at, deeper)
        items.append(item)
    return items, at


def _parse_mapping(
    lines: list[tuple[int, str]], at: int, indent: int
) -> tuple[dict[str, Any], int]:
    mapping: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
        content = lines[at][1]
        end = _key_end(content)
        key = _scalar(content[:end]) if end > 0 else None
        if not isinstance(key, str) or key in mapping:
            raise _NotPlainError
        value = content[end + 1 :].strip(" ")
        at += 1
        if value:
            mapping[key] = _scalar(value)
        elif at < len(lines) and (
            lines[at][0] > indent or (lines[at][0] == indent and lines[at][1].startswith("- "))
        ):
            mapping[key], at = _parse_block(lines, at, lines[at][0])
        else:
            mapping[key] = None
    if at < len(lines) and lines[at][0] > indent:
        raise _NotPlainError
    return mapping, at


def _key_end(content: str) -> int:
    """Return the index of the colon that ends a key; -1 when there is none."""
    end = content.find(": ")
    if end < 0 and content.endswith(":"):
        end = len(content) - 1
    return end


def _scalar(text: str) -> Any:
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    quote = text[:1]
    if quote in ("'", '"') and len(text) >= 2 and text[-1] == quote:
        inner = text[1:-1]
        if quote in inner or "\\" in inner:
            raise _NotPlainError
        return inner
    if not text or text[0] in _SPECIAL or ": " in text or text.endswith(":") or text == "-":
        raise _NotPlainError
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~"):
        return None
    return text
