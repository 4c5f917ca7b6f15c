"""nft in memory: understands the texts that ``nft_plan`` writes, and refuses bad ones as nft does.

A text is a transaction: one bad command, and nothing of it happens. Stands beside
``nft_owner.NftBackend``, which it is.
"""

from __future__ import annotations

import asyncio
import copy
import re
from typing import Any

from netlab.errors import NetworkError

_COMMAND = re.compile(
    r"(add|delete|flush) (table|chain|set|map|element|rule) (\w+ [\w-]+)(?: ([\w-]+))?(?: (.+))?"
)
_LOOKUP = re.compile(r"@([\w-]+)")
_JUMP = re.compile(r"(?:jump|goto) ([\w-]+)")


class FakeNft:
    """Tables by ``family name``: each has chains (lists of rules) and sets and maps (elements).

    texts: what was given. number: the generation. A test may change tables, as another program
    would, and raise the number.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        self.texts: list[str] = []
        self.number = 0

    async def run(self, text: str) -> None:
        await asyncio.sleep(0)
        before = copy.deepcopy(self.tables)
        try:
            for line in text.splitlines():
                self._apply(line)
            self._check()
        except (KeyError, NetworkError) as error:
            self.tables = before
            raise NetworkError(f"write nftables: {error}") from error
        self.texts.append(text)
        self.number += 1

    async def listing(self, table: str) -> list[dict[str, Any]] | None:
        found = self.tables.get(table)
        return None if found is None else [copy.deepcopy(found)]

    async def rules(self, table: str, chain: str) -> list[dict[str, Any]]:
        lines = self.tables.get(table, {}).get("chains", {}).get(chain, [])
        return [{"expr": [line, {"counter": {"packets": 0, "bytes": 0}}]} for line in lines]

    def _apply(self, line: str) -> None:
        found = _COMMAND.fullmatch(line)
        if found is None:
            raise NetworkError(f"syntax error: {line}")
        verb, what, table, name, rest = found.groups()
        if what == "table":
            if verb == "add":
                self.tables.setdefault(table, {"chains": {}, "holders": {}})
            else:
                del self.tables[table]
            return
        chains, holders = self.tables[table]["chains"], self.tables[table]["holders"]
        if what == "chain":
            _apply_chain(verb, name, chains)
        elif what == "rule":
            chains[name].append(rest)
        elif what == "element":
            _apply_elements(verb, rest.strip("{} "), holders[name])
        elif verb == "add":
            holders.setdefault(name, [])
        else:
            del holders[name]
            self._check()

    def _check(self) -> None:
        for table in self.tables.values():
            texts = [rule for rules in table["chains"].values() for rule in rules]
            texts += [one for elements in table["holders"].values() for one in elements]
            for text in texts:
                for name in _LOOKUP.findall(text):
                    if name not in table["holders"]:
                        raise NetworkError(f"no such set: {text}")
                for name in _JUMP.findall(text):
                    if name not in table["chains"]:
                        raise NetworkError(f"no such chain: {text}")


def _apply_chain(verb: str, name: str, chains: dict[str, list[str]]) -> None:
    if verb == "add":
        chains.setdefault(name, [])
    elif verb == "flush":
        chains[name].clear()
    elif chains[name]:
        raise NetworkError(f"chain {name} is busy")
    else:
        del chains[name]


def _apply_elements(verb: str, text: str, held: list[str]) -> None:
    for element in text.split(", "):
        if verb == "add":
            held.append(element)
        else:
            held.remove(element)
    held.sort()
