"""Write and read tables of nftables through the host's own ``nft`` command.

Rules for callers: a text is one transaction. ``listing`` is for comparing with an earlier one of
the same table: what nft prints is not spelt as what was written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from netlab import command
from netlab.errors import CommandError, NetworkError

TIMEOUT_S = 60.0


class Nft:
    """The nft command in one network namespace."""

    def __init__(self, netns: Path | None) -> None:
        self._netns = netns

    async def run(self, text: str) -> None:
        """Give the text to nft.

        Raises: HostError when nft is not installed; NetworkError with the refused line.
        """
        try:
            await command.run(
                ["nft", "-f", "-"], timeout_s=TIMEOUT_S, stdin=text.encode(), netns=self._netns
            )
        except CommandError as error:
            raise NetworkError(f"write nftables: {_reason(error.stderr)}") from error

    async def listing(self, table: str) -> list[dict[str, Any]] | None:
        """Return what the table holds, without counters and numbers of the kernel; None: no table.

        table: family and name.

        Raises: HostError when nft is not installed; NetworkError when it cannot be read.
        """
        found = await self._list("-s", "table", *table.split(" "))
        return None if found is None else sorted((_plain(one) for one in found), key=json.dumps)

    async def rules(self, table: str, chain: str) -> list[dict[str, Any]]:
        """Return the rules of a chain with their counters, as nft's JSON has them.

        Raises: HostError when nft is not installed; NetworkError when they cannot be read.
        """
        found = await self._list("chain", *table.split(" "), chain)
        return [one["rule"] for one in found or [] if "rule" in one]

    async def _list(self, *words: str) -> list[dict[str, Any]] | None:
        options = [word for word in words if word.startswith("-")]
        rest = [word for word in words if not word.startswith("-")]
        argv = ["nft", "-j", "-nn", *options, "list", *rest]
        try:
            done = await command.run(argv, timeout_s=TIMEOUT_S, netns=self._netns)
        except CommandError as error:
            if "No such file" in error.stderr:
                return None
            raise NetworkError(f"read nftables: {_reason(error.stderr)}") from error
        found: list[dict[str, Any]] = json.loads(done.text())["nftables"]
        return [one for one in found if "metainfo" not in one]


def count(rule: dict[str, Any]) -> tuple[int, int]:
    """Return the packets and octets that a rule counted; zeros for one that does not count."""
    for expression in rule.get("expr", ()):
        if isinstance(expression, dict) and isinstance(expression.get("counter"), dict):
            return expression["counter"]["packets"], expression["counter"]["bytes"]
    return 0, 0


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without handles, its elements in order."""
    [(kind, value)] = entry.items()
    kept = {key: one for key, one in value.items() if key != "handle"}
    if "elem" in kept:
        kept["elem"] = sorted(kept["elem"], key=json.dumps)
    return {kind: kept}


def _reason(stderr: str) -> str:
    """Return the first line that says something, without the place in the text."""
    for line in stderr.splitlines():
        words = re.sub(r"^\S*?:\d+:\d+(-\d+)?: ", "", line.strip()).removeprefix("Error: ")
        if words:
            return words
    return "no message"
