"""Which tags of a real image one of netlab's own stands for: data, and whether a tag is among it.

Pure. A course names versions that nobody can fetch without a network, and netlab runs what it has
for each of them; but a tag that was never made must be refused as a registry refuses it, because
lessons roll out a wrong one on purpose. So a recipe lists the versions that there are:

    [stands_for.nginx]                       # by name; a table for each name that has other tags
    words = ["latest", "stable"]             # tags without a number
    versions = ["1.7.9-12", "1.8.0-1"]       # last number from-to; 1.7 and 1 are tags then, too
    variants = ["alpine"]                    # alone, and after each of the others: 1.7.9-alpine

A version with a prefix (``v0.1-2``) has it in its tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

_LATEST: Final = "latest"
_LINE = r"^v?\d+(\.\d+)*(-\d+)?$"
_VERSION: Final = re.compile(r"(v?)((?:\d+\.)*)(\d+)(?:-(\d+))?")

VersionRange = Annotated[str, msgspec.Meta(pattern=_LINE)]
Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][\w.-]{0,127}$")]


class StandsFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tags of one name; fields as in the module's example."""

    words: tuple[Word, ...] = (_LATEST,)
    versions: tuple[VersionRange, ...] = ()
    variants: tuple[Word, ...] = ()

    def has(self, tag: str) -> bool:
        """True when there is such a tag."""
        whole = {*self.words, *self.variants}
        if tag in whole or self._is_version(tag):
            return True
        for variant in self.variants:
            main = tag.removesuffix(f"-{variant}")
            if main != tag and (main in whole or self._is_version(main)):
                return True
        return False

    @property
    def summary(self) -> str:
        """The tags in a few words: ``1.7.9 … 1.29.4, latest, stable; alpine, perl``."""
        parts = [*self.words]
        if self.versions:
            first, last = _ends(self.versions[0])[0], _ends(self.versions[-1])[1]
            parts.insert(0, first if first == last else f"{first} … {last}")
        said = ", ".join(parts)
        return f"{said}; {', '.join(self.variants)}" if self.variants else said

    def _is_version(self, tag: str) -> bool:
        return any(_covers(line, tag) for line in self.versions)


ONLY_LATEST: Final = StandsFor()
"""What a recipe that says nothing stands for."""


def _covers(line: str, tag: str) -> bool:
    """True for each version of a line, and for what is left of one when numbers are cut off."""
    prefix, front, first, last = _parts(line)
    if not tag.startswith(prefix):
        return False
    words = tag.removeprefix(prefix).split(".")
    if not all(word.isdigit() and str(int(word)) == word for word in words):
        return False
    numbers = [int(word) for word in words]
    if len(numbers) <= len(front):
        return numbers == front[: len(numbers)]
    return numbers[:-1] == front and first <= numbers[-1] <= last


def _parts(line: str) -> tuple[str, list[int], int, int]:
    found = _VERSION.fullmatch(line)
    assert found is not None  # the recipe was checked
    prefix, front, first, last = found.groups()
    numbers = [int(word) for word in front.split(".") if word]
    return prefix, numbers, int(first), int(last or first)


def _ends(line: str) -> Sequence[str]:
    prefix, front, first, last = _parts(line)
    return [prefix + ".".join(map(str, [*front, number])) for number in (first, last)]
