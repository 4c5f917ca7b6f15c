"""Expands ``$(NAME)`` in commands, arguments, environment values and ``subPathExpr``.

Mirrors ``k8s.io/kubernetes/third_party/forked/golang/expansion``: an unknown name stays as it was
written, ``$$`` is one ``$`` (so ``$$(NAME)`` is never expanded), and nothing is expanded twice.
Only ``subPathExpr`` is strict: a name that is unknown there would be a path nobody asked for. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return ``text`` with each ``$(NAME)`` replaced by ``values[NAME]``, if there is one."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return values.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def unknown_names(text: str, values: Mapping[str, str]) -> list[str]:
    """Return, in order, the names that ``text`` refers to and ``values`` lacks."""
    return [
        match[2]
        for match in _REFERENCE.finditer(text)
        if match[1] != "$" and match[2] not in values
    ]
