"""Where packets to Services go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from netlab.net.ruleset import Recent, Rule
from netlab.net.walk import Host, Packet, Walk, Way, walk_packet
from netlab.proxy.rules import NodeView
from tests.unit.proxy.objects import (
    NODE_IP,
    POD_CIDR,
    draining,
    render,
    service_object,
    slice_object,
)

GATEWAY = IPv4Address("10.244.0.1")
UPLINK = Way("eth0", NODE_IP)
CLIENT = "192.168.9.9"
POD = "10.244.0.50"
BALANCER = "10.100.199.240"


def route(address: IPv4Address) -> Way:
    return Way("cni0", GATEWAY) if address in POD_CIDR else UPLINK


HOST = Host(frozenset({NODE_IP, GATEWAY}), route)


def send(
    objects: list[dict[str, Any]],
    source: str,
    to: str,
    port: int,
    *,
    host: Host = HOST,
    protocol: str = "tcp",
) -> Walk:
    """A packet from a pod, from outside, or, with source "node", from the node itself."""
    address = IPv4Address(to)
    rules = render(*objects)
    if source == "node":
        own = IPv4Address("127.0.0.1") if address.is_loopback else NODE_IP
        return walk_packet(rules, host, Packet(own, address, protocol, destination_port=port))
    came = "cni0" if IPv4Address(source) in POD_CIDR else "eth0"
    packet = Packet(IPv4Address(source), address, protocol, destination_port=port, in_link=came)
    return walk_packet(rules, host, packet)


def where(walk: Walk) -> str:
    """``verdict source -> destination``, the source only where it was changed."""
    if walk.outcome != "ACCEPT":
        return walk.outcome
    changed = f"{walk.packet.source} -> " if "SNAT" in walk.packet.states else ""
    return f"{changed}{walk.packet.destination}:{walk.packet.destination_port}"


PORTS = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]
WEB = service_object(type="NodePort", ports=PORTS, externalIPs=["203.0.113.7"])
HERE, THERE = slice_object("10.244.0.2"), slice_object("10.244.1.3@n1")
LOCAL = service_object(
    type="LoadBalancer",
    ports=PORTS,
    externalTrafficPolicy="Local",
    status={"loadBalancer": {"ingress": [{"ip": BALANCER}]}},
)
FENCED = service_object(
    type="LoadBalancer",
    ports=PORTS,
    loadBalancerSourceRanges=["192.168.50.0/24"],
    status={"loadBalancer": {"ingress": [{"ip": BALANCER}]}},
)
ROWS = [
    ("pod to cluster IP", [WEB, HERE], POD, "10.96.1.1", 80, "10.244.0.2:8080"),
    ("outside to cluster IP", [WEB, HERE], CLIENT, "10.96.1.1", 80,
     "10.244.0.1 -> 10.244.0.2:8080"),
    ("node to cluster IP", [WEB, HERE], "node", "10.96.1.1", 80, "10.244.0.1 -> 10.244.0.2:8080"),
    ("pod to itself", [WEB, HERE], "10.244.0.2", "10.96.1.1", 80, "10.244.0.1 -> 10.244.0.2:8080"),
    ("other port", [WEB, HERE], POD, "10.96.1.1", 81, "10.96.1.1:81"),
    ("node port", [WEB, HERE], CLIENT, str(NODE_IP), 30080, "10.244.0.1 -> 10.244.0.2:8080"),
    ("node port on loopback", [WEB, HERE], "node", "127.0.0.1", 30080,
     "10.244.0.1 -> 10.244.0.2:8080"),
    ("loopback from outside", [WEB, HERE], CLIENT, "127.0.0.1", 22, "DROP"),
    ("external IP", [WEB, HERE], CLIENT, "203.0.113.7", 80, "10.244.0.1 -> 10.244.0.2:8080"),
    ("no endpoints", [WEB], POD, "10.96.1.1", 80, "REJECT"),
    ("no endpoints, from the node", [WEB], "node", "10.96.1.1", 80, "REJECT"),
    ("no endpoints, node port", [WEB], CLIENT, str(NODE_IP), 30080, "REJECT"),
    ("no endpoints, external IP", [WEB], CLIENT, "203.0.113.7", 80, "REJECT"),
    ("policy Local keeps the client", [LOCAL, HERE], CLIENT, BALANCER, 80, "10.244.0.2:8080"),
    ("policy Local, endpoint elsewhere", [LOCAL, THERE], CLIENT, BALANCER, 80, "DROP"),
    ("policy Local, pods go anywhere", [LOCAL, THERE], POD, BALANCER, 80, "10.244.1.3:8080"),
    ("policy Local, node goes anywhere", [LOCAL, THERE], "node", BALANCER, 80,
     "10.244.0.1 -> 10.244.1.3:8080"),
    ("policy Local, cluster IP is not", [LOCAL, THERE], POD, "10.96.1.1", 80, "10.244.1.3:8080"),
    ("policy Local, draining here", [LOCAL, slice_object(draining("10.244.0.5"))], CLIENT, BALANCER,
     80, "10.244.0.5:8080"),
    ("source range", [FENCED, HERE], "192.168.50.9", BALANCER, 80, "10.244.0.1 -> 10.244.0.2:8080"),
    ("not in the source range", [FENCED, HERE], CLIENT, BALANCER, 80, "DROP"),
    ("node port has no source range", [FENCED, HERE], CLIENT, str(NODE_IP), 30080,
     "10.244.0.1 -> 10.244.0.2:8080"),
    ("internal policy Local", [service_object(internalTrafficPolicy="Local"), THERE], POD,
     "10.96.1.1", 80, "DROP"),
    ("address that is not the balancer's business", [WEB, HERE], CLIENT, BALANCER, 80,
     f"{BALANCER}:80"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("objects", "source", "to", "port", "expected"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_where_a_packet_goes(
    objects: list[dict[str, Any]], source: str, to: str, port: int, expected: str
) -> None:
    assert where(send(objects, source, to, port)) == expected


def test_each_endpoint_has_an_equal_chance() -> None:
    endpoints = slice_object("10.244.0.2", "10.244.0.3", "10.244.0.4")
    taken = []
    for chosen in range(3):
        thrown = iter([i == chosen for i in range(3)])
        host = replace(HOST, choose=lambda _, thrown=thrown: next(thrown))
        taken.append(where(send([WEB, endpoints], POD, "10.96.1.1", 80, host=host)))
    assert taken == ["10.244.0.2:8080", "10.244.0.3:8080", "10.244.0.4:8080"]
    spelt = "\n".join(rule.spell() for _, _, rule in render(WEB, endpoints).rules())
    assert "--probability 0.33333333349 " in spelt
    assert "--probability 0.50000000000 " in spelt


def test_affinity_asks_the_lists_of_the_endpoints_first() -> None:
    sticky = service_object(
        sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}}
    )
    endpoints = slice_object("10.244.0.2", "10.244.0.3")
    first = send([sticky, endpoints], POD, "10.96.1.1", 80)
    [remembered] = [
        match.name
        for step in first.matched
        for match in step.rule.matches
        if isinstance(match, Recent) and match.action == "set"
    ]

    def never(_: Rule) -> bool:
        return False

    host = replace(HOST, choose=never, seen=lambda name, _: name == remembered)
    again = send([sticky, endpoints], POD, "10.96.1.1", 80, host=host)
    assert where(again) == where(first) == "10.244.0.2:8080"
    assert any("--rcheck --seconds 60 --reap" in step.rule.spell() for step in again.matched)


def test_every_matched_rule_tells_where_it_came_from() -> None:
    walk = send([WEB, HERE], CLIENT, str(NODE_IP), 30080)
    told = [(step.rule.origin.kind, step.rule.origin.name, step.rule.origin.reason)
            for step in walk.matched if step.table == "nat"]  # fmt: skip
    assert ("Service", "web", "node port") in told
    assert ("EndpointSlice", "web-a", "chosen endpoint") in told
    assert told[-1] == ("", "kube-proxy", "marked by KUBE-MARK-MASQ")


def test_sctp_and_udp_have_rules_of_their_own() -> None:
    ports = [
        {"name": "a", "port": 7, "protocol": "UDP"},
        {"name": "b", "port": 7, "protocol": "SCTP"},
    ]
    named = (("a", 1007, "UDP"), ("b", 2007, "SCTP"))
    objects = [service_object(ports=ports), slice_object("10.244.0.2", ports=named)]
    for protocol, port in (("udp", 1007), ("sctp", 2007)):
        walk = send(objects, POD, "10.96.1.1", 7, protocol=protocol)
        assert where(walk) == f"10.244.0.2:{port}"
    assert where(send(objects, POD, "10.96.1.1", 7)) == "10.96.1.1:7"


def test_large_clusters_do_without_endpoint_comments() -> None:
    endpoints = slice_object("10.244.0.2", "10.244.0.3")
    large = render(WEB, endpoints, node=NodeView(NODE_IP, POD_CIDR, large=True))
    small = render(WEB, endpoints)
    for (_, chain, rule), (_, _, full) in zip(large.rules(), small.rules(), strict=True):
        assert rule.target == full.target
        if chain.name.startswith("KUBE-SEP-"):
            assert "--comment" not in rule.spell()


def test_node_in_the_source_range_reaches_the_balancer() -> None:
    fenced = {**FENCED, "spec": {**FENCED["spec"], "loadBalancerSourceRanges": ["10.100.199.0/24"]}}
    rules = [rule for _, chain, rule in render(fenced, HERE).rules() if "-FW-" in chain.name]
    assert [rule.spell().split(" ")[1] for rule in rules[:2]] == [
        "10.100.199.0/24",
        f"{BALANCER}/32",
    ]
