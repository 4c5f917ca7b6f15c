"""How much the way through a Service costs: iperf3 pod → ClusterIP → pod, against bare links.

Three ways take turns: two pods of netlab's pod network with kube-proxy's rules; two namespaces
joined by hand with veth, bridge, veth and no rules at all; and the same by hand with a single DNAT
rule, which is the least any Service made of iptables costs (connection tracking, br_netfilter and
routing). Ratios are medians of the rounds' ratios. Run as root:

    python benchmarks/datapath.py [--seconds 3] [--rounds 5] [--write FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import tempfile
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from netlab import command
from netlab.api.kinds import SERVICE
from netlab.client.informers import SharedInformers
from netlab.client.interface import JsonList, WatchEvent
from netlab.clock import SystemClock
from netlab.cni.plugin import PodNetwork
from netlab.net.host import NetworkHost
from netlab.net.links import Links, call_links
from netlab.net.netns import create_netns, remove_netns
from netlab.net.sysctl import write_sysctls
from netlab.proxy.agent import ProxyAgent
from netlab.proxy.iptables_mode import IptablesProvider

CLUSTER = IPv4Network("10.244.0.0/16")
VIP = "10.96.1.1"
PORT = 5201
ACCEPT_PORT = 5202
# the default of Debian and Ubuntu, whatever this machine is set to
CONGESTION = "cubic"
NOTE = """\
The second way is what a Service costs at least when iptables makes it: connection tracking,
the bridge's netfilter hooks and routing, with one rule and nothing of netlab. What netlab's
rules add is the step from the second way to the third."""
PREFIX = f"nlbench-{os.getpid()}"


class Objects:
    """A client that lists one Service with one endpoint."""

    def __init__(self, endpoint: str) -> None:
        meta = {"name": "web", "namespace": "default"}
        ports = [{"name": "iperf", "port": PORT}, {"name": "accept", "port": ACCEPT_PORT}]
        self._service = {
            "metadata": meta,
            "spec": {"clusterIP": VIP, "ports": ports},
        }
        self._slice = {
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": "web"}},
            "ports": ports,
            "endpoints": [{"addresses": [endpoint], "conditions": {"ready": True}}],
        }

    async def list_json(self, kind: Any, *_: Any, **__: Any) -> JsonList:
        found = self._service if kind is SERVICE else self._slice
        return JsonList([msgspec.json.encode(found)], "1")

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        await asyncio.Event().wait()
        yield WatchEvent("BOOKMARK", b"{}")


async def make_netns(stack: contextlib.AsyncExitStack, name: str) -> Path:
    path = await create_netns(f"{PREFIX}-{name}")
    stack.push_async_callback(remove_netns, path.name)
    return path


async def make_pods(stack: contextlib.AsyncExitStack) -> tuple[Path, Path]:
    """Two pods and a Service in front of the second, as in a lab."""
    node = await make_netns(stack, "node")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    host = NetworkHost(node)
    network = PodNetwork(
        host,
        cluster_cidr=CLUSTER,
        service_cidr=IPv4Network("10.96.0.0/12"),
        state_dir=Path(folder),
    )
    stack.callback(host.close)
    await network.setup(IPv4Network("10.244.0.0/24"))
    pods = [await make_netns(stack, name) for name in ("client", "server")]
    for pod in pods:
        address = await network.add(
            container_id=pod.name, pod_netns=pod, namespace="default", name=pod.name
        )
    informers = SharedInformers(Objects(str(address.ip)), SystemClock())
    agent = ProxyAgent(
        informers,
        provider=IptablesProvider(
            host, node_ip=IPv4Address("10.100.199.200"), cluster_cidr=CLUSTER
        ),
        node_name="node0",
        cluster_cidr=CLUSTER,
        host=host,
        clock=SystemClock(),
    )
    tasks = [asyncio.create_task(part.run()) for part in (informers, agent)]
    await agent.synced.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return pods[0], pods[1]


async def make_bare(
    stack: contextlib.AsyncExitStack, *, number: int, dnat: bool
) -> tuple[Path, Path]:
    """Two namespaces on a bridge in a third, as ``ip link`` leaves them: 10.9.NUMBER.2 and .3.

    dnat: route through the middle, where one rule sends VIP to the second namespace.
    """
    middle = await make_netns(stack, f"bare{number}")
    ends = [await make_netns(stack, f"bare{number}-{end}") for end in ("client", "server")]
    gateway = IPv4Interface(f"10.9.{number}.1/24")

    def join(links: Links) -> None:
        links.ensure_bridge("br0", mtu_bytes=1500)
        links.ensure_address("br0", gateway)
        for index, end in enumerate(ends):
            links.create_veth(
                f"veth{index}", peer_name="eth0", peer_netns=end, bridge="br0", mtu_bytes=1500
            )

    def address_end(links: Links, address: IPv4Interface) -> None:
        links.ensure_address("eth0", address)
        links.ensure_link_up("eth0")
        links.ensure_route(IPv4Network("0.0.0.0/0"), gateway=gateway.ip)

    await call_links(middle, join)
    for host, end in enumerate(ends, 2):
        address = IPv4Interface(f"10.9.{number}.{host}/24")
        await call_links(end, lambda links, a=address: address_end(links, a))
    if dnat:
        await write_sysctls(
            middle,
            {"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"},
        )
        rule = f"-t nat -A PREROUTING -d {VIP} -j DNAT --to-destination 10.9.{number}.3"
        await command.run(["iptables", "-w", *rule.split()], timeout_s=10, netns=middle)
    else:
        await write_sysctls(middle, {"net.bridge.bridge-nf-call-iptables": "0"})
    return ends[0], ends[1]


async def start_servers(stack: contextlib.AsyncExitStack, netns: Path) -> None:
    accept = (
        f"import socket\ns=socket.create_server(('',{ACCEPT_PORT}))\nwhile 1: s.accept()[0].close()"
    )
    for argv in (["iperf3", "-s", "-p", str(PORT)], ["/usr/bin/python3", "-c", accept]):
        server = await asyncio.create_subprocess_exec(
            *command.in_netns(argv, netns), stdout=asyncio.subprocess.DEVNULL
        )
        stack.push_async_callback(stop, server)


async def stop(server: asyncio.subprocess.Process) -> None:
    server.kill()
    await server.wait()


async def gbits(netns: Path, to: str, seconds: int) -> float:
    argv = ["iperf3", "-c", to, "-p", str(PORT), "-t", str(seconds), "-C", CONGESTION, "-J"]
    done = await command.run(argv, timeout_s=seconds + 30, netns=netns)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


async def round_trip_us(netns: Path, to: str) -> float:
    """Median time of a TCP handshake, over 300 connections."""
    program = (
        "import socket,time,statistics\nt=[]\n"
        "for _ in range(300):\n s=time.perf_counter()\n"
        f" c=socket.create_connection(('{to}',{ACCEPT_PORT}));"
        "t.append(time.perf_counter()-s);c.close()\nprint(statistics.median(t)*1e6)"
    )
    done = await command.run(["/usr/bin/python3", "-c", program], timeout_s=30, netns=netns)
    return float(done.text())


Row = tuple[float, float, float]
"""Gbit/s, its ratio to the first way, and the TCP handshake in µs."""


async def measure(seconds: int, rounds: int) -> dict[str, Row]:
    """Return a row by way; the first is the floor."""
    async with contextlib.AsyncExitStack() as stack:
        client, server = await make_pods(stack)
        bare, bare_server = await make_bare(stack, number=1, dnat=False)
        natted, natted_server = await make_bare(stack, number=2, dnat=True)
        for netns in (server, bare_server, natted_server):
            await start_servers(stack, netns)
        await asyncio.sleep(0.5)
        ways = {
            "veth → bridge → veth by hand": (bare, "10.9.1.3"),
            "… with a single DNAT rule": (natted, VIP),
            "pod → ClusterIP → pod": (client, VIP),
        }
        found = [
            [await gbits(netns, to, seconds) for netns, to in ways.values()] for _ in range(rounds)
        ]
        times = [await round_trip_us(netns, to) for netns, to in ways.values()]
        rows = {}
        for index, (way, time_us) in enumerate(zip(ways, times, strict=True)):
            rate = statistics.median(row[index] for row in found)
            rows[way] = (rate, statistics.median(row[index] / row[0] for row in found), time_us)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    uvloop.install()
    found = asyncio.run(measure(arguments.seconds, arguments.rounds))
    lines = ["| way | iperf3 | ratio to the first | TCP handshake |", "|---|---|---|---|"]
    lines += [
        f"| {way} | {rate:.1f} Gbit/s | **{ratio:.2f}** | {us:.0f} µs |"
        for way, (rate, ratio, us) in found.items()
    ]
    text = "\n".join(lines)
    print(text)
    if arguments.write is not None:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(
            "# Data path: a Service against bare links\n\n"
            f"`python benchmarks/datapath.py --seconds "
            f"{arguments.seconds} --rounds {arguments.rounds} --write {arguments.write}` on "
            f"{os.cpu_count()} CPUs, Linux {platform.release()}.\n\n{text}\n\n{NOTE}\n"
        )


if __name__ == "__main__":
    main()
