"""Expands ``$(NAME)`` in commands, arguments and environment values.

Mirrors ``k8s.io/kubernetes/third_party/forked/golang/expansion``: an unknown name stays as it was
written, ``$$`` is one ``$`` (so ``$$(NAME)`` is never expanded), and nothing is expanded twice.
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
