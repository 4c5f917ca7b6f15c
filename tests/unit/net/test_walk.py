"""The walk follows netfilter's order and rules."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from netlab.net.ruleset import (
    ACCEPT,
    DROP,
    RETURN,
    AddressType,
    Chain,
    ConntrackState,
    Dnat,
    Jump,
    Mark,
    Masquerade,
    Net,
    Origin,
    Port,
    Reject,
    Rule,
    RuleSet,
    SetMark,
    Target,
    make_rule_set,
)
from netlab.net.walk import Host, Packet, Walk, Way, walk_packet

WHY = Origin("", "", "test")
HERE, POD, OUT = IPv4Address("10.0.0.1"), IPv4Address("10.1.0.2"), IPv4Address("192.0.2.1")
PODS = IPv4Network("10.1.0.0/24")


def route(address: IPv4Address) -> Way | None:
    if address in PODS:
        return Way("cni0", IPv4Address("10.1.0.1"))
    return Way("eth0", HERE) if address == OUT else None


HOST = Host(frozenset({HERE}), route)


def rule(target: Target | None, *matches: object, **fields: object) -> Rule:
    return Rule(target=target, matches=matches, origin=WHY, **fields)  # type: ignore[arg-type]


def rules(*chains: tuple[str, str, list[Rule]], policy: str = "ACCEPT") -> RuleSet:
    hooks = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    return make_rule_set(
        (table, Chain(name, tuple(content), policy if name in hooks else None))
        for table, name, content in chains
    )


def arrive(rule_set: RuleSet, to: IPv4Address = POD, **fields: object) -> Walk:
    packet = Packet(OUT, to, destination_port=80, in_link="eth0", **fields)  # type: ignore[arg-type]
    return walk_packet(rule_set, HOST, packet)


def test_ways_through_the_hooks() -> None:
    nothing = rules()
    assert arrive(nothing).hooks == ("PREROUTING", "FORWARD", "POSTROUTING")
    assert arrive(nothing, HERE).hooks == ("PREROUTING", "INPUT")
    made_here = walk_packet(nothing, HOST, Packet(HERE, OUT))
    assert made_here.hooks == ("OUTPUT", "POSTROUTING")
    assert made_here.packet.out_link == "eth0"
    to_self = walk_packet(nothing, HOST, Packet(HERE, HERE))
    assert to_self.hooks == ("OUTPUT", "POSTROUTING", "PREROUTING", "INPUT")


def test_no_route_is_told() -> None:
    lost = arrive(rules(), IPv4Address("198.51.100.1"))
    assert (lost.outcome, lost.lost) == ("DROP", "no route to 198.51.100.1")


def test_dnat_changes_the_way() -> None:
    rule_set = rules(("nat", "PREROUTING", [rule(Dnat(POD, 8080), Port("tcp", 80))]))
    walk = arrive(rule_set, HERE)
    assert walk.hooks == ("PREROUTING", "FORWARD", "POSTROUTING")
    assert (walk.packet.destination, walk.packet.destination_port) == (POD, 8080)
    assert "DNAT" in walk.packet.states


def test_only_the_first_packet_meets_nat() -> None:
    rule_set = rules(("nat", "PREROUTING", [rule(Dnat(POD, 8080))]))
    walk = arrive(rule_set, HERE, states=frozenset({"ESTABLISHED"}))
    assert walk.packet.destination == HERE
    assert walk.steps == ()


def test_connection_of_the_host_with_itself_is_translated_once() -> None:
    rule_set = rules(
        ("nat", "PREROUTING", [rule(Dnat(POD, 8080))]),
        ("raw", "PREROUTING", [rule(None)]),
    )
    walk = walk_packet(rule_set, HOST, Packet(HERE, HERE, destination_port=80))
    assert walk.packet.destination == HERE
    assert [step.table for step in walk.steps] == ["raw"]


def test_masquerade_takes_the_address_of_the_link_it_leaves_by() -> None:
    rule_set = rules(("nat", "POSTROUTING", [rule(Masquerade())]))
    assert str(arrive(rule_set).packet.source) == "10.1.0.1"


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        pytest.param(ACCEPT, "ACCEPT", id="accept"),
        pytest.param(DROP, "DROP", id="drop"),
        pytest.param(Reject(), "REJECT", id="reject"),
        pytest.param(RETURN, "DROP", id="return in a built-in chain: its policy"),
        pytest.param(None, "DROP", id="no target: goes on to the policy"),
        pytest.param(Jump("MINE"), "DROP", id="chain that ends: goes on to the policy"),
    ],
)
def test_verdicts(target: Target | None, outcome: str) -> None:
    rule_set = rules(("filter", "FORWARD", [rule(target)]), ("filter", "MINE", []), policy="DROP")
    walk = arrive(rule_set)
    assert walk.outcome == outcome
    assert walk.answer == ("icmp-port-unreachable" if outcome == "REJECT" else "")


def test_return_comes_back_behind_the_jump() -> None:
    rule_set = rules(
        ("filter", "FORWARD", [rule(Jump("A")), rule(ACCEPT)]),
        ("filter", "A", [rule(Jump("B")), rule(RETURN), rule(DROP)]),
        ("filter", "B", [rule(None)]),
        policy="DROP",
    )
    walk = arrive(rule_set)
    assert walk.outcome == "ACCEPT"
    assert [(s.chain, s.position) for s in walk.matched] == [
        ("FORWARD", 1),
        ("A", 1),
        ("B", 1),
        ("A", 2),
        ("FORWARD", 2),
    ]


def test_mark_is_set_and_seen_by_later_hooks() -> None:
    rule_set = rules(
        ("mangle", "PREROUTING", [rule(SetMark(0x4000, 0x4000))]),
        ("filter", "FORWARD", [rule(DROP, Mark(0x4000, 0x4000))]),
    )
    assert arrive(rule_set).outcome == "DROP"
    assert arrive(rule_set).packet.mark == 0x4000
    assert arrive(rule_set, mark=0x4001).packet.mark == 0x4001
    cleared = rules(("mangle", "PREROUTING", [rule(SetMark(0x4000, 0))]))
    assert arrive(cleared, mark=0x4001).packet.mark == 0x0001


@pytest.mark.parametrize(
    ("tested", "matches"),
    [
        pytest.param(rule(DROP, source=Net(IPv4Network("192.0.2.0/24"))), True, id="source"),
        pytest.param(rule(DROP, source=Net(PODS)), False, id="other source"),
        pytest.param(rule(DROP, source=Net(PODS, inverted=True)), True, id="not source"),
        pytest.param(rule(DROP, destination=Net(PODS, inverted=True)), False, id="not destination"),
        pytest.param(rule(DROP, protocol="udp"), False, id="protocol"),
        pytest.param(rule(DROP, Port("tcp", 80)), True, id="port"),
        pytest.param(rule(DROP, Port("tcp", 81)), False, id="other port"),
        pytest.param(rule(DROP, Port("tcp", source=40000)), True, id="source port"),
        pytest.param(rule(DROP, in_link="eth0"), True, id="in"),
        pytest.param(rule(DROP, out_link="eth0"), False, id="out"),
        pytest.param(rule(DROP, AddressType(destination="LOCAL")), False, id="not local"),
        pytest.param(rule(DROP, ConntrackState(("NEW",))), True, id="new"),
        pytest.param(rule(DROP, ConntrackState(("NEW",), inverted=True)), False, id="not new"),
    ],
)
def test_matches(tested: Rule, matches: bool) -> None:
    walk = arrive(rules(("filter", "FORWARD", [tested])))
    assert (walk.outcome == "DROP") == matches
    assert [step.matched for step in walk.steps] == [matches]


def test_whole_loopback_range_is_local() -> None:
    rule_set = rules(("filter", "INPUT", [rule(DROP, AddressType(destination="LOCAL"))]))
    assert arrive(rule_set, IPv4Address("127.5.5.5")).outcome == "DROP"
