"""Rules of IPv6 are read back as they were written, in both variants of ip6tables."""

from __future__ import annotations

import secrets
from ipaddress import IPv6Address, IPv6Network

import pytest

from netlab import command
from netlab.net.netfilter.owner import Netfilter
from netlab.net.netfilter.section import Ownership, Section
from netlab.net.netns import create_netns, remove_netns
from netlab.net.ruleset import (
    AddressType,
    Comment,
    ConntrackState,
    Dnat,
    Jump,
    Masquerade,
    Net,
    Origin,
    Port,
    Recent,
    Reject,
    Rule,
)

pytestmark = pytest.mark.system

WHY = Origin("Service", "shop", "web")
VIP, POD = IPv6Address("fd00:96::1"), IPv6Address("fd00:244::2")
OWNERSHIP = Ownership(
    name="six",
    owns=lambda name: name.startswith("SIX-"),
    claims=lambda _, line: line.endswith(("-j SIX-NAT", "-j SIX-FILTER")),
)


def rules() -> Section:
    to_vip = Rule(
        destination=Net(VIP),
        protocol="tcp",
        matches=(Comment("shop/web:http cluster IP"), Port("tcp", 80)),
        target=Dnat(POD, 8080),
        origin=WHY,
    )
    seen = Rule(matches=(Recent("SIX-NAT", "rcheck", 10, reap=True, family=6),), origin=WHY)
    local = Rule(matches=(AddressType(destination="LOCAL"),), target=Masquerade(), origin=WHY)
    refused = Rule(
        source=Net(IPv6Network("fd00:244::/64"), inverted=True),
        matches=(ConntrackState(("NEW",)),),
        target=Reject("icmp6-port-unreachable"),
        origin=WHY,
    )
    return Section(
        OWNERSHIP,
        common={
            ("nat", "SIX-NAT"): (to_vip, seen),
            ("nat", "SIX-POST"): (local,),
            ("filter", "SIX-FILTER"): (refused,),
        },
        guests={
            ("nat", "OUTPUT"): (Rule(target=Jump("SIX-NAT"), origin=WHY),),
            ("filter", "FORWARD"): (Rule(target=Jump("SIX-FILTER"), origin=WHY),),
        },
        family=6,
    )


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
async def test_rules_of_ipv6(tool: str) -> None:
    netns = await create_netns(f"nltest-{secrets.token_hex(3)}")
    netfilter = Netfilter(netns, tool=tool)
    try:
        section = rules()
        netfilter.register(section)
        assert (await netfilter.sync(section)).restores == 1
        other = Netfilter(netns, tool=tool)
        again = rules()
        other.register(again)
        assert (await other.sync(again)).restores == 0
        [first, *_] = await other.live_rules("nat", ["SIX-NAT"], family=6)
        assert first.line.endswith(f"-j DNAT --to-destination [{POD}]:8080")
        assert first.origin == WHY
        save = [tool.replace("iptables", "ip6tables") + "-save"]
        await other.remove(again)
        text = (await command.run(save, timeout_s=10, netns=netns)).text()
        assert "SIX-" not in text
        four = (await command.run([f"{tool}-save"], timeout_s=10, netns=netns)).text()
        assert "SIX-" not in four
        other.close()
    finally:
        netfilter.close()
        await remove_netns(netns.name)
