"""Label and field selectors: which objects a list, watch, Service or controller means.

Mirrors ``k8s.io/apimachinery/pkg/labels`` and ``pkg/fields``, with their syntax and wording.
Matchers are frozen and cheap: parse once, match often. A ``FieldMatcher`` must be checked once
against the kind (``check``) before it is used, as only few fields of each kind can be selected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from netlab.api import names
from netlab.api.field_errors import FieldError, bad_request, invalid_value
from netlab.api.kinds import Kind
from netlab.api.meta import LabelSelector
from netlab.api.view import Object
from netlab.errors import ApiError

Labels: TypeAlias = Mapping[str, str]

_OPERATORS: Final = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SET_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label; operator is one of ``= == != in notin exists ! gt lt``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """True when ``labels`` satisfy the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            number, bound = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """All requirements must hold; no requirement at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels | None) -> bool:
        """True when ``labels`` (None counts as none) satisfy every requirement."""
        given = labels or {}
        return all(requirement.matches(given) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """True when everything matches."""
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING: Final = LabelMatcher()


def label_matcher(selector: LabelSelector) -> LabelMatcher:
    """Return the matcher of a ``LabelSelector``; an empty one matches everything.

    Raises: ApiError 400 for an operator or key that is not allowed.
    """
    requirements = [Requirement(key, "=", (value,)) for key, value in selector.match_labels.items()]
    for expression in selector.match_expressions:
        operator = _SET_OPERATORS.get(expression.operator)
        if operator is None:
            raise bad_request(f'"{expression.operator}" is not a valid label selector operator')
        requirement = Requirement(expression.key, operator, tuple(sorted(set(expression.values))))
        _check_requirement(requirement)
        requirements.append(requirement)
    return LabelMatcher(tuple(sorted(requirements, key=lambda r: r.key)))


def match_labels(labels: Labels) -> LabelMatcher:
    """Return the matcher of a plain map, as in a Service's selector."""
    return LabelMatcher(tuple(Requirement(key, "=", (labels[key],)) for key in sorted(labels)))


def parse_label_selector(text: str) -> LabelMatcher:
    """Return the matcher that ``text`` writes: ``a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1``.

    Raises: ApiError 400, worded as Kubernetes.
    """
    if not text.strip():
        return EVERYTHING
    return LabelMatcher(tuple(sorted(_LabelParser(text).parse(), key=lambda r: r.key)))


def _check_requirement(requirement: Requirement) -> None:
    error = _requirement_error(requirement)
    if error is not None:
        raise bad_request(str(error))


def _requirement_error(requirement: Requirement) -> FieldError | None:
    key_messages = names.qualified_name(requirement.key)
    if key_messages:
        return invalid_value("key", requirement.key, "; ".join(key_messages))
    operator, values = requirement.operator, requirement.values
    if operator in ("in", "notin") and not values:
        detail = "for 'in', 'notin' operators, values set can't be empty"
        return invalid_value("values", list(values), detail)
    if operator in ("exists", "!") and values:
        detail = "values set must be empty for exists and does not exist"
        return invalid_value("values", list(values), detail)
    for index, value in enumerate(values):
        if operator in ("gt", "lt") and not value.lstrip("+-").isdecimal():
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            return invalid_value(f"values[{index}]", value, detail)
        messages = names.label_value(value)
        if messages:
            path = f"values[{index}][{requirement.key}]"
            return invalid_value(path, value, "; ".join(messages))
    return None


_END: Final = ""
_SYMBOLS: Final = ("==", "!=", "=", "!", "(", ")", ",", ">", "<")
_SPECIAL = frozenset("=!(),><")


def _tokens(text: str) -> list[str]:
    """Split into symbols and words; white space separates and is dropped."""
    found: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        if char in " \t\r\n":
            position += 1
        elif char in _SPECIAL:
            symbol = next(s for s in _SYMBOLS if text.startswith(s, position))
            found.append(symbol)
            position += len(symbol)
        else:
            start = position
            while position < len(text) and text[position] not in _SPECIAL | set(" \t\r\n"):
                position += 1
            found.append(text[start:position])
    return found


class _LabelParser:
    """A recursive descent over the tokens of a label selector."""

    def __init__(self, text: str) -> None:
        self._rest = _tokens(text)
        self._rest.reverse()

    def _peek(self) -> str:
        return self._rest[-1] if self._rest else _END

    def _next(self) -> str:
        return self._rest.pop() if self._rest else _END

    @staticmethod
    def _is_word(item: str) -> bool:
        return item != _END and item not in _SYMBOLS

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while self._peek() != _END:
            item = self._peek()
            if not self._is_word(item) and item != "!":
                raise bad_request(f"found '{item}', expected: !, identifier, or 'end of string'")
            requirements.append(self._requirement())
            separator = self._next()
            if separator == _END:
                break
            if separator != ",":
                raise bad_request(f"found '{separator}', expected: ',' or 'end of string'")
            following = self._peek()
            if not self._is_word(following) and following != "!":
                raise bad_request(f"found '{following}', expected: identifier after ','")
        return requirements

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not self._is_word(key):
            raise self._error(f"found '{key}', expected: identifier")
        messages = names.qualified_name(key)
        if messages:
            raise self._error(str(invalid_value("key", key, "; ".join(messages))))
        if negated or self._peek() in (_END, ","):
            requirement = Requirement(key, "!" if negated else "exists")
        else:
            requirement = self._comparison(key)
        error = _requirement_error(requirement)
        if error is not None:
            raise self._error(str(error))
        return requirement

    def _comparison(self, key: str) -> Requirement:
        operator = self._next()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._value_list())
        if operator in ("=", "==", "!=", ">", "<"):
            written = {">": "gt", "<": "lt"}.get(operator, operator)
            return Requirement(key, written, (self._exact_value(),))
        raise self._error(f"found '{operator}', expected: {', '.join(_OPERATORS)}")

    def _exact_value(self) -> str:
        if self._peek() in (_END, ","):
            return ""
        value = self._next()
        if not self._is_word(value):
            raise self._error(f"found '{value}', expected: identifier")
        return value

    def _value_list(self) -> tuple[str, ...]:
        opening = self._next()
        if opening != "(":
            raise self._error(f"found '{opening}' expected: '('")
        values: set[str] = set()
        before = ","
        while (item := self._next()) != ")":
            if item == ",":
                if before == ",":
                    values.add("")
            elif self._is_word(item) and before == ",":
                values.add(item)
            elif self._is_word(item):
                raise self._error(f"found '{item}', expected: ',' or ')'")
            else:
                raise self._error(f"found '{item}', expected: ',', ')' or identifier")
            before = item
        if values and before == ",":
            values.add("")
        return tuple(sorted(values))

    @staticmethod
    def _error(message: str) -> ApiError:
        return bad_request(f"unable to parse requirement: {message}")


def _text_at(*path: str) -> Callable[[Object], str]:
    """Return a reader of one field as the text that field selectors compare."""

    def read(obj: Object) -> str:
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return read


def _flag_at(*path: str) -> Callable[[Object], str]:
    read = _text_at(*path)
    return lambda obj: read(obj) or "false"


def _event_source(obj: Object) -> str:
    return _text_at("source", "component")(obj) or _text_at("reportingComponent")(obj)


def _pod_ips(obj: Object) -> str:
    return ",".join(str(entry.get("ip", "")) for entry in obj.get("status", {}).get("podIPs", ()))


def _paths(*dotted: str) -> dict[str, Callable[[Object], str]]:
    return {name: _text_at(*name.split(".")) for name in dotted}


_METADATA: Final = _paths("metadata.name", "metadata.namespace")
_SELECTABLE: Final[Mapping[tuple[str, str], Mapping[str, Callable[[Object], str]]]] = {
    ("", "Pod"): {
        **_paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        "spec.hostNetwork": _flag_at("spec", "hostNetwork"),
        "status.podIPs": _pod_ips,
    },
    ("", "Node"): {"spec.unschedulable": _flag_at("spec", "unschedulable")},
    ("", "Namespace"): _paths("status.phase"),
    ("", "Secret"): _paths("type"),
    ("", "Service"): _paths("spec.clusterIP", "spec.type"),
    ("", "Event"): {
        **_paths(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ),
        "source": _event_source,
    },
}


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
        own = _SELECTABLE.get((kind.group, kind.kind))
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
        own = _SELECTABLE.get((kind.group, kind.kind), _METADATA)
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
