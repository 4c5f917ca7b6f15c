"""Ports of the node lead to pods, from everywhere they should, and go away with them."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from netlab.cni.host_ports import HostPort, pod_chain
from netlab.cni.plugin import PodNetwork
from netlab.net.host import NetworkHost
from netlab.net.iptables import Iptables
from tests.system.nodes import (
    CLUSTER_CIDR,
    NODE_ADDRESS,
    POD_CIDR,
    SERVICE_CIDR,
    Node,
    Pod,
    node_with_pods,
)

pytestmark = pytest.mark.system

NODE_IP = str(NODE_ADDRESS.ip)
WEB = (HostPort("TCP", 8080, 80), HostPort("UDP", 5353, 53))


async def add_published(node: Node, name: str, *ports: HostPort) -> Pod:
    netns = await node.add_netns(name)
    address = await node.network.add(
        container_id=name, pod_netns=netns, namespace="test", name=name, host_ports=ports
    )
    pod = Pod(name, netns, address)
    node.pods.append(pod)
    return pod


async def nat_text(node: Node) -> str:
    return await node.run(node.netns, "iptables-save", "-t", "nat")


async def test_a_host_port_answers_from_node_localhost_and_pods(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "client") as node:
        web = await add_published(node, "web", *WEB)
        await node.serve(web, 80)
        await node.serve(web, 53, udp=True)
        assert await node.ask(node.netns, NODE_IP, 8080) == f"web {NODE_IP}"
        assert await node.ask(node.netns, "127.0.0.1", 8080) == "web 10.244.0.1"
        client = node.pods[0]
        assert await node.ask(client.netns, NODE_IP, 8080) == "web 10.244.0.1"
        assert await node.ask(web.netns, NODE_IP, 8080) == "web 10.244.0.1"
        assert await node.ask_udp(node.netns, NODE_IP, 5353) == f"web {NODE_IP}"
        assert await node.ask_udp(node.netns, "127.0.0.1", 5353) == "web 10.244.0.1"


async def test_host_ip_is_honoured(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        await node.run(node.netns, "ip", "addr", "add", "192.0.2.1/32", "dev", "nodelink")
        web = await add_published(node, "web", HostPort("TCP", 8080, 80, IPv4Address("192.0.2.1")))
        await node.serve(web, 80)
        assert await node.ask(node.netns, "192.0.2.1", 8080) == "web 192.0.2.1"
        assert await node.ask(node.netns, NODE_IP, 8080) == "ConnectionRefusedError"


async def test_the_rules_are_the_plugins_own_and_are_written_once(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        web = await add_published(node, "web", *WEB)
        text = await nat_text(node)
        chain = pod_chain("web")
        for line in (
            "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            "-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
            '-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"netlab\\" id: '
            f'\\"web\\"" -m multiport --dports 8080 -j {chain}',
            "-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE",
            f"-A {chain} -s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK",
            f"-A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination {web.ip}:80",
        ):
            assert line in text.splitlines()
        assert await node.host.netfilter.check() is False
        assert not await node.network.check(container_id="web", pod_netns=web.netns)


async def test_ports_go_with_the_pod_and_return_to_the_next(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        first = await add_published(node, "first", *WEB)
        await node.serve(first, 53, udp=True)
        ask = {"source_port": 40053}
        assert await node.ask_udp(node.netns, NODE_IP, 5353, **ask) == f"first {NODE_IP}"
        await node.network.delete(container_id="first", pod_netns=first.netns)
        assert pod_chain("first") not in await nat_text(node)
        # the same client's connection would go on to the first pod if it were still tracked
        second = await add_published(node, "second", *WEB)
        await node.serve(second, 53, udp=True)
        assert await node.ask_udp(node.netns, NODE_IP, 5353, **ask) == f"second {NODE_IP}"


async def test_the_newest_pod_has_the_port(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        for name in ("old", "new"):
            await node.serve(await add_published(node, name, HostPort("TCP", 8080, 80)), 80)
        assert await node.ask(node.netns, NODE_IP, 8080) == f"new {NODE_IP}"
        await node.network.delete(container_id="new")
        assert await node.ask(node.netns, NODE_IP, 8080) == f"old {NODE_IP}"


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(["-F", "CNI-HOSTPORT-DNAT"], id="entries"),
        pytest.param(["-F", pod_chain("web")], id="the pod's chain"),
        pytest.param(["-F"], id="everything"),
        pytest.param(["-D", "POSTROUTING", "1"], id="a jump"),
    ],
)
async def test_harm_is_told_and_repaired_by_another_daemon(tmp_path: Path, harm: list[str]) -> None:
    async with node_with_pods(tmp_path) as node:
        web = await add_published(node, "web", *WEB)
        await node.serve(web, 80)
        host = NetworkHost(node.netns)
        later = PodNetwork(
            host,
            cluster_cidr=CLUSTER_CIDR,
            service_cidr=SERVICE_CIDR,
            state_dir=tmp_path,
        )
        await later.setup(POD_CIDR)
        await node.run(node.netns, "iptables", "-t", "nat", *harm)
        problems = await later.check(container_id="web", pod_netns=web.netns)
        assert problems == ["rules of host ports 8080/TCP, 5353/UDP are missing on the node"]
        await later.repair(container_id="web", pod_netns=web.netns, namespace="test", name="web")
        assert not await later.check(container_id="web", pod_netns=web.netns)
        assert await node.ask(node.netns, "127.0.0.1", 8080) == "web 10.244.0.1"
        host.close()


async def test_teardown_leaves_only_foreign_rules(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        await add_published(node, "web", *WEB)
        await node.network.teardown()
        snapshot = await Iptables(node.netns).save()
        assert {line for c in snapshot.tables["nat"].values() for line in c.lines} == set()
        assert not [name for name in snapshot.tables["nat"] if name.startswith("CNI-")]
