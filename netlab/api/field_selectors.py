"""Field selectors: objects by ``metadata.name``, ``spec.nodeName``, ``involvedObject.uid`` …

Mirrors ``k8s.io/apimachinery/pkg/fields`` and the field label conversions of ``pkg/apis``. Only few
fields of each kind can be selected by (its descriptor's ``selectable``): check a ``FieldMatcher``
once against the kind before use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from netlab.api.field_errors import bad_request
from netlab.api.kind import Kind
from netlab.api.view import Object


def text_at(*path: str) -> Callable[[Object], str]:
    """Return a reader of one field as the text that field selectors compare."""

    def read(obj: Object) -> str:
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return read


def flag_at(*path: str) -> Callable[[Object], str]:
    """Return a reader of a boolean; one that is not written is false."""
    read = text_at(*path)
    return lambda obj: read(obj) or "false"


def paths(*dotted: str) -> dict[str, Callable[[Object], str]]:
    """Return readers of fields by their dotted names, as a kind's ``selectable`` holds them."""
    return {name: text_at(*name.split(".")) for name in dotted}


_METADATA: Final = paths("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field; equal is False for ``!=``."""

    field: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'=' if self.equal else '!='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldMatcher:
    """All terms must hold; no term at all matches everything."""

    terms: tuple[FieldTerm, ...] = ()

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.terms

    def check(self, kind: Kind[Any]) -> None:
        """Refuse fields that objects of ``kind`` cannot be selected by.

        Raises: ApiError 400, worded as Kubernetes.
        """
        own = kind.selectable
        for term in self.terms:
            if term.field in _METADATA or (own is not None and term.field in own):
                continue
            if own is None:
                raise bad_request(
                    f'"{term.field}" is not a known field selector: '
                    'only "metadata.name", "metadata.namespace"'
                )
            raise bad_request(f"field label not supported: {term.field}")

    def required_value(self, field: str) -> str | None:
        """Return the value that ``field`` must equal, or None when there is no such term.

        Lets a list by ``metadata.name`` read one object instead of all.
        """
        for term in self.terms:
            if term.equal and term.field == field:
                return term.value
        return None

    def matches(self, kind: Kind[Any], obj: Object) -> bool:
        """True when ``obj`` satisfies every term.

        Raises: ApiError 400 for a field that cannot be selected by.
        """
        own = kind.selectable or _METADATA
        for term in self.terms:
            read = _METADATA.get(term.field) or own.get(term.field)
            if read is None:
                self.check(kind)
                return False
            if (read(obj) == term.value) is not term.equal:
                return False
        return True

    def __str__(self) -> str:
        return ",".join(str(term) for term in self.terms)


def parse_field_selector(text: str) -> FieldMatcher:
    """Return the matcher that ``text`` writes: ``a.b=c,d!=e``; a backslash escapes a mark.

    Raises: ApiError 400, worded as Kubernetes.
    """
    terms = [_field_term(text, part) for part in _split_unescaped(text) if part]
    return FieldMatcher(tuple(terms))


def _split_unescaped(text: str) -> list[str]:
    parts, current, escaped = [], "", False
    for char in text:
        if char == "," and not escaped:
            parts.append(current)
            current = ""
            continue
        current += char
        escaped = char == "\\" and not escaped
    return [*parts, current]


def _field_term(selector: str, part: str) -> FieldTerm:
    for position in range(len(part)):
        for operator in ("!=", "==", "="):
            if part.startswith(operator, position):
                value = _unescape(part[position + len(operator) :])
                return FieldTerm(part[:position], value, operator != "!=")
    raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")


def _unescape(value: str) -> str:
    result, escaped = "", False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise bad_request(f"invalid field selector: invalid escape sequence: \\{char}")
            result += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {char}")
        else:
            result += char
    if escaped:
        raise bad_request("invalid field selector: unescaped character in value: \\")
    return result
