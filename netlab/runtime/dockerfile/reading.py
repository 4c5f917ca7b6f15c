"""A Dockerfile's text as instructions, with the line that each begins on. Pure.

Knows comments, continued lines, flags, the JSON form and the words of the shell form. What netlab
leaves out, one clear line each: here-documents and another escape character than the backslash.

Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from netlab.errors import ImageError

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S+)", re.IGNORECASE)
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?\s*")
_HEREDOC = re.compile(r"(^|\s)<<-?[\"']?[A-Za-z_]")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. place: ``FILE:LINE``; name: in capitals; rest: all but name and flags."""

    place: str
    name: str
    flags: Mapping[str, str]
    rest: str

    def refuse(self, cause: str) -> NoReturn:
        """Raise what is wrong with it.

        Raises: ImageError.
        """
        raise ImageError(f"{self.place}: {self.name}: {cause}")

    @property
    def listed(self) -> list[str] | None:
        """The words of the JSON form; None when it is in the other."""
        if not self.rest.startswith("["):
            return None
        try:
            words = json.loads(self.rest)
        except json.JSONDecodeError:
            return None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
        return None


def read_dockerfile(text: str, source: str) -> list[Instruction]:
    """Return the instructions of a text; source names it in errors.

    Raises: ImageError with file and line.
    """
    found: list[Instruction] = []
    pending, begun = "", 0
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not found and not pending and (directive := _DIRECTIVE.fullmatch(line)):
            if directive[1].lower() == "escape" and directive[2] != "\\":
                raise ImageError(f"{source}:{number}: escape: only the backslash is known")
            continue
        if line.startswith("#") or not line:
            continue
        line = raw.rstrip() if pending else line
        begun = begun or number
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        found.append(_instruction(f"{source}:{begun}", (pending + line).strip()))
        pending, begun = "", 0
    if pending.strip():
        found.append(_instruction(f"{source}:{begun}", pending.strip()))
    if not found:
        raise ImageError(f"{source}: has no instruction")
    return found


def _instruction(place: str, line: str) -> Instruction:
    name, _, rest = line.partition(" ")
    rest, flags = rest.strip(), {}
    while found := _FLAG.match(rest):
        flags[found[1]] = found[2] or ""
        rest = rest[found.end() :]
    made = Instruction(place, name.upper(), flags, rest)
    if made.name in ("RUN", "COPY", "ADD") and _HEREDOC.search(rest):
        made.refuse("here-documents are not supported")
    if not rest:
        made.refuse("says nothing")
    return made


def split_words(text: str) -> list[str]:
    """Return the words of a text as they are written: quotes keep spaces, and stay."""
    return re.findall(r"(?:\\.|\"(?:\\.|[^\"\\])*\"|'[^']*'|[^\s\"'\\]|[\"'\\])+", text)


def expand_word(word: str, values: Mapping[str, str]) -> str:
    """Return a word without quotes and escapes, its variables replaced; nothing is replaced in
    single quotes, and what is not set is empty.
    """
    pieces = re.findall(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|(?:[^\\'\"])+|.", word, re.DOTALL)
    return "".join(_piece(piece, values) for piece in pieces)


def _piece(piece: str, values: Mapping[str, str]) -> str:
    if len(piece) > 1 and piece[0] == piece[-1] == "'":
        return piece[1:-1]
    if len(piece) > 1 and piece[0] == piece[-1] == '"':
        inner = re.findall(r"\\.|[^\\]+|.", piece[1:-1], re.DOTALL)
        return "".join(
            part[1] if part[:1] == "\\" and part[1:] in ('"', "\\", "$") else _expand(part, values)
            for part in inner
        )
    if piece.startswith("\\") and len(piece) > 1:
        return piece[1:]
    return _expand(piece, values)


def _expand(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, rule, word = found[1] or found[2], found[3] or "", found[4] or ""
        known = name in values and bool(values[name] or not rule.startswith(":"))
        if rule.endswith("+"):
            return word if known else ""
        return values[name] if known else word

    return _VARIABLE.sub(value, text)


def words_of(instruction: Instruction, values: Mapping[str, str]) -> Sequence[str]:
    """Return the words of either form, their variables replaced."""
    written = instruction.listed
    if written is not None:
        return [_expand(word, values) for word in written]
    return [expand_word(word, values) for word in split_words(instruction.rest)]
