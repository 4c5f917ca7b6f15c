"""Where packets to host ports go, and which rules are written for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.cni.host_ports import (
    HostPort,
    PortMapping,
    plan_frame_removal,
    plan_host_ports,
    plan_host_ports_removal,
    pod_chain,
    pod_host_ports,
    render_host_ports,
)
from netlab.cni.port_records import PortRecords
from netlab.cni.rules import render_pod_rules
from netlab.net.ruleset import merge_rule_sets, render_rule_set
from netlab.net.savefile import Snapshot, parse_saved
from netlab.net.walk import Host, Packet, Way, walk_packet

NODE_IP, OTHER_IP = IPv4Address("10.100.199.200"), IPv4Address("192.0.2.1")
POD_IP, BRIDGE_IP = IPv4Address("10.244.0.5"), IPv4Address("10.244.0.1")
WEB = PortMapping(
    IPv4Interface("10.244.0.5/24"),
    (HostPort("TCP", 8080, 80), HostPort("UDP", 53, 5353), HostPort("TCP", 9090, 90, OTHER_IP)),
)
RULES = merge_rule_sets(
    render_host_ports({"web": WEB}), render_pod_rules(IPv4Network("10.244.0.0/16"), ())
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


def saved(mappings: dict[str, PortMapping]) -> Snapshot:
    return parse_saved(render_rule_set(render_host_ports(mappings)))


def test_rules_are_written_once() -> None:
    assert f":{pod_chain('web')} - [0:0]" in plan_host_ports({"web": WEB}, Snapshot())
    assert plan_host_ports({"web": WEB}, saved({"web": WEB})) == ""
    assert plan_host_ports({}, saved({"web": WEB})) == ""


def test_foreign_rules_in_shared_chains_stay() -> None:
    foreign = {"foreign": PortMapping(WEB.address, (HostPort("TCP", 1, 1),))}
    text = plan_host_ports({"web": WEB}, saved(foreign))
    assert pod_chain("foreign") not in text
    assert ":CNI-HOSTPORT-DNAT" not in text
    both = saved({**foreign, "web": WEB})
    removal = plan_host_ports_removal(["web"], both)
    assert pod_chain("foreign") not in removal
    assert f"-X {pod_chain('web')}" in removal
    assert plan_frame_removal(saved(foreign)) == ""


def test_the_frame_goes_with_the_last_rule() -> None:
    text = plan_frame_removal(parse_saved(render_rule_set(render_host_ports({"web": WEB}))))
    assert text == ""
    empty = PortMapping(WEB.address, ())
    kernel = parse_saved(
        render_rule_set(render_host_ports({"web": empty})).replace(
            f":{pod_chain('web')} - [0:0]\n", ""
        )
    )
    assert plan_frame_removal(kernel).count("-X ") == 3
    assert plan_frame_removal(Snapshot()) == ""


def test_changed_ports_replace_the_entry() -> None:
    old = {"web": PortMapping(WEB.address, (HostPort("TCP", 8081, 80),))}
    text = plan_host_ports({"web": WEB}, saved(old))
    assert "-D CNI-HOSTPORT-DNAT" in text
    assert "--dports 8081 " in text.split("-D CNI-HOSTPORT-DNAT")[1].splitlines()[0]


def test_sixteen_ports_need_two_entries_and_the_newest_pod_comes_first() -> None:
    many = PortMapping(WEB.address, tuple(HostPort("TCP", n, n) for n in range(1, 17)))
    chain = render_host_ports({"old": WEB, "many": many}).chain("nat", "CNI-HOSTPORT-DNAT")
    assert chain is not None
    targets = [line.rpartition(" ")[2] for line in chain.lines()]
    assert targets == [pod_chain("many")] * 2 + [pod_chain("old")] * 2


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
