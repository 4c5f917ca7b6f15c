"""Somebody else's eyes on the legacy tables: python-iptables reads what we wrote and what we count.

It reads them through libiptc, without iptables-save and without our parser.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from netlab import command
from tests.system.nodes import Node, eventually, node_with_pods
from tests.system.test_proxy import VIP, proxied, web
from tests.unit.proxy.objects import golden_objects, slice_object

pytestmark = pytest.mark.system
pytest.importorskip(
    "iptc", reason="python-iptables is not installed: pip install 'kube-netlab[legacy-reader]'"
)

READ = """
import iptc, json, sys
found = {}
for chain in iptc.Table(sys.argv[1]).chains:
    found[chain.name] = [
        [rule.dst, rule.target.name if rule.target else "", *rule.get_counters()]
        for rule in chain.rules
    ]
print(json.dumps(found))
"""


async def read_legacy(node: Node, table: str) -> dict[str, list[list[Any]]]:
    """Each chain's rules as [destination, target, packets, octets], read by python-iptables."""
    argv = [sys.executable, "-c", READ, table]
    done = await command.run(argv, timeout_s=30, netns=node.netns)
    found: dict[str, list[list[Any]]] = json.loads(done.text())
    return {name: [_plain(rule) for rule in rules] for name, rules in found.items() if rules}


async def read_ours(node: Node, table: str) -> dict[str, list[list[Any]]]:
    """The same, as the owner of the rules reads them."""
    found: dict[str, list[list[Any]]] = {}
    for one in await node.host.netfilter.live_rules(table):
        target = one.line.rpartition("-j ")[2].split()[0] if "-j " in one.line else ""
        rule = [_destination(one.line), target, one.packets, one.octets]
        found.setdefault(one.chain, []).append(rule)
    return found


@pytest.mark.parametrize("table", ["nat", "filter", "mangle"])
async def test_both_readers_see_the_same(tmp_path: Path, table: str) -> None:
    async with node_with_pods(tmp_path, "a", "b", tool="iptables-legacy") as node:
        a, b = node.pods
        await node.serve(b, 8080)
        objects = [*golden_objects(), web(), slice_object(b.ip)]
        async with proxied(node, *objects):
            assert await node.ask(a.netns, VIP, 80, times=2) == "\n".join([f"b {a.ip}"] * 2)

            async def both() -> tuple[dict[str, Any], dict[str, Any]]:
                return await read_ours(node, table), await read_legacy(node, table)

            # again, as long as packets come between the two
            ours, _ = await eventually(both, lambda pair: pair[0] == pair[1])
            counted = sum(rule[2] for rules in ours.values() for rule in rules)
            assert counted > 0 or table == "mangle"


def _destination(line: str) -> str:
    words = line.split()
    return words[words.index("-d") + 1] if "-d" in words else "0.0.0.0/0"


def _plain(rule: list[Any]) -> list[Any]:
    """python-iptables writes masks in full, and a mark before a range that is excepted."""
    address, _, mask = str(rule[0]).removeprefix("!").partition("/")
    bits = sum(bin(int(part)).count("1") for part in mask.split("."))
    return [f"{address}/{bits}", *rule[1:]]
