"""A node with pods, made of network namespaces, for the tests of the network components."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar

from netlab import command
from netlab.cni.plugin import PodAddress, PodNetwork
from netlab.net.host import NetworkHost
from netlab.net.links import Links, call_links
from netlab.net.netns import create_netns, list_netns, remove_netns
from netlab.net.sysctl import SysctlRecorder

T = TypeVar("T")

NODE_ADDRESS = IPv4Interface("10.100.199.200/24")
POD_CIDR = IPv4Network("10.244.0.0/24")
CLUSTER_CIDR = IPv4Network("10.244.0.0/16")
SERVICE_CIDR = IPv4Network("10.96.0.0/12")

# answers everybody with the pod's name and the client's address
TCP_ANSWER = """
import socket
server = socket.create_server(("", {port}), backlog=64)
while True:
    client, address = server.accept()
    client.sendall(("{name} " + address[0]).encode())
    client.close()
"""
UDP_ANSWER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", {port}))
while True:
    data, address = server.recvfrom(99)
    server.sendto(("{name} " + address[0]).encode(), address)
"""
TCP_ASK = """
import socket
try:
    for _ in range({times}):
        with socket.create_connection(("{to}", {port}), timeout={timeout}) as client:
            print(client.recv(99).decode())
except OSError as error:
    print(type(error).__name__)
"""
UDP_ASK = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", {source_port}))
client.connect(("{to}", {port}))
client.settimeout({timeout})
try:
    client.send(b"x")
    print(client.recv(99).decode())
except OSError as error:
    print(type(error).__name__)
"""
PYTHON = ["/usr/bin/python3", "-S", "-E", "-c"]


@dataclass
class Pod:
    """One pod of the node."""

    name: str
    netns: Path
    address: PodAddress

    @property
    def ip(self) -> str:
        return str(self.address.ip)


@dataclass
class Node:
    """A node: a namespace with an address on a link, and the pod network."""

    netns: Path
    network: PodNetwork
    host: NetworkHost
    pods: list[Pod] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _servers: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def add_pod(self, name: str) -> Pod:
        netns = await self.add_netns(name)
        address = await self.network.add(
            container_id=name, pod_netns=netns, namespace="test", name=name
        )
        pod = Pod(name, netns, address)
        self.pods.append(pod)
        return pod

    async def add_netns(self, name: str) -> Path:
        self.names.append(f"{self.netns.name}-{name}")
        return await create_netns(self.names[-1])

    async def serve(self, pod: Pod, port: int, *, udp: bool = False) -> None:
        """Answer on the port with the pod's name and the client's address as the pod sees it."""
        program = (UDP_ANSWER if udp else TCP_ANSWER).format(name=pod.name, port=port)
        argv = command.in_netns([*PYTHON, program], pod.netns)
        self._servers.append(await asyncio.create_subprocess_exec(*argv))
        flag = "-lnu" if udp else "-lnt"
        await eventually(lambda: self.run(pod.netns, "ss", flag), lambda out: f":{port} " in out)

    async def run(self, netns: Path, *argv: str) -> str:
        return (await command.run(argv, timeout_s=10, netns=netns, check=False)).text()

    async def ask(
        self, netns: Path, to: object, port: int, *, timeout_s: float = 2, times: int = 1
    ) -> str:
        program = TCP_ASK.format(to=to, port=port, timeout=timeout_s, times=times)
        return (await self.run(netns, *PYTHON, program)).strip()

    async def ask_udp(
        self, netns: Path, to: object, port: int, *, source_port: int = 0, timeout_s: float = 1
    ) -> str:
        program = UDP_ASK.format(to=to, port=port, source_port=source_port, timeout=timeout_s)
        return (await self.run(netns, *PYTHON, program)).strip()

    async def close(self) -> None:
        for server in self._servers:
            with contextlib.suppress(ProcessLookupError):
                server.kill()
            await server.wait()
        self.host.close()
        for name in [*self.names, self.netns.name]:
            await remove_netns(name)


@contextlib.asynccontextmanager
async def node_with_pods(
    state_dir: Path,
    *pods: str,
    tool: str = "iptables",
    record: SysctlRecorder | None = None,
) -> AsyncIterator[Node]:
    """A node whose pod network is set up and that has the pods; all gone afterwards."""
    name = f"nltest-{secrets.token_hex(3)}"
    netns = await create_netns(name)
    host = NetworkHost(netns, record=record, tool=tool)
    network = PodNetwork(
        host,
        cluster_cidr=CLUSTER_CIDR,
        service_cidr=SERVICE_CIDR,
        state_dir=state_dir,
    )
    node = Node(netns, network, host)
    try:
        await call_links(netns, _give_node_address)
        await network.setup(POD_CIDR)
        for pod in pods:
            await node.add_pod(pod)
        yield node
    finally:
        await node.close()
        assert [left for left in list_netns() if left.startswith(name)] == []


def _give_node_address(links: Links) -> None:
    links.ensure_link_up("lo")
    links.ensure_bridge("nodelink", mtu_bytes=1500)
    links.ensure_address("nodelink", NODE_ADDRESS)
    # the node's own packets to cluster IPs need some way to be translated on
    links.ensure_route(SERVICE_CIDR, link="nodelink", source=NODE_ADDRESS.ip)


async def eventually(
    ask: Callable[[], Awaitable[T]], accept: Callable[[T], bool], *, within_s: float = 5
) -> T:
    """Ask until the answer is accepted; return it.

    Raises: AssertionError with the last answer when it takes too long.
    """
    deadline_s = time.monotonic() + within_s
    answer = await ask()
    for _ in range(100_000):
        if accept(answer):
            return answer
        assert time.monotonic() < deadline_s, f"still: {answer}"
        await asyncio.sleep(0.01)
        answer = await ask()
    raise AssertionError(answer)
