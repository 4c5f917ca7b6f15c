"""Tables of nftables: every change is one sound transaction, and what is undone comes back."""

from __future__ import annotations

import random

import pytest

from netlab.errors import NetworkError
from netlab.net.netfilter.fake import FakeIptables
from netlab.net.netfilter.fake_nft import FakeNft
from netlab.net.netfilter.nft_owner import KeptTable
from netlab.net.netfilter.nft_plan import plan_table
from netlab.net.netfilter.nft_tables import NftChain, NftHook, NftMap, NftRule, NftSet, NftTable
from netlab.net.netfilter.owner import Netfilter
from netlab.net.ruleset import Origin

HOOK = NftHook("filter", "forward", "filter")


def rule(text: str, name: str = "deny") -> NftRule:
    return NftRule(text, Origin("NetworkPolicy", "shop", name))


def policies(*blocked: str, pods: tuple[str, ...] = ()) -> NftTable:
    """A table as policies would have: a chain per pod, a map that leads there, a set."""
    chains = {f"pod-{pod}": NftChain((rule("ip daddr @blocked counter drop"),)) for pod in pods}
    first = NftChain((rule("ip saddr vmap @pods"),), HOOK)
    return NftTable(
        family="ip",
        name="netlab-policy",
        chains={"forward": first, **chains},
        sets={"blocked": NftSet("ipv4_addr", frozenset(blocked))},
        maps={
            "pods": NftMap("ipv4_addr : verdict", {f"10.0.0.{p}": f"jump pod-{p}" for p in pods})
        },
    )


def owner(nft: FakeNft, table: KeptTable) -> Netfilter:
    netfilter = Netfilter(None, open_backend=lambda _: Counting(nft), nft=nft)
    netfilter.register_table(table)
    return netfilter


class Counting(FakeIptables):
    """iptables whose generation is that of the same kernel's nft."""

    def __init__(self, nft: FakeNft) -> None:
        super().__init__()
        self._nft = nft

    async def generation(self) -> int | None:
        return self._nft.number + self.number


def test_one_element_is_one_command() -> None:
    text = plan_table(policies("10.1.1.1"), policies("10.1.1.1", "10.1.1.2"))
    assert text == "add element ip netlab-policy blocked { 10.1.1.2 }\n"
    assert plan_table(policies("10.1.1.1"), policies("10.1.1.1")) == ""


def test_a_new_pod_is_a_chain_before_the_jump_to_it() -> None:
    assert plan_table(policies(pods=("1",)), policies(pods=("1", "2"))).splitlines() == [
        "add chain ip netlab-policy pod-2",
        "add element ip netlab-policy pods { 10.0.0.2 : jump pod-2 }",
        "add rule ip netlab-policy pod-2 ip daddr @blocked counter drop",
    ]


def test_a_set_of_another_type_is_made_anew() -> None:
    old, new = policies("10.1.1.1"), policies("10.1.1.0/24")
    new = NftTable(
        family="ip",
        name=new.name,
        chains=new.chains,
        sets={"blocked": NftSet("ipv4_addr", frozenset({"10.1.1.0/24"}), "interval")},
        maps=new.maps,
    )
    lines = plan_table(old, new).splitlines()
    assert "delete set ip netlab-policy blocked" in lines
    assert "add set ip netlab-policy blocked { type ipv4_addr; flags interval; }" in lines


@pytest.mark.parametrize("seed", range(15))
async def test_any_history_is_made_of_sound_steps(seed: int) -> None:
    chance, nft = random.Random(seed), FakeNft()
    kept = KeptTable("policy", policies())
    netfilter = owner(nft, kept)
    for _ in range(20):
        pods = tuple(str(n) for n in range(1, 8) if chance.random() < 0.5)
        blocked = [f"10.1.1.{n}" for n in range(6) if chance.random() < 0.5]
        kept.wanted = policies(*blocked, pods=pods)
        if chance.random() < 0.2 and nft.tables:
            chance.choice(list(nft.tables["ip netlab-policy"]["chains"].values())).clear()
            nft.number += 1
            await netfilter.check()
        await netfilter.sync_table(kept)
        fresh = FakeNft()
        await owner(fresh, other := KeptTable("policy", kept.wanted)).sync_table(other)
        assert nft.tables == fresh.tables


async def test_what_somebody_undoes_comes_back() -> None:
    nft, kept = FakeNft(), KeptTable("policy", policies("10.1.1.1", pods=("1",)))
    netfilter = owner(nft, kept)
    await netfilter.sync_table(kept)
    whole = {name: str(table) for name, table in nft.tables.items()}
    for harm in (
        lambda table: table["chains"]["forward"].clear(),
        lambda table: table["holders"]["blocked"].clear(),
        lambda table: table["chains"].pop("pod-1"),
        lambda _: nft.tables.clear(),
    ):
        harm(nft.tables["ip netlab-policy"])
        nft.number += 1
        assert await netfilter.check() is True
        assert {name: str(table) for name, table in nft.tables.items()} == whole
    assert await netfilter.check() is False


async def test_what_is_refused_leaves_what_was() -> None:
    nft, kept = FakeNft(), KeptTable("policy", policies("10.1.1.1"))
    netfilter = owner(nft, kept)
    await netfilter.sync_table(kept)
    before = str(nft.tables)
    kept.wanted = NftTable(
        family="ip", name="netlab-policy", chains={"a": NftChain((rule("jump b"),))}
    )
    with pytest.raises(NetworkError, match="no such chain"):
        await netfilter.sync_table(kept)
    assert str(nft.tables) == before
    kept.wanted = policies("10.1.1.2")
    await netfilter.sync_table(kept)
    assert nft.tables["ip netlab-policy"]["holders"]["blocked"] == ["10.1.1.2"]


async def test_whose_rule_it_is_and_removal() -> None:
    nft, kept = FakeNft(), KeptTable("policy", policies(pods=("1",)))
    netfilter = owner(nft, kept)
    await netfilter.sync_table(kept)
    [live] = await netfilter.live_table_rules(kept, "pod-1")
    assert live.origin is not None
    assert (live.origin.name, live.owner, live.position) == ("deny", "policy", 1)
    for _ in range(2):
        await netfilter.remove_table(kept)
    assert nft.tables == {}
    assert await netfilter.check() is False
