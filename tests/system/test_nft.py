"""Tables of nftables in the kernel: they act, count and come back, beside the rules of iptables."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netlab.clock import SystemClock
from netlab.errors import NetworkError
from netlab.net.netfilter.nft_owner import KeptTable
from netlab.net.netfilter.nft_tables import NftChain, NftHook, NftMap, NftRule, NftSet, NftTable
from netlab.net.ruleset import Origin
from tests.system.nodes import eventually, node_with_pods

pytestmark = pytest.mark.system

NAME = "netlab-test"


def rule(text: str, name: str) -> NftRule:
    return NftRule(text, Origin("NetworkPolicy", "shop", name))


def policy(*blocked: str, pod: str = "10.244.0.2") -> NftTable:
    """What leaves the node for a blocked address is refused; each pod has a chain of its own."""
    return NftTable(
        family="ip",
        name=NAME,
        chains={
            "forward": NftChain(
                (rule("ip saddr vmap @pods", "pods"),), NftHook("filter", "forward", "filter")
            ),
            "pod": NftChain((rule("ip daddr @blocked counter reject", "deny"),)),
        },
        sets={"blocked": NftSet("ipv4_addr", frozenset(blocked))},
        maps={"pods": NftMap("ipv4_addr : verdict", {pod: "jump pod"})},
    )


async def test_a_table_acts_counts_and_comes_back(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a", "b") as node:
        a, b = node.pods
        await node.serve(b, 8080)
        netfilter = node.host.netfilter
        kept = KeptTable("policy", policy())
        netfilter.register_table(kept)
        await netfilter.sync_table(kept)
        guard = asyncio.create_task(node.host.run(SystemClock()))

        async def ask() -> str:
            return await node.ask(a.netns, b.ip, 8080, timeout_s=0.5)

        assert await ask() == f"b {a.ip}"
        kept.wanted = policy(b.ip, pod=a.ip)
        await netfilter.sync_table(kept)
        assert await ask() == "ConnectionRefusedError"
        [deny] = await netfilter.live_table_rules(kept, "pod")
        assert deny.origin == Origin("NetworkPolicy", "shop", "deny")
        assert deny.packets >= 1
        listing = ["nft", "-s", "list", "table", "ip", NAME]
        whole = await node.run(node.netns, *listing)
        for harm in (
            f"nft flush chain ip {NAME} pod",
            f"nft delete table ip {NAME}",
            f"nft delete element ip {NAME} blocked {{ {b.ip} }}",
            f"nft add rule ip {NAME} forward accept",
            "nft flush ruleset",
        ):
            await node.run(node.netns, "sh", "-c", harm)
            await eventually(lambda: node.run(node.netns, *listing), lambda text: text == whole)
        chain = ["iptables", "-t", "nat", "-S", "NETLAB-POSTROUTING"]
        await eventually(lambda: node.run(node.netns, *chain), lambda text: "MASQUERADE" in text)
        assert await ask() == "ConnectionRefusedError"
        await netfilter.remove_table(kept)
        assert await ask() == f"b {a.ip}"
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)


async def test_one_owner_counts_both_kinds_of_writes(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node:
        netfilter = node.host.netfilter
        kept = KeptTable("policy", policy())
        netfilter.register_table(kept)
        await netfilter.sync_table(kept)
        assert await netfilter.check() is False
        reads = 0
        backend = netfilter.backend()
        save = backend.save

        async def counted(*arguments: object, **named: object) -> object:
            nonlocal reads
            reads += 1
            return await save(*arguments, **named)  # type: ignore[arg-type]

        backend.save = counted  # type: ignore[method-assign, assignment]
        for number in range(2, 6):
            kept.wanted = policy(f"10.9.9.{number}")
            await netfilter.sync_table(kept)
            assert await netfilter.check() is False
        assert reads == 0


async def test_what_nft_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        broken = NftTable(family="ip", name=NAME, chains={"a": NftChain((rule("jump b", "x"),))})
        kept = KeptTable("policy", broken)
        node.host.netfilter.register_table(kept)
        with pytest.raises(NetworkError, match=r"write nftables: .*No such file or directory"):
            await node.host.netfilter.sync_table(kept)
        assert NAME not in await node.run(node.netns, "nft", "list", "tables")
