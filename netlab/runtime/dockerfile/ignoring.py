"""Which files of a build context ``.dockerignore`` leaves out. Pure.

The last pattern that fits decides; one with ``!`` brings back. A pattern fits a path and what is
below it. ``*`` and ``?`` stop at a slash, ``**`` does not.

Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence


class Ignoring:
    """The patterns of one file."""

    def __init__(self, text: str = "") -> None:
        self._rules: Sequence[tuple[bool, re.Pattern[str]]] = [
            rule for line in text.splitlines() if (rule := _rule(line.strip()))
        ]

    def leaves_out(self, path: str) -> bool:
        """True for a path, relative to the context, that the build does not see."""
        out = False
        for keeps, pattern in self._rules:
            if pattern.fullmatch(path):
                out = not keeps
        return out

    @property
    def brings_back(self) -> bool:
        """True when something inside of what is left out may be seen."""
        return any(keeps for keeps, _pattern in self._rules)


def _rule(line: str) -> tuple[bool, re.Pattern[str]] | None:
    if not line or line.startswith("#"):
        return None
    keeps = line.startswith("!")
    path = posixpath.normpath(line.removeprefix("!").strip()).lstrip("/")
    words = re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|.", path)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(
        known.get(word) or (word if word.startswith("[") else re.escape(word)) for word in words
    )
    return keeps, re.compile(f"{text}(?:/.*)?")
