"""Label selectors: which objects a list, watch, Service or controller means.

Mirrors ``k8s.io/apimachinery/pkg/labels``, with its syntax and wording. Matchers are frozen and
cheap: parse once, match often. Field selectors, in ``field_selectors``, are handed on from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from netlab.api import names
from netlab.api.field_errors import FieldError, bad_request, invalid_value
from netlab.api.field_selectors import FieldMatcher, FieldTerm, parse_field_selector
from netlab.api.meta import LabelSelector
from netlab.errors import ApiError

__all__ = [
    "EVERYTHING",
    "FieldMatcher",
    "FieldTerm",
    "LabelMatcher",
    "Requirement",
    "label_matcher",
    "match_labels",
    "parse_field_selector",
    "parse_label_selector",
]

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
