"""Rules are spelt as iptables-save spells them, and read back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from netlab.net.ruleset import (
    ACCEPT,
    DROP,
    AddressType,
    Chain,
    Comment,
    ConntrackState,
    Dnat,
    Jump,
    Mark,
    Masquerade,
    Net,
    Origin,
    Port,
    Recent,
    Reject,
    Rule,
    SetMark,
    Statistic,
    make_rule_set,
    merge_rule_sets,
    render_rule_set,
)
from netlab.net.savefile import parse_saved

WHY = Origin("Service", "shop", "web")
TEN = IPv4Network("10.0.0.0/8")


@pytest.mark.parametrize(
    ("rule", "spelt"),
    [
        pytest.param(Rule(origin=WHY), "", id="empty"),
        pytest.param(
            Rule(source=Net(TEN), target=DROP, origin=WHY), "-s 10.0.0.0/8 -j DROP", id="source"
        ),
        pytest.param(
            Rule(
                target=Jump("X"),
                matches=(ConntrackState(("NEW", "DNAT"), inverted=True),),
                protocol="tcp",
                out_link="eth1",
                in_link="eth0",
                destination=Net(TEN, inverted=True),
                origin=WHY,
            ),
            "! -d 10.0.0.0/8 -i eth0 -o eth1 -p tcp -m conntrack ! --ctstate NEW,DNAT -j X",
            id="order",
        ),
        pytest.param(
            Rule(matches=(Comment("plain-word_1"),), origin=WHY),
            "-m comment --comment plain-word_1",
            id="word",
        ),
        pytest.param(
            Rule(matches=(Comment('a/b: it\'s "c" \\'),), origin=WHY),
            '-m comment --comment "a/b: it\\\'s \\"c\\" \\\\"',
            id="quoted",
        ),
        pytest.param(
            Rule(matches=(Port("udp", 53, 1024),), origin=WHY),
            "-m udp --sport 1024 --dport 53",
            id="ports",
        ),
        pytest.param(
            Rule(matches=(AddressType("LOCAL", "UNICAST"),), origin=WHY),
            "-m addrtype --src-type LOCAL --dst-type UNICAST",
            id="addrtype",
        ),
        pytest.param(
            Rule(matches=(Mark(0x4000, 0x4000, inverted=True),), origin=WHY),
            "-m mark ! --mark 0x4000/0x4000",
            id="mark",
        ),
        pytest.param(
            Rule(matches=(Statistic(0.3333333333),), origin=WHY),
            "-m statistic --mode random --probability 0.33333333349",
            id="statistic as the kernel keeps it",
        ),
        pytest.param(
            Rule(matches=(Recent("L", "rcheck", 60, reap=True),), origin=WHY),
            "-m recent --rcheck --seconds 60 --reap --name L --mask 255.255.255.255 --rsource",
            id="recent",
        ),
        pytest.param(
            Rule(target=Dnat(IPv4Address("10.0.0.1"), 80), origin=WHY),
            "-j DNAT --to-destination 10.0.0.1:80",
            id="dnat",
        ),
        pytest.param(
            Rule(target=Reject(), origin=WHY),
            "-j REJECT --reject-with icmp-port-unreachable",
            id="reject",
        ),
        pytest.param(
            Rule(target=SetMark(0x4000, 0), origin=WHY),
            "-j MARK --set-xmark 0x4000/0x0",
            id="set-mark",
        ),
        pytest.param(
            Rule(target=Masquerade(), origin=WHY), "-j MASQUERADE --random-fully", id="masquerade"
        ),
    ],
)
def test_spelling(rule: Rule, spelt: str) -> None:
    assert rule.spell() == spelt


def test_what_is_rendered_is_read_back() -> None:
    rules = make_rule_set(
        [
            ("nat", Chain("B", (Rule(target=ACCEPT, origin=WHY),))),
            ("nat", Chain("A", ())),
            ("nat", Chain("OUTPUT", (Rule(target=Jump("A"), origin=WHY),), "ACCEPT")),
        ]
    )
    text = render_rule_set(rules)
    assert text == (
        "*nat\n:OUTPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n"
        "-A OUTPUT -j A\n-A B -j ACCEPT\nCOMMIT\n"
    )
    saved = parse_saved(text)
    for name, chain in rules.tables["nat"].items():
        held = saved.chain("nat", name)
        assert held is not None
        assert (held.lines, held.policy) == (chain.lines(), chain.policy)


def test_merged_chains_keep_the_order_of_the_sets() -> None:
    first = make_rule_set(
        [("nat", Chain("OUTPUT", (Rule(target=Jump("A"), origin=WHY),), "ACCEPT"))]
    )
    second = make_rule_set([("nat", Chain("OUTPUT", (Rule(target=Jump("B"), origin=WHY),)))])
    merged = merge_rule_sets(first, second).chain("nat", "OUTPUT")
    assert merged is not None
    assert merged.lines() == ("-j A", "-j B")
    assert merged.policy == "ACCEPT"


def test_saved_text_with_counters_and_comments() -> None:
    saved = parse_saved(
        "# Generated\n*filter\n:INPUT DROP [7:420]\n:MINE - [0:0]\n"
        "[3:180] -A INPUT -s 10.0.0.0/8 -j MINE\n[0:0] -A MINE\nCOMMIT\n# Completed\n"
    )
    chain = saved.chain("filter", "INPUT")
    assert chain is not None
    assert (chain.policy, chain.lines, chain.packets) == ("DROP", ("-s 10.0.0.0/8 -j MINE",), (3,))
    mine = saved.chain("filter", "MINE")
    assert mine is not None
    assert (mine.policy, mine.lines) == (None, ("",))
    assert saved.chain("nat", "INPUT") is None
