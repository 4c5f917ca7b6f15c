"""Names, rules and refusals of the pod network that need no kernel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from netlab.cni.plugin import PodNetwork
from netlab.cni.pod_links import mac_of, veth_name
from netlab.cni.rules import pod_rules
from netlab.errors import AddressPoolError
from netlab.net.host import NetworkHost
from netlab.net.netfilter.fake import FakeIptables
from netlab.net.netfilter.owner import Netfilter
from netlab.net.netfilter.section import Section
from netlab.net.walk import Host, Packet, Way, walk_packet

CLUSTER = IPv4Network("10.244.0.0/16")
NODES = IPv4Network("10.100.199.0/24")
RULES = pod_rules(CLUSTER, (NODES,)).rule_set()
NODE_IP = IPv4Address("10.100.199.200")
HOST = Host(frozenset({NODE_IP}), lambda _: Way("eth0", NODE_IP))


def test_names_fit_and_do_not_change() -> None:
    assert veth_name("a") == veth_name("a") != veth_name("b")
    assert len(veth_name("x" * 64)) == 12
    assert mac_of(IPv4Address("10.244.0.5")) == "0a:58:0a:f4:00:05"


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        pytest.param("10.244.0.2", "192.0.2.9", "10.100.199.200", id="pod leaves the cluster"),
        pytest.param("10.244.0.2", "10.244.1.3", "10.244.0.2", id="pod to pod"),
        pytest.param("10.244.0.2", "10.100.199.7", "10.244.0.2", id="pod to a neighbour"),
        pytest.param("10.244.0.2", "224.0.0.251", "10.244.0.2", id="multicast"),
        pytest.param("192.0.2.9", "192.0.2.10", "192.0.2.9", id="others are left alone"),
    ],
)
def test_who_is_masqueraded(source: str, to: str, expected: str) -> None:
    packet = Packet(IPv4Address(source), IPv4Address(to), in_link="cni0")
    assert str(walk_packet(RULES, HOST, packet).packet.source) == expected


def test_pods_pass_a_forward_chain_that_drops() -> None:
    chains = {**RULES.tables["filter"]}
    forward = chains["FORWARD"]
    chains["FORWARD"] = type(forward)("FORWARD", forward.rules, "DROP")
    rules = type(RULES)({"filter": chains})
    for source, to, outcome in (
        ("10.244.0.2", "192.0.2.9", "ACCEPT"),
        ("192.0.2.9", "10.244.0.2", "ACCEPT"),
        ("192.0.2.9", "192.0.2.10", "DROP"),
    ):
        packet = Packet(IPv4Address(source), IPv4Address(to), in_link="cni0")
        assert walk_packet(rules, HOST, packet).outcome == outcome


def owner(iptables: FakeIptables) -> tuple[Netfilter, Section]:
    netfilter, section = Netfilter(None, open_backend=lambda _: iptables), pod_rules(CLUSTER, ())
    netfilter.register(section)
    return netfilter, section


async def test_rules_are_written_once() -> None:
    iptables = FakeIptables()
    netfilter, section = owner(iptables)
    assert (await netfilter.sync(section)).restores == 1
    assert (await netfilter.sync(section)).restores == 0
    # also by another process
    netfilter, section = owner(iptables)
    assert (await netfilter.sync(section)).restores == 0


async def test_only_what_is_missing_is_written() -> None:
    iptables = FakeIptables()
    netfilter, section = owner(iptables)
    await netfilter.sync(section)
    iptables.change("nat", "POSTROUTING", ["-s 10.9.9.9/32 -j RETURN"])
    await netfilter.check()
    assert iptables.texts[-1] == (
        '*nat\n-A POSTROUTING -m comment --comment "netlab pod traffic" -j NETLAB-POSTROUTING\n'
        "COMMIT\n"
    )


async def test_removal_takes_only_our_rules() -> None:
    iptables = FakeIptables()
    netfilter, section = owner(iptables)
    await netfilter.sync(section)
    foreign = "-s 10.9.9.9/32 -j RETURN"
    iptables.change("nat", "POSTROUTING", [foreign, *iptables.tables["nat"]["POSTROUTING"]])
    await netfilter.remove(section)
    held = {n: lines for chains in iptables.tables.values() for n, lines in chains.items() if lines}
    assert held == {"POSTROUTING": [foreign]}
    assert "NETLAB-POSTROUTING" not in iptables.tables["nat"]


def test_overlapping_ranges_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AddressPoolError, match="overlap"):
        PodNetwork(
            NetworkHost(None),
            cluster_cidr=IPv4Network("10.96.0.0/16"),
            service_cidr=IPv4Network("10.96.0.0/12"),
            state_dir=tmp_path,
        )
