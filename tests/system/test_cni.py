"""Pods get a network, and it goes away with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netlab import command
from netlab.clock import SystemClock
from netlab.errors import NetworkError
from netlab.net.iptables import Iptables
from netlab.net.links import call_links
from netlab.net.sysctl import read_sysctl
from tests.system.nodes import CLUSTER_CIDR, POD_CIDR, Node, eventually, node_with_pods

pytestmark = pytest.mark.system


async def test_pods_reach_each_other_and_the_node(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a", "b") as node:
        a, b = node.pods
        assert (a.ip, b.ip) == ("10.244.0.2", "10.244.0.3")
        await node.serve(b, 8080)
        assert await node.ask(a.netns, b.ip, 8080) == f"b {a.ip}"
        assert await node.ask(node.netns, b.ip, 8080) == "b 10.244.0.1"
        assert await node.ask(b.netns, b.ip, 8080) == f"b {b.ip}"
        ping = ["busybox", "ping", "-c1", "-W1", "10.100.199.200"]
        assert "1 packets received" in await node.run(a.netns, *ping)


async def test_setup_and_add_again_change_nothing(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node:
        before = await node.run(node.netns, "ip", "-o", "-4", "addr")
        rules = await Iptables(node.netns).save()
        await node.network.setup(POD_CIDR)
        again = await node.network.add(
            container_id="a", pod_netns=node.pods[0].netns, namespace="test", name="a"
        )
        assert again == node.pods[0].address
        assert await node.run(node.netns, "ip", "-o", "-4", "addr") == before
        assert await Iptables(node.netns).save() == rules
        assert await node.host.netfilter.check() is False


async def test_delete_succeeds_when_gone(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node:
        for _ in range(2):
            await node.network.delete(container_id="a", pod_netns=node.pods[0].netns)
        assert await node.network.addresses() == {}
        assert not await call_links(
            node.netns, lambda links: links.exists(node.pods[0].address.host_veth)
        )
        # a freed address is not handed out again at once
        assert (await node.add_pod("b")).ip == "10.244.0.3"


async def _cut(node: Node, *argv: str) -> list[str]:
    await node.run(node.netns, *argv)
    pod = node.pods[0]
    return await node.network.check(container_id=pod.name, pod_netns=pod.netns)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        pytest.param(["ip", "link", "del", "{veth}"], "{veth} is missing on the node", id="veth"),
        pytest.param(["ip", "link", "set", "{veth}", "down"], "{veth} is down", id="down"),
        pytest.param(
            ["ip", "link", "set", "{veth}", "nomaster"], "not a port of cni0", id="no-port"
        ),
        pytest.param(["ip", "link", "del", "cni0"], "bridge cni0 is missing", id="bridge"),
        pytest.param(
            ["ip", "-n", "{pod}", "addr", "flush", "dev", "eth0"], "lacks the address", id="address"
        ),
        pytest.param(
            ["ip", "-n", "{pod}", "route", "del", "default"], "no default route", id="route"
        ),
        pytest.param(["ip", "-n", "{pod}", "link", "set", "lo", "down"], "lo is down", id="lo"),
    ],
)
async def test_harm_is_told_and_repaired(tmp_path: Path, harm: list[str], told: str) -> None:
    async with node_with_pods(tmp_path, "a", "b") as node:
        a, b = node.pods
        names = {"veth": a.address.host_veth, "pod": a.netns.name}
        problems = await _cut(node, *(word.format(**names) for word in harm))
        assert told.format(**names) in "; ".join(problems)
        for pod in (a, b):
            await node.network.repair(
                container_id=pod.name, pod_netns=pod.netns, namespace="test", name=pod.name
            )
            assert not await node.network.check(container_id=pod.name, pod_netns=pod.netns)
        await node.serve(b, 8080)
        assert await node.ask(a.netns, b.ip, 8080) == f"b {a.ip}"


async def test_failed_add_leaves_nothing(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        links = await node.run(node.netns, "ip", "-o", "link")
        with pytest.raises(NetworkError, match="pod test/x: "):
            await node.network.add(
                container_id="x", pod_netns=Path("/run/netns/none"), namespace="test", name="x"
            )
        assert await node.run(node.netns, "ip", "-o", "link") == links
        assert await node.network.addresses() == {}


async def test_packets_that_leave_are_masqueraded(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node:
        outside = await node.add_netns("outside")
        await call_links(
            node.netns,
            lambda links: links.create_veth(
                "uplink", peer_name="eth0", peer_netns=outside, bridge="nodelink", mtu_bytes=1500
            ),
        )
        for argv in (
            ["addr", "add", "10.100.199.7/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            await command.run(["ip", *argv], timeout_s=5, netns=outside)
        server = node.pods[0].__class__("outside", outside, node.pods[0].address)
        await node.serve(server, 8080)
        a = node.pods[0]
        assert await node.ask(a.netns, "10.100.199.7", 8080) == "outside 10.100.199.200"


async def test_guard_puts_flushed_rules_back(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path) as node:
        guard = asyncio.create_task(node.host.run(SystemClock()))
        await node.run(node.netns, "iptables", "-t", "nat", "-F")
        chain = ["iptables", "-t", "nat", "-S", "NETLAB-POSTROUTING"]
        await eventually(lambda: node.run(node.netns, *chain), lambda out: str(CLUSTER_CIDR) in out)
        guard.cancel()


async def test_teardown_leaves_foreign_rules_and_links(tmp_path: Path) -> None:
    async with node_with_pods(tmp_path, "a") as node:
        foreign = ["-A", "POSTROUTING", "-s", "10.244.9.9/32", "-j", "RETURN"]
        await node.run(node.netns, "iptables", "-t", "nat", *foreign)
        await node.network.teardown()
        await node.network.teardown()
        snapshot = await Iptables(node.netns).save()
        lines = {chain.lines for chains in snapshot.tables.values() for chain in chains.values()}
        assert lines == {(), ("-s 10.244.9.9/32 -j RETURN",)}
        names = {link.name for link in await call_links(node.netns, lambda links: links.links())}
        assert names == {"lo", "nodelink"}
        # the ledger has its old value, and whoever reads that puts it back
        assert await read_sysctl(node.netns, "net.ipv4.ip_forward") == "1"
