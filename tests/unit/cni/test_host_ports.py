"""Where packets to host ports go, and which rules are written for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.cni.host_ports import (
    HostPort,
    HostPortRules,
    PortMapping,
    pod_chain,
    pod_host_ports,
)
from netlab.cni.port_records import PortRecords
from netlab.cni.rules import pod_rules
from netlab.net.netfilter.fake import FakeIptables
from netlab.net.netfilter.owner import Netfilter
from netlab.net.ruleset import merge_rule_sets
from netlab.net.walk import Host, Packet, Way, walk_packet

NODE_IP, OTHER_IP = IPv4Address("10.100.199.200"), IPv4Address("192.0.2.1")
POD_IP, BRIDGE_IP = IPv4Address("10.244.0.5"), IPv4Address("10.244.0.1")
WEB = PortMapping(
    IPv4Interface("10.244.0.5/24"),
    (HostPort("TCP", 8080, 80), HostPort("UDP", 53, 5353), HostPort("TCP", 9090, 90, OTHER_IP)),
)
PORTS_OF_WEB = HostPortRules()
PORTS_OF_WEB.put("web", WEB)
RULES = merge_rule_sets(
    PORTS_OF_WEB.section.rule_set(), pod_rules(IPv4Network("10.244.0.0/16"), ()).rule_set()
)


def way(to: IPv4Address) -> Way:
    return Way("cni0", BRIDGE_IP) if to in IPv4Network("10.244.0.0/24") else Way("eth0", NODE_IP)


HOST = Host(frozenset({NODE_IP, OTHER_IP, BRIDGE_IP}), way)


@pytest.mark.parametrize(
    ("source", "to", "protocol", "port", "expected"),
    [
        pytest.param("192.0.2.9", NODE_IP, "tcp", 8080, ("192.0.2.9", POD_IP, 80), id="outside"),
        pytest.param("192.0.2.9", NODE_IP, "udp", 53, ("192.0.2.9", POD_IP, 5353), id="udp"),
        pytest.param("192.0.2.9", NODE_IP, "udp", 8080, None, id="other protocol"),
        pytest.param("192.0.2.9", NODE_IP, "tcp", 8081, None, id="other port"),
        pytest.param("192.0.2.9", OTHER_IP, "tcp", 9090, ("192.0.2.9", POD_IP, 90), id="host ip"),
        pytest.param("192.0.2.9", NODE_IP, "tcp", 9090, None, id="not the host ip"),
        pytest.param("10.244.0.5", NODE_IP, "tcp", 8080, ("10.244.0.1", POD_IP, 80), id="hairpin"),
    ],
)
def test_where_packets_from_outside_go(
    source: str,
    to: IPv4Address,
    protocol: str,
    port: int,
    expected: tuple[str, IPv4Address, int] | None,
) -> None:
    packet = Packet(IPv4Address(source), to, protocol, destination_port=port, in_link="any")
    end = walk_packet(RULES, HOST, packet).packet
    if expected is None:
        assert (end.destination, end.destination_port) == (to, port)
    else:
        assert (str(end.source), end.destination, end.destination_port) == expected


def test_the_node_itself_reaches_the_pod_by_localhost() -> None:
    local = IPv4Address("127.0.0.1")
    end = walk_packet(RULES, HOST, Packet(local, local, destination_port=8080)).packet
    assert (end.source, end.destination, end.destination_port) == (BRIDGE_IP, POD_IP, 80)


class Node:
    """Host ports above rules in memory."""

    def __init__(self, iptables: FakeIptables | None = None) -> None:
        self.iptables = iptables or FakeIptables()
        self.netfilter = Netfilter(None, open_backend=lambda _: self.iptables)
        self.ports = HostPortRules()
        self.netfilter.register(self.ports.section)

    async def put(self, **mappings: PortMapping) -> None:
        for container_id, mapping in mappings.items():
            self.ports.put(container_id, mapping)
        await self.netfilter.sync(self.ports.section)

    def chain(self, name: str) -> list[str] | None:
        return self.iptables.tables["nat"].get(name)

    def targets(self) -> list[str]:
        return [line.rpartition(" ")[2] for line in self.chain("CNI-HOSTPORT-DNAT") or ()]


async def test_rules_are_written_once() -> None:
    node = Node()
    await node.put(web=WEB)
    await node.put(web=WEB)
    assert len(node.iptables.texts) == 1
    again = Node(node.iptables)
    await again.put(web=WEB)
    assert len(node.iptables.texts) == 1


FOREIGN = "-p tcp -m multiport --dports 1 -j CNI-DN-of-somebody"


async def test_foreign_rules_in_shared_chains_stay() -> None:
    node = Node()
    await node.put(web=WEB)
    nat = node.iptables.tables["nat"]
    nat["CNI-DN-of-somebody"] = ["-p tcp -j CNI-HOSTPORT-SETMARK"]
    node.iptables.change("nat", "CNI-HOSTPORT-DNAT", [*nat["CNI-HOSTPORT-DNAT"], FOREIGN])
    await node.put(web=PortMapping(WEB.address, (HostPort("TCP", 8081, 80),)))
    assert node.targets() == [pod_chain("web"), "CNI-DN-of-somebody"]
    node.ports.remove("web")
    await node.netfilter.sync(node.ports.section)
    assert node.targets() == ["CNI-DN-of-somebody"]
    assert node.chain(pod_chain("web")) is None
    await node.netfilter.remove(node.ports.section)
    # somebody still needs the frame
    assert node.chain("CNI-HOSTPORT-SETMARK")
    assert any("CNI-HOSTPORT-DNAT" in line for line in node.chain("PREROUTING") or ())


async def test_the_frame_goes_with_the_lab() -> None:
    node = Node()
    await node.put(web=WEB)
    for _ in range(2):
        await node.netfilter.remove(node.ports.section)
    assert not [name for name in node.iptables.tables["nat"] if name.startswith("CNI-")]
    assert not any(lines for lines in node.iptables.tables["nat"].values())


async def test_changed_ports_replace_the_entry() -> None:
    node = Node()
    await node.put(web=PortMapping(WEB.address, (HostPort("TCP", 8081, 80),)))
    await node.put(web=WEB)
    text = node.iptables.texts[-1]
    assert "--dports 8081 " in text.split("-D CNI-HOSTPORT-DNAT")[1].splitlines()[0]
    assert node.targets() == [pod_chain("web")] * 2


async def test_sixteen_ports_need_two_entries_and_the_newest_pod_comes_first() -> None:
    many = PortMapping(WEB.address, tuple(HostPort("TCP", n, n) for n in range(1, 17)))
    node = Node()
    await node.put(old=WEB)
    await node.put(many=many)
    assert node.targets() == [pod_chain("many")] * 2 + [pod_chain("old")] * 2


def test_chain_names_fit() -> None:
    assert len(pod_chain("x" * 300)) == 28
    assert pod_chain("a") != pod_chain("b")


PORTS: dict[str, tuple[dict[str, Any], tuple[HostPort, ...]]] = {
    "none": ({"ports": [{"containerPort": 80}]}, ()),
    "plain": (
        {"ports": [{"containerPort": 80, "hostPort": 8080}]},
        (HostPort("TCP", 8080, 80),),
    ),
    "any address": (
        {"ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "0.0.0.0"}]},
        (HostPort("TCP", 8080, 80),),
    ),
    "one address": (
        {"ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "192.0.2.1"}]},
        (HostPort("TCP", 8080, 80, OTHER_IP),),
    ),
    "IPv6 is left out": (
        {"ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "2001:db8::1"}]},
        (),
    ),
    "once": (
        {"ports": [{"containerPort": 80, "hostPort": 8080}] * 2},
        (HostPort("TCP", 8080, 80),),
    ),
}


@pytest.mark.parametrize("name", PORTS)
def test_host_ports_of_a_pod(name: str) -> None:
    container, expected = PORTS[name]
    spec = {
        "containers": [{"name": "web", **container}],
        "initContainers": [
            {"name": "once", "ports": [{"containerPort": 1, "hostPort": 1}]},
        ],
    }
    assert pod_host_ports(Pod.parse({"metadata": {"name": "web"}, "spec": spec})) == expected


def test_records_survive_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    records = PortRecords(tmp_path / "ports")
    assert records.load() == {}
    records.save("web", WEB)
    (tmp_path / "ports" / "bad.json").write_text('{"address": 7')
    (tmp_path / "ports" / "worse.json").write_text('{"address": "x", "ports": []}')
    assert PortRecords(tmp_path / "ports").load() == {"web": WEB}
    records.remove("web")
    records.remove("web")
    assert records.load() == {}
