"""Reads a YAML request body into an object, telling fields that were written twice.

Mirrors ``sigs.k8s.io/yaml``: YAML 1.1 as Go reads it (``yes`` is true, dates and ``22:22`` stay
text), keys become text, the last of two equal fields wins. Reads the parser's events itself, so
that what aliases stand for is counted before it is built: the Kubernetes API was once brought down
by 500 bytes of aliases to aliases (CVE-2019-11253).

Pure. Ten times slower than JSON: callers run it off the event loop.

netlab leaves out: types of the user's own (tags of objects and lists mean nothing, as in Go).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import yaml

from netlab.api.bodies import MAX_DEPTH, MAX_NODES, count_fields, require_object, too_many_nodes
from netlab.api.field_errors import bad_request
from netlab.api.view import Object

MAX_TEXT_BYTES: Final = 3 * 1024 * 1024
"""Of all texts together, what aliases stand for included: the limit of a body."""

MAX_DIRECTIVES: Final = 16
"""Lines that begin with ``%``: libyaml compares each with all before it."""

_PREFIX: Final = "tag:yaml.org,2002:"
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_FINITE: Final = re.compile(r"[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER: Final = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER: Final = 400


class _YamlError(ValueError):
    """The document is no JSON in YAML's clothes; str() tells why."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A value that aliases may repeat, and what it counts for."""

    value: Any
    nodes: int
    text_bytes: int


def decode_yaml(body: bytes) -> tuple[Object, list[str]]:
    """Return the object that one YAML document holds, and the paths of duplicate fields.

    Raises: ApiError 400 for malformed YAML and for anything but a mapping, 413 for a document that
    stands for more than a request may.
    """
    try:
        if len(re.findall(rb"^%", body, re.MULTILINE)) > MAX_DIRECTIVES:
            raise _YamlError(f"a document may have at most {MAX_DIRECTIVES} directives")
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        builder = _Builder(yaml.parse(body, loader))
        value = builder.document()
    except (yaml.YAMLError, ValueError) as error:
        raise bad_request(f"error converting YAML to JSON: yaml: {_one_line(error)}") from None
    count_fields(value)
    return require_object(value), builder.duplicates


class _Builder:
    """Builds the value of a document from its events, counting as it goes."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.duplicates: list[str] = []
        self._events = events
        self._anchors: dict[str, _Anchored | None] = {}
        self._nodes = 0
        self._text_bytes = 0
        self._aliased = False

    def document(self) -> Any:
        next(self._events)  # the stream's beginning
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._node(next(self._events), "", 0)
        next(self._events)  # the document's end
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise _YamlError("expected a single document in the stream, but found another")
        return value

    def _count(self, nodes: int, text_bytes: int) -> None:
        self._nodes += nodes
        self._text_bytes += text_bytes
        # keys are counted as well as values
        if self._nodes <= 2 * MAX_NODES and self._text_bytes <= MAX_TEXT_BYTES:
            return
        if self._aliased:
            raise _YamlError("document contains excessive aliasing")
        raise too_many_nodes()

    def _node(self, event: Any, path: str, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise _YamlError(f"exceeded max depth of {MAX_DEPTH}")
        if event.anchor:
            self._anchors[event.anchor] = None  # not to be used inside itself
        nodes, text_bytes = self._nodes, self._text_bytes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            self._count(1, len(event.value))
            value = scalar_value(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._count(1, 0)
            value = self._sequence(path, depth)
        else:
            self._count(1, 0)
            value = self._mapping(path, depth)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(
                value, self._nodes - nodes, self._text_bytes - text_bytes
            )
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _YamlError(f"unknown anchor '{event.anchor}' referenced")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _YamlError(f"anchor '{event.anchor}' value contains itself")
        self._aliased = True
        self._count(anchored.nodes, anchored.text_bytes)
        # a copy of its own: whoever changes the object changes it in one place
        return msgspec.json.decode(msgspec.json.encode(anchored.value))

    def _sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> Object:
        own: Object = {}
        merged: Object = {}
        prefix = f"{path}." if path else ""
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if _is_merge(event):
                value = self._node(next(self._events), path, depth + 1)
                merged = {**_merge_source(value), **merged}
                continue
            key = _key_text(self._node(event, path, depth + 1))
            if key in own:
                self.duplicates.append(f"{prefix}{key}")
            own[key] = self._node(next(self._events), f"{prefix}{key}", depth + 1)
        return {**merged, **own}


def _is_merge(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and (
        (event.tag is None and event.implicit[0] and event.value == "<<")
        or event.tag == f"{_PREFIX}merge"
    )


def _merge_source(value: Any) -> Object:
    """Return the fields that ``<<`` brings; of several sources the first that has a field wins."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise _YamlError("map merge requires map or sequence of maps as the value")
    fields: Object = {}
    for source in reversed(sources):
        fields.update(source)
    return fields


def _key_text(key: Any) -> str:
    """JSON has only text as keys; YAML's other scalars are written as JSON writes them."""
    if isinstance(key, dict | list):
        raise _YamlError("invalid map key: a key must be a scalar")
    return key if isinstance(key, str) else json.dumps(key)


def scalar_value(event: Any) -> Any:
    """Return what a ScalarEvent says: text, number, true, false or null."""
    text, tag = event.value, event.tag
    if tag is None or tag == "!":
        return _plain_value(text) if tag is None and event.implicit[0] else _clean(text)
    short = tag.removeprefix(_PREFIX)
    if short == "binary":
        return _binary(text)
    if short not in ("int", "float", "bool", "null"):
        return _clean(text)
    value = _plain_value(text)
    if short == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if short != _type_of(value):
        raise _YamlError(f"cannot decode !!{_type_of(value)} `{text[:40]}` as a !!{short}")
    return value


def _plain_value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        raise _YamlError(f"json: unsupported value: {text}")
    if not text[0].isascii() or text[0] not in "+-.0123456789" or len(text) > _LONGEST_NUMBER:
        return _clean(text)
    plain = text.replace("_", "")
    if _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        if abs(value) != float("inf"):
            return value
    return _clean(text)


def _integer(plain: str) -> int:
    digits = plain.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xXbBoO":
        plain = plain.replace("0", "0o", 1)  # a leading zero means octal, as in C
    return int(plain, 0)


def _binary(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        raise _YamlError("!!binary value contains invalid base64 data") from None


def _type_of(value: Any) -> str:
    names = ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _clean(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 can hold, as Go does."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    if mark is None:
        return " ".join(str(problem).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
