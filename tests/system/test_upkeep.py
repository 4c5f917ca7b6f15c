"""Whatever of the node's and the pods' links and parameters is undone by hand comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netlab.clock import SystemClock
from netlab.cni.host_ports import HostPort
from netlab.net.link_state import LOOPBACK, Wanted, WantedLink, WantedRoute
from tests.system.nodes import NODE_ADDRESS, SERVICE_CIDR, Node, Pod, eventually, node_with_pods

pytestmark = pytest.mark.system

# what the lab's node has, as ``nodes.machine`` makes it
NODE_LINKS = Wanted(
    "on the node",
    (
        LOOPBACK,
        WantedLink(name="nodelink", kind="bridge", mtu_bytes=1500, addresses=(NODE_ADDRESS,)),
    ),
    (WantedRoute(destination=SERVICE_CIDR, link="nodelink", source=NODE_ADDRESS.ip),),
)


@contextlib.asynccontextmanager
async def kept(folder: Path, *pods: str) -> AsyncIterator[Node]:
    """A node whose links, parameters and rules are guarded."""
    async with node_with_pods(folder, *pods) as node:
        node.host.links.want("node", lambda: NODE_LINKS)
        clock = SystemClock()
        tasks = [asyncio.create_task(node.host.run(clock))]
        await asyncio.sleep(0.3)
        try:
            yield node
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def state(node: Node) -> dict[str, str]:
    """All of both namespaces that somebody could see, without numbers that change."""
    veth = node.pods[0].address.host_veth
    pod = node.pods[0].netns
    strip = (
        r"s/^[0-9]*: //; s/@[^:]*:/:/; s/link-netns [^ ]*//; s/ state [A-Z]*//; s/ valid_lft.*//"
    )
    seen = {}
    for where, netns in (("node", node.netns), ("pod", pod)):
        for what in ("-d -o link", "-o -4 addr", "-4 route", "-4 route show table local"):
            # broadcasts come back with the address, and nobody needs them
            sed = f"{strip}; /^broadcast/d; s/ifid [^ ]*//; s/promiscuity.*hairpin/hairpin/"
            script = f"ip {what} | sed '{sed}'"
            text = await node.run(netns, "sh", "-c", script)
            seen[f"{where} {what}"] = "\n".join(sorted(_facts(line) for line in text.splitlines()))
    for name in (
        "ip_forward",
        "conf/cni0/forwarding", "conf/all/route_localnet", "conf/cni0/route_localnet",
    ):  # fmt: skip
        seen[name] = await node.run(node.netns, "cat", f"/proc/sys/net/ipv4/{name}")
    bridge = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    seen["bridge"] = await node.run(node.netns, "cat", bridge)
    port = await node.run(node.netns, "bridge", "-d", "link", "show", "dev", veth)
    seen["port"] = port.partition("> ")[2]
    return seen


def _facts(line: str) -> str:
    """Of a line of ``ip -d -o link`` what netlab set; other lines as they are."""
    words = line.replace("\\", " ").split()
    if "mtu" not in words:
        return " ".join(words)
    kept = [words[0], words[1]]
    names = ["mtu", "master", "hairpin"]
    if words[0] in ("cni0:", "eth0:"):  # the other links have addresses of the kernel's choice
        names.append("link/ether")
    for name in names:
        if name in words:
            kept += [name, words[words.index(name) + 1]]
    return " ".join(kept)


NODE_HARM = (
    "ip link set cni0 down",
    "ip addr flush dev cni0",
    "ip route del 10.244.0.0/24",
    "ip route flush dev cni0",
    "ip link set cni0 mtu 1300",
    "ip link set cni0 address 02:00:00:00:00:07",
    "ip link set cni0 arp off",
    "ip link del cni0",
    "ip link set {veth} down",
    "ip link set {veth} nomaster",
    "ip link set {veth} type bridge_slave hairpin off",
    "ip link set {veth} type bridge_slave state 0",
    "ip link set {veth} mtu 1280",
    "ip link del {veth}",
    "ip link set {veth} down; ip link set {veth} name lost; ip link set lost up",
    "ip route del 10.96.0.0/12",
    "ip route replace 10.96.0.0/12 dev cni0",
    "ip link set nodelink down",
    "ip addr flush dev nodelink",
    "ip link del nodelink",
    "ip link set lo down",
    "ip addr flush dev lo",
    "ip link set cni0 down; ip addr flush dev cni0; ip link set lo down",
    "ip route flush table local",
    "ip route flush table main",
    "ip route del local 10.244.0.1 dev cni0",
    "echo 0 > /proc/sys/net/ipv4/ip_forward",
    "echo 0 > /proc/sys/net/ipv4/conf/cni0/forwarding",
    "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding",
    "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables",
)
POD_HARM = (
    "ip link set eth0 down",
    "ip addr flush dev eth0",
    "ip addr del {ip}/24 dev eth0",
    "ip route del default",
    "ip route flush table main",
    "ip route replace default via 10.244.0.99",
    "ip route del 10.244.0.0/24",
    "ip route flush table local",
    "ip link set eth0 mtu 1200",
    "ip link set eth0 address 02:00:00:00:00:08",
    "ip link set eth0 arp off",
    "ip link del eth0",
    "ip link set eth0 down; ip link set eth0 name lost",
    "ip link set lo down",
    "ip addr flush dev lo",
)


async def _talks(node: Node) -> bool:
    a, b = node.pods
    answers = [
        await node.ask(a.netns, b.ip, 8080, timeout_s=0.5),
        await node.ask(b.netns, a.ip, 8080, timeout_s=0.5),
        await node.ask(a.netns, str(NODE_ADDRESS.ip), 1, timeout_s=0.5),
    ]
    return answers == [f"b {a.ip}", f"a {b.ip}", "ConnectionRefusedError"]


@pytest.mark.parametrize(
    "harm", [("node", one) for one in NODE_HARM] + [("pod", one) for one in POD_HARM]
)
async def test_what_is_undone_comes_back(tmp_path: Path, harm: tuple[str, str]) -> None:
    where, command = harm
    async with kept(tmp_path, "a", "b") as node:
        a = node.pods[0]
        for pod in node.pods:
            await node.serve(pod, 8080)
        await eventually(lambda: _talks(node), bool)
        before = await state(node)
        netns = node.netns if where == "node" else a.netns
        await node.run(netns, "sh", "-c", command.format(veth=a.address.host_veth, ip=a.ip))

        async def changed() -> dict[str, tuple[str, str]]:
            now = await state(node)
            return {key: (before[key], now[key]) for key in before if now[key] != before[key]}

        await eventually(changed, lambda found: not found)
        await eventually(lambda: _talks(node), bool)
        for pod in node.pods:
            assert not await node.network.check(container_id=pod.name, pod_netns=pod.netns)


PORT_HARM = (
    "iptables -t nat -F CNI-HOSTPORT-DNAT",
    "iptables -t nat -F CNI-HOSTPORT-SETMARK",
    "iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
    "iptables -t nat -F",
    "iptables -t nat -F; iptables -t nat -X",
    "iptables -F NETLAB-FORWARD; iptables -P FORWARD DROP",
    "echo 0 > /proc/sys/net/ipv4/conf/cni0/route_localnet",
    "ip link del cni0",
    "nft flush ruleset",
)


@pytest.mark.parametrize("harm", PORT_HARM)
async def test_host_ports_come_back(tmp_path: Path, harm: str) -> None:
    async with kept(tmp_path, "a") as node:
        netns = await node.add_netns("web")
        address = await node.network.add(
            container_id="web",
            pod_netns=netns,
            namespace="test",
            name="web",
            host_ports=(HostPort("TCP", 8080, 80),),
        )
        await node.serve(Pod("web", netns, address), 80)

        async def answers() -> list[str]:
            a, port = node.pods[0].netns, 8080
            return [
                await node.ask(node.netns, "127.0.0.1", port, timeout_s=0.5),
                await node.ask(a, str(NODE_ADDRESS.ip), port, timeout_s=0.5),
            ]

        before = await answers()
        # the plugin marks the whole range of the node's pods
        assert before == ["web 10.244.0.1", "web 10.244.0.1"]
        policy = await node.run(node.netns, "iptables", "-S", "FORWARD")
        await node.run(node.netns, "sh", "-c", harm)
        await eventually(answers, lambda seen: seen == before)
        if "DROP" in harm:  # a chain's policy is not ours
            text = await node.run(node.netns, "iptables", "-S", "FORWARD")
            assert text == policy.replace("-P FORWARD ACCEPT", "-P FORWARD DROP")


async def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    async with kept(tmp_path, "a") as node:
        a = node.pods[0]
        foreign = (
            "ip addr add 10.55.0.1/24 dev cni0; ip link add other type bridge;"
            "ip route add 10.66.0.0/16 dev cni0; ip route add default dev nodelink metric 500;"
            "ip link set other mtu 1400; iptables -P FORWARD DROP; ip link set cni0 down"
        )
        await node.run(node.netns, "sh", "-c", foreign)
        await node.run(a.netns, "ip", "addr", "add", "10.77.0.1/24", "dev", "eth0")
        await eventually(
            lambda: node.run(node.netns, "ip", "-o", "link", "show", "cni0"),
            lambda text: ",UP" in text,
        )
        await asyncio.sleep(0.5)
        addresses = await node.run(node.netns, "ip", "-o", "-4", "addr", "show", "dev", "cni0")
        assert "10.55.0.1/24" in addresses
        assert "10.244.0.1/24" in addresses
        assert "mtu 1400" in await node.run(node.netns, "ip", "link", "show", "other")
        assert "metric 500" in await node.run(node.netns, "ip", "route", "show", "default")
        assert "-P FORWARD DROP" in await node.run(node.netns, "iptables", "-S", "FORWARD")
        assert "10.77.0.1/24" in await node.run(a.netns, "ip", "-o", "addr")


async def test_a_deleted_pod_is_not_brought_back(tmp_path: Path) -> None:
    async with kept(tmp_path, "a", "b") as node:
        a = node.pods[0]
        for _ in range(3):
            await node.run(a.netns, "ip", "link", "set", "eth0", "down")
            await node.network.delete(container_id="a", pod_netns=a.netns)
            await asyncio.sleep(0.2)
            assert "eth0" not in await node.run(a.netns, "ip", "-o", "link")
            await node.network.add(container_id="a", pod_netns=a.netns, namespace="test", name="a")


async def test_a_quiet_node_is_looked_at_no_more(tmp_path: Path) -> None:
    async with kept(tmp_path, "a") as node:
        looks = 0
        ensure = node.host.links.ensure

        async def counted() -> object:
            nonlocal looks
            looks += 1
            return await ensure()

        node.host.links.ensure = counted  # type: ignore[method-assign, assignment]
        # addresses of IPv6 are checked for their uniqueness first, of which the kernel tells too
        await asyncio.sleep(3)
        looks = 0
        await asyncio.sleep(1)
        assert looks == 0
        await node.run(node.netns, "ip", "link", "set", "cni0", "down")
        await eventually(
            lambda: node.run(node.netns, "ip", "-o", "link", "show", "cni0"),
            lambda text: ",UP" in text,
        )
        await asyncio.sleep(1)
        assert 1 <= looks <= 6
