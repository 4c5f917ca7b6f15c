"""JSONPath as kubectl understands it: a template with expressions in braces.

Mirrors ``k8s.io/client-go/util/jsonpath``: ``{.items[*].metadata.name}``, ``{range …}…{end}``,
filters ``[?(@.a=="b")]``, slices, unions, recursive descent, quoted names and texts. What it
selects is printed with blanks in between; lists and mappings as JSON.

Text is parsed once into ``Template``; evaluation changes nothing. netlab prints mappings under
``*`` in the order of the object, where Go's order is random.
"""

from __future__ import annotations

import re

from netlab.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    Values: TypeAlias = list[Any]
    Step: TypeAlias = Callable[[Values, "_Scope"], Values]

_NAME_END = frozenset("[]{}(), .|&\t\n\r<>=!'\"")
_INDEX = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_FILTER = re.compile(r"^([^!<>=]+)([!<>=]+)(.+?)$", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_UNQUOTE = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b"}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


class JsonPathError(UsageError):
    """The template is malformed, or does not fit the object."""


class _Scope:
    """What expressions may refer to beside the current values."""

    __slots__ = ("allow_missing", "root")

    def __init__(self, root: Any, *, allow_missing: bool) -> None:
        self.root = root
        self.allow_missing = allow_missing


class Template:
    """A parsed template. parts: texts, expressions (lists of steps) and ranges, in order."""

    __slots__ = ("parts", "text")

    def __init__(self, text: str) -> None:
        """Parse a template.

        Raises: JsonPathError when it is malformed.
        """
        self.text = text
        parts = _parse_template(text)
        self.parts = _nest(iter(parts), inside=False)

    def results(self, obj: Any, *, allow_missing: bool = True) -> list[Values]:
        """Return what each part of the template selects, in order.

        Raises: JsonPathError when a field is missing (unless allowed) or an index out of bounds.
        """
        return list(_evaluate(self.parts, obj, _Scope(obj, allow_missing=allow_missing)))

    def render(self, obj: Any, *, allow_missing: bool = True) -> str:
        """Return what the template prints for an object."""
        found = self.results(obj, allow_missing=allow_missing)
        return "".join(" ".join(value_text(value) for value in values) for values in found)


class _Expression:
    __slots__ = ("steps",)

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def apply(self, value: Any, scope: _Scope) -> Values:
        values = [value]
        for step in self.steps:
            values = step(values, scope)
        return values


class _Range:
    __slots__ = ("body", "expression")

    def __init__(self, expression: _Expression, body: Sequence[Any]) -> None:
        self.expression = expression
        self.body = body


class _End:
    __slots__ = ()


def relaxed(expression: str) -> Template:
    """Return the template of a path that may lack its braces or first dot: ``metadata.name``.

    Raises: JsonPathError when it is no path.
    """
    if not expression:
        return Template("{}")
    found = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", expression)
    if found is None:
        raise JsonPathError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or "
            "'{name1.name2}' or '{.name1.name2}'"
        )
    return Template("{." + (found[1] or found[2]) + "}")


def value_text(value: Any) -> str:
    """Return a selected value as it is printed."""
    if isinstance(value, (dict, list)):
        from netlab.kubectl.output.gojson import to_compact_json

        return to_compact_json(value)
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        from netlab.kubectl.output.goyaml import format_float

        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else format_float(value)
    return str(value)


def _evaluate(parts: Sequence[Any], value: Any, scope: _Scope) -> Iterator[Values]:
    for part in parts:
        if isinstance(part, str):
            yield [part]
        elif isinstance(part, _Range):
            for each in part.expression.apply(value, scope):
                yield from _evaluate(part.body, each, scope)
        else:
            yield part.apply(value, scope)


def _nest(parts: Iterator[Any], *, inside: bool) -> list[Any]:
    nested: list[Any] = []
    for part in parts:
        if isinstance(part, _End):
            if inside:
                return nested
            part = _Expression([_stray_end])
        if isinstance(part, _Range):
            part = _Range(part.expression, _nest(parts, inside=True))
        nested.append(part)
    return nested


def _parse_template(text: str) -> list[Any]:
    parts: list[Any] = []
    at = 0
    while at < len(text):
        start = text.find("{", at)
        if start < 0:
            parts.append(text[at:])
            break
        if start > at:
            parts.append(text[at:start])
        reader = _Reader(text, start + 1)
        parts += reader.action()
        at = reader.at
    return parts


class _Reader:
    """Reads one ``{…}``; ``at`` stands behind it afterwards."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def action(self) -> list[Any]:
        steps: list[Step] = []
        parts: list[Any] = []
        is_range = False
        while True:
            character = self._peek()
            if character == "":
                raise JsonPathError("unclosed action")
            if character == "}":
                self.at += 1
                break
            if character in " \t\n\r":
                self.at += 1
            elif character in "'\"":
                literal = self._quoted()
                parts.append(literal)
            elif character == "$":
                self.at += 1
                steps.append(_root)
            elif character == "@":
                self.at += 1
            elif character == "*" and not steps:
                self.at += 1
                steps.append(_wildcard)
            elif character in ".[":
                self._path_step(steps)
            elif character.isalpha():
                word = self._name()
                if word == "range":
                    is_range = True
                elif word == "end":
                    parts.append(_End())
                else:
                    raise JsonPathError(f"unrecognized identifier {word}")
            elif character.isdigit() or character in "+-":
                number = _NUMBER.match(self.text, self.at)
                if number is None:
                    raise JsonPathError(f"cannot parse number {character}")
                self.at = number.end()
                parts.append(number[0])
            else:
                raise JsonPathError(
                    f"unrecognized character in action: U+{ord(character):04X} {character!r}"
                )
        if is_range:
            return [*parts, _Range(_Expression(steps), ())]
        if steps or not parts:
            parts.append(_Expression(steps))
        return parts

    def path(self) -> _Expression:
        """Read a bare path to the end of the text."""
        steps: list[Step] = []
        while (character := self._peek()) != "":
            if character in "@ ":
                self.at += 1
            elif character == "$":
                self.at += 1
                steps.append(_root)
            elif character in ".[":
                self._path_step(steps)
            else:
                steps.append(_unknown(self._name() or character))
                self.at += 0 if self._peek() != character else 1
        return _Expression(steps)

    def _path_step(self, steps: list[Step]) -> None:
        if self._peek() == "[":
            steps.append(_bracket(self._inside_brackets()))
            return
        self.at += 1
        character = self._peek()
        if character == ".":
            self.at += 1
            steps.append(_descend)
            if self._peek() not in ("[", "}", "", "*", "."):
                steps.append(_field(self._name()))
            elif self._peek() == "*":
                self.at += 1
                steps.append(_wildcard)
        elif character == "*":
            self.at += 1
            steps.append(_wildcard)
        elif character == "[":
            return
        elif character not in ("", "}", " "):
            steps.append(_field(self._name()))

    def _name(self) -> str:
        name: list[str] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == "\\" and self.at + 1 < len(self.text):
                name.append(self.text[self.at + 1])
                self.at += 2
                continue
            if character in _NAME_END:
                break
            name.append(character)
            self.at += 1
        return "".join(name)

    def _quoted(self) -> str:
        quote, start = self.text[self.at], self.at + 1
        at = start
        while at < len(self.text) and self.text[at] != quote:
            at += 2 if self.text[at] == "\\" else 1
        if at >= len(self.text):
            raise JsonPathError("unterminated quoted string")
        self.at = at + 1
        return unquote(self.text[start:at])

    def _inside_brackets(self) -> str:
        depth, quote, start = 0, "", self.at + 1
        for at in range(self.at, len(self.text)):
            character = self.text[at]
            if quote:
                if character == quote and self.text[at - 1] != "\\":
                    quote = ""
            elif character in "'\"":
                quote = character
            elif character in "[(":
                depth += 1
            elif character in "])":
                depth -= 1
                if depth == 0:
                    self.at = at + 1
                    return self.text[start:at]
        raise JsonPathError("unterminated array")

    def _peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""


def unquote(text: str) -> str:
    r"""Return a quoted text's value: ``\\n`` becomes a line end, ``\\"`` a quote."""
    return re.sub(r"\\(.)", lambda found: _UNQUOTE.get(found[1], found[0]), text, flags=re.DOTALL)


def _bracket(inside: str) -> Step:
    text = inside.strip()
    if text.startswith("?(") and text.endswith(")"):
        return _filter(text[2:-1])
    choices = _split_choices(text)
    if len(choices) > 1:
        steps = [_bracket(choice) for choice in choices]
        return lambda values, scope: [item for step in steps for item in step(values, scope)]
    if text == "*":
        return _wildcard
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        # A quoted name is a path of its own; dots in names are escaped there too.
        path = _Reader("." + text[1:-1], 0).path()
        return lambda values, scope: [each for v in values for each in path.apply(v, scope)]
    index = _INDEX.fullmatch(text)
    if index is None or not text:
        raise JsonPathError(f"invalid array index {text}")
    return _slice(index)


def _split_choices(text: str) -> list[str]:
    choices, quote, start = [], "", 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == ",":
            choices.append(text[start:at])
            start = at + 1
    return [*choices, text[start:]]


def _slice(index: re.Match[str]) -> Step:
    single = index[2] is None
    start = int(index[1]) if index[1] else 0
    end = int(index[2][1:]) if index[2] and index[2] != ":" else None
    step = int(index[3][1:]) if index[3] and index[3] != ":" else None

    def apply(values: Values, scope: _Scope) -> Values:
        found: Values = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, list):
                raise JsonPathError(f"{value_text(value)} is not array or slice")
            size = len(value)
            first = start + size if start < 0 else start
            last = first + 1 if single else size if end is None else end
            last = last + size if last < 0 else last
            if first == last:
                continue
            if first > last:
                raise JsonPathError(f"starting index {first} is greater than ending index {last}")
            for bound, reported in ((first, first), (last - 1, last - 1)):
                if not 0 <= bound < size:
                    raise JsonPathError(
                        f"array index out of bounds: index {reported}, length {size}"
                    )
            if step is not None and step <= 0:
                raise JsonPathError("step must be > 0")
            found += value[first : last : step or 1]
        return found

    return apply


def _field(name: str) -> Step:
    def apply(values: Values, scope: _Scope) -> Values:
        found = [value[name] for value in values if isinstance(value, dict) and name in value]
        if not found and values and not scope.allow_missing:
            raise JsonPathError(f"{name} is not found")
        return found

    return apply


def _stray_end(values: Values, scope: _Scope) -> Values:
    raise JsonPathError("not in range, nothing to end")


def _unknown(word: str) -> Step:
    """Return the step of a word that means nothing; it complains when it is reached."""

    def apply(values: Values, scope: _Scope) -> Values:
        raise JsonPathError(f"unrecognized identifier {word}")

    return apply


def _root(values: Values, scope: _Scope) -> Values:
    return [scope.root]


def _wildcard(values: Values, scope: _Scope) -> Values:
    found: Values = []
    for value in values:
        if isinstance(value, list):
            found += value
        elif isinstance(value, dict):
            found += value.values()
    return found


def _descend(values: Values, scope: _Scope) -> Values:
    found: Values = []
    for value in values:
        found.append(value)
        children = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list)):
            nested = [child for child in children if isinstance(child, (dict, list))]
            found += _descend(nested, scope)
    return found


def _filter(text: str) -> Step:
    compared = _FILTER.match(text)
    left = _operand(compared[1] if compared else text)
    right = _operand(compared[3]) if compared else None
    operator = _OPERATORS.get(compared[2]) if compared else None
    if compared and operator is None:
        raise JsonPathError(f"unrecognized filter operator {compared[2]}")

    def keeps(item: Any, scope: _Scope) -> bool:
        inner = _Scope(scope.root, allow_missing=True)
        lefts = left.apply(item, inner)
        if right is None or operator is None:
            return bool(lefts)
        rights = right.apply(item, inner)
        if len(lefts) > 1 or len(rights) > 1:
            raise JsonPathError("can only compare one element at a time")
        if not lefts or not rights:
            return False
        if _type_of(lefts[0]) != _type_of(rights[0]):
            raise JsonPathError("incompatible types for comparison")
        return operator(lefts[0], rights[0])

    def apply(values: Values, scope: _Scope) -> Values:
        found: Values = []
        for value in values:
            if value is None:
                continue
            if not isinstance(value, (list, dict)):
                raise JsonPathError(
                    f"{value_text(value)} is not array or slice and cannot be filtered"
                )
            items = value if isinstance(value, list) else [value]
            found += [item for item in items if keeps(item, scope)]
        return found

    return apply


def _operand(text: str) -> _Expression:
    text = text.strip()
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        literal: Any = unquote(text[1:-1])
    elif text in ("true", "false"):
        literal = text == "true"
    elif _NUMBER.fullmatch(text):
        literal = float(text) if "." in text else int(text)
    else:
        return _Reader(text, 0).path()
    return _Expression([lambda values, scope: [literal]])


def _type_of(value: Any) -> type:
    return type(value)
