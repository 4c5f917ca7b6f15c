"""YAML as ``sigs.k8s.io/yaml`` writes it, character for character.

Sorted keys (with numbers inside keys compared as numbers), sequences at their key's own
indentation, plain scalars wherever YAML 1.1 would read the same string back, double quotes where
it would not, single quotes where only the syntax forbids plain, literal blocks for several lines.
Those rules are libyaml's and Go's ``yaml.v2``; PyYAML shares libyaml's but not Go's, and would
cost 20 ms to import.
"""

from __future__ import annotations

import re

from netlab.kubectl.output.gojson import go_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_WORDS = frozenset(
    word
    for base in ("y", "n", "yes", "no", "true", "false", "on", "off", "null")
    for word in (base, base.capitalize(), base.upper())
) | {"~", ""}
_DOT_WORDS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INT = re.compile(r"[-+]?(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?)?"
)
WIDTH = 80
"""The column behind which a blank becomes a line break."""

_BREAKS = "\n\r\x85\u2028\u2029"
_ESCAPES = {
    "\0": "\\0",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    "\x1b": "\\e",
    '"': '\\"',
    "\\": "\\\\",
    "\x85": "\\N",
    "\xa0": "\\_",
    "\u2028": "\\L",
    "\u2029": "\\P",
}


def to_yaml(value: Any) -> str:
    """Return the value as a YAML document, with a final newline."""
    value = go_numbers(value)
    if isinstance(value, (dict, list)) and value:
        return "\n".join(_block(value, 0)) + "\n"
    return _flow(value, 0, 0) + "\n"


def _block(value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)) and item:
                lines = _block(item, indent + 2)
                yield pad + "- " + next(lines)[indent + 2 :]
                yield from lines
            else:
                yield f"{pad}- {_flow(item, indent, indent + 2)}"
        return
    for key in sorted(value, key=natural_key):
        item = value[key]
        head = pad + _key(key) + ":"
        if isinstance(item, dict) and item:
            yield head
            yield from _block(item, indent + 2)
        elif isinstance(item, list) and item:
            yield head
            yield from _block(item, indent)
        else:
            yield f"{head} {_flow(item, indent, len(head) + 1)}"


def _key(key: str) -> str:
    text = quote_scalar(key, 0, 0, is_key=True)
    # Beyond 128 characters libyaml no longer takes a key for simple.
    return text if len(key) <= 128 else f"? {text}\n"


def _flow(value: Any, indent: int, column: int) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, int):
        return str(value)
    return quote_scalar(value, indent, column)


def format_float(value: float) -> str:
    """Return a float as Go's ``%g`` with the fewest digits."""
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa}e{sign}{exponent.lstrip('+-').zfill(2)}"


def quote_scalar(text: str, indent: int, column: int, *, is_key: bool = False) -> str:
    """Return a string as a scalar in the style that Go's encoder picks.

    indent: of the mapping or sequence the scalar stands in; further lines stand 2 deeper.
    column: where the scalar begins; a scalar that is no key is folded behind column 80.
    """
    looks = _Looks(text)
    pad = "\n" + " " * (indent + 2)
    if "\n" in text and not is_key:
        if looks.block_allowed:
            return _literal(text, indent)
        return _double(text, pad, column)
    if _means_something_else(text) or (is_key and "\n" in text):
        return _double(text, "" if is_key else pad, column)
    if looks.plain_allowed:
        return text if is_key else _fold(text, pad, column, edges=True)
    if looks.single_allowed:
        body = text.replace("'", "''")
        return f"'{body}'" if is_key else f"'{_fold(body, pad, column + 1, edges=False)}'"
    return _double(text, "" if is_key else pad, column)


def _fold(text: str, pad: str, column: int, *, edges: bool) -> str:
    """Break a line at single blanks behind column 80; ``edges`` allows the first and last one."""
    if column + len(text) <= WIDTH:
        return text
    out: list[str] = []
    last = len(text) - 1
    before_is_blank = False
    for at, character in enumerate(text):
        if character != " ":
            out.append(character)
            column += 1
            before_is_blank = False
            continue
        inside = edges or 0 < at < last
        if not before_is_blank and column > WIDTH and inside and text[at + 1 : at + 2] != " ":
            out.append(pad)
            column = len(pad) - 1
        else:
            out.append(character)
            column += 1
        before_is_blank = True
    return "".join(out)


def _means_something_else(text: str) -> bool:
    """True when YAML 1.1 reads the plain text as null, bool, number or time."""
    if text in _WORDS or _DOT_WORDS.fullmatch(text):
        return True
    if text[0] not in "+-.0123456789":
        return False
    bare = text.replace("_", "") if text[0] != "." else text
    return bool(
        _INT.fullmatch(bare)
        or _FLOAT.fullmatch(bare)
        or _BASE_60.fullmatch(text)
        or _TIMESTAMP.fullmatch(text)
    )


class _Looks:
    """Which styles a scalar may have; libyaml's analysis of its characters."""

    def __init__(self, text: str) -> None:
        block_indicator = special = line_breaks = False
        leading_space = leading_break = trailing_space = trailing_break = False
        break_space = space_break = previous_space = previous_break = False
        if text.startswith(("---", "...")):
            block_indicator = True
        before_is_blank = True
        last = len(text) - 1
        for at, character in enumerate(text):
            after_is_blank = at == last or text[at + 1] in " \t" + _BREAKS
            if at == 0:
                if character in "#,[]{}&*!|>'\"%@`" or (character in "?:-" and after_is_blank):
                    block_indicator = True
            elif (character == ":" and after_is_blank) or (character == "#" and before_is_blank):
                block_indicator = True
            if not _is_printable(character):
                special = True
            is_break = character in _BREAKS
            line_breaks = line_breaks or is_break
            if character == " ":
                leading_space |= at == 0
                trailing_space |= at == last
                break_space |= previous_break
                previous_space, previous_break = True, False
            elif is_break:
                leading_break |= at == 0
                trailing_break |= at == last
                space_break |= previous_space
                previous_space, previous_break = False, True
            else:
                previous_space = previous_break = False
            before_is_blank = character in " \t" + _BREAKS
        edges = leading_space or leading_break or trailing_space or trailing_break
        hidden = space_break or special
        self.plain_allowed = not (
            edges or break_space or hidden or line_breaks or block_indicator or not text
        )
        self.single_allowed = not (break_space or hidden)
        self.block_allowed = not (trailing_space or hidden)


def _is_printable(character: str) -> bool:
    code = ord(character)
    return (
        code == 0x0A
        or 0x20 <= code <= 0x7E
        or 0xA0 <= code <= 0xD7FF
        or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)
    )


def _double(text: str, pad: str, column: int) -> str:
    """Return the text in double quotes; with a ``pad``, broken at blanks behind column 80."""
    out: list[str] = []
    column += 1
    last = len(text) - 1
    before_is_blank = False
    for at, character in enumerate(text):
        may_break = pad and character == " " and not before_is_blank and 0 < at < last
        if may_break and column > WIDTH:
            after = "\\" if text[at + 1] == " " else ""
            out.append(pad + after)
            column = len(pad) - 1 + len(after)
        else:
            out.append(_escape(character))
            column += len(out[-1])
        before_is_blank = character == " "
    return f'"{"".join(out)}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if _is_printable(character):
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " \n" else ""
    body = text
    if not text.endswith("\n"):
        chomp = "-"
    elif text == "\n" or text.endswith("\n\n"):
        chomp = "+"
    else:
        chomp = ""
    if body.endswith("\n"):
        body = body[:-1]
    pad = " " * (indent + 2)
    lines = [pad + line if line else "" for line in body.split("\n")]
    return "\n".join([f"|{hint}{chomp}", *lines])


class natural_key:  # noqa: N801 used as a key function
    """Orders mapping keys as Go's yaml does: letters after all else, numbers by their value."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: natural_key) -> bool:
        one, two = self.text, other.text
        for at, (left, right) in enumerate(zip(one, two, strict=False)):
            if left == right:
                continue
            if left.isalpha() or right.isalpha():
                return left < right if left.isalpha() and right.isalpha() else right.isalpha()
            return _compare_numbers(one, two, at)
        return len(one) < len(two)


def _compare_numbers(one: str, two: str, at: int) -> bool:
    first = 0
    if one[at] == "0" or two[at] == "0":
        before = at - 1
        while before >= 0 and one[before].isdigit():
            if one[before] != "0":
                first = 1
                break
            before -= 1
    left, left_end = _number(one, at, first)
    right, right_end = _number(two, at, first)
    if left != right:
        return left < right
    if left_end != right_end:
        return left_end < right_end
    return one[at] < two[at]


def _number(text: str, at: int, value: int) -> tuple[int, int]:
    while at < len(text) and text[at].isdigit():
        value = value * 10 + int(text[at])
        at += 1
    return value, at


def strip_managed_fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object without ``metadata.managedFields``, as kubectl shows it by default."""
    copy = dict(obj)
    if isinstance(copy.get("metadata"), dict) and "managedFields" in copy["metadata"]:
        copy["metadata"] = {k: v for k, v in copy["metadata"].items() if k != "managedFields"}
    if isinstance(copy.get("items"), list):
        copy["items"] = [
            strip_managed_fields(item) if isinstance(item, dict) else item for item in copy["items"]
        ]
    return copy
