"""The walk through a rule set tells what the kernel does: same rules, same end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from netlab.net.iptables import Iptables
from netlab.net.ruleset import Recent, Rule, RuleSet, merge_rule_sets
from netlab.net.savefile import Snapshot
from netlab.net.walk import Host, Packet, Walk, Way, walk_packet
from tests.system.nodes import NODE_ADDRESS, POD_CIDR, SERVICE_CIDR, Node, node_with_pods
from tests.system.test_proxy import proxied
from tests.unit.proxy.objects import service_object, slice_object

pytestmark = pytest.mark.system

NODE_IP = NODE_ADDRESS.ip
GATEWAY = POD_CIDR[1]


@dataclass(frozen=True)
class Row:
    """From a pod, or from the node where ``source`` is "node", to an address and port."""

    name: str
    source: str
    to: str
    port: int
    outcome: str = "ACCEPT"


ROWS = (
    Row("pod to cluster IP", "a", "10.96.1.1", 80),
    Row("pod to itself through the cluster IP", "b", "10.96.1.1", 80),
    Row("node to cluster IP", "node", "10.96.1.1", 80),
    Row("node to its node port", "node", str(NODE_IP), 30080),
    Row("node to the node port on loopback", "node", "127.0.0.1", 30080),
    Row("pod to node port", "a", str(NODE_IP), 30080),
    Row("pod to a sticky Service", "a", "10.96.1.2", 80),
    Row("pod to an external IP, policy Local", "a", "203.0.113.7", 80),
    Row("pod to a Service without endpoints", "a", "10.96.1.3", 80, "REJECT"),
    Row("node to a Service without endpoints", "node", "10.96.1.3", 80, "REJECT"),
    Row("pod to a node port without endpoints", "a", str(NODE_IP), 30083, "REJECT"),
    Row("pod outside the load balancer's ranges", "a", "10.100.199.240", 80, "DROP"),
    Row("pod to no local endpoints", "a", "10.96.1.5", 80, "DROP"),
)


def objects(b: str, c: str) -> list[dict[str, object]]:
    def ports(node_port: int) -> list[dict[str, object]]:
        return [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": node_port}]

    return [
        service_object("web", type="NodePort", clusterIP="10.96.1.1", ports=ports(30080)),
        slice_object(b, service="web"),
        service_object("sticky", clusterIP="10.96.1.2", sessionAffinity="ClientIP"),
        slice_object(b, c, service="sticky"),
        service_object("empty", type="NodePort", clusterIP="10.96.1.3", ports=ports(30083)),
        service_object(
            "balanced",
            type="LoadBalancer",
            clusterIP="10.96.1.4",
            externalTrafficPolicy="Local",
            externalIPs=["203.0.113.7"],
            loadBalancerSourceRanges=["192.168.50.0/24"],
            status={"loadBalancer": {"ingress": [{"ip": "10.100.199.240"}]}},
        ),
        slice_object(b, service="balanced"),
        service_object("local", clusterIP="10.96.1.5", internalTrafficPolicy="Local"),
        slice_object("10.244.1.9@node1", service="local"),
    ]


def counters(snapshot: Snapshot) -> dict[tuple[str, str, int], int]:
    return {
        (table, chain.name, position): packets
        for table, chains in snapshot.tables.items()
        for chain in chains.values()
        for position, packets in enumerate(chain.packets, 1)
    }


def host_of(node: Node, rules: RuleSet, hit: set[tuple[str, str, int]]) -> Host:
    """What the walk may know; the dice fell as the kernel's counters say."""
    places = {
        id(rule): (table, chain.name, position)
        for table, chains in rules.tables.items()
        for chain in chains.values()
        for position, rule in enumerate(chain.rules, 1)
    }

    def route(address: IPv4Address) -> Way | None:
        if address in POD_CIDR:
            return Way("cni0", GATEWAY)
        inside = address in SERVICE_CIDR or address in IPv4Network("203.0.113.0/24")
        return Way("nodelink", NODE_IP) if inside else None

    def choose(rule: Rule) -> bool:
        return places[id(rule)] in hit

    remembered = {
        match.name
        for _, _, rule in rules.rules()
        for match in rule.matches
        if isinstance(match, Recent) and match.action == "rcheck" and choose(rule)
    }
    local = frozenset({NODE_IP, GATEWAY})
    return Host(local, route, choose, lambda name, _: name in remembered)


def packet_of(row: Row, node: Node) -> Packet:
    to = IPv4Address(row.to)
    if row.source == "node":
        source = IPv4Address("127.0.0.1") if to.is_loopback else NODE_IP
        return Packet(source, to, destination_port=row.port)
    source = next(pod.address.ip for pod in node.pods if pod.name == row.source)
    return Packet(source, to, destination_port=row.port, in_link="cni0")


def matched_places(walk: Walk) -> Iterator[tuple[str, str, int]]:
    for step in walk.matched:
        yield step.table, step.chain, step.position


async def test_kernel_counts_the_rules_that_the_walk_names(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a", "b", "c") as node:
        _, b, c = node.pods
        for pod in (b, c):
            await node.serve(pod, 8080)
        await node.run(node.netns, "ip", "route", "add", "203.0.113.0/24", "dev", "nodelink")
        async with proxied(node, *objects(b.ip, c.ip)) as (_, agent):
            rules = merge_rule_sets(agent.rule_set(), node.network.rule_set())
            reader = Iptables(node.netns)
            for row in ROWS:
                for _ in range(3):
                    walk, answer, hit = await send(node, reader, rules, row)
                    # the kernel's own multicast reports are counted too, now and then
                    if {place for place in hit if place[0] == "nat"} <= set(matched_places(walk)):
                        break
                check(row, walk, answer, hit)


async def send(
    node: Node, reader: Iptables, rules: RuleSet, row: Row
) -> tuple[Walk, str, set[tuple[str, str, int]]]:
    """Send the row's packet; return the walk, the answer, and the rules the kernel counted."""
    pods = {pod.name: pod.netns for pod in node.pods}
    before = counters(await reader.save(counters=True))
    answer = await node.ask(pods.get(row.source, node.netns), row.to, row.port, timeout_s=0.3)
    after = counters(await reader.save(counters=True))
    hit = {place for place, packets in after.items() if packets > before[place]}
    return walk_packet(rules, host_of(node, rules, hit), packet_of(row, node)), answer, hit


def check(row: Row, walk: Walk, answer: str, hit: set[tuple[str, str, int]]) -> None:
    assert walk.outcome == row.outcome, row.name
    named = set(matched_places(walk))
    # packets after the first meet the filter table too, but not nat
    assert named <= hit, (row.name, named - hit)
    assert {p for p in hit if p[0] == "nat"} <= named, (row.name, hit - named)
    if row.outcome == "ACCEPT":
        assert answer.split()[-1] == str(walk.packet.source), row.name
        assert walk.packet.destination_port == 8080, row.name
    else:
        expected = {"REJECT": "ConnectionRefusedError", "DROP": "TimeoutError"}
        assert answer == expected[row.outcome], row.name
