"""The DNS server as a process in a network namespace, fed by the real API server over HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from netlab import command
from netlab.api.kinds import NAMESPACE, SERVICE, SERVICE_ACCOUNT
from netlab.apiserver.assembly import assemble
from netlab.apiserver.auth.pki import Pki, ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.requests import UserInfo
from netlab.apiserver.streams.kubelets import Door
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.net.dialing import dial
from netlab.net.netns import create_netns, list_netns, open_socket, remove_netns
from netlab.store.store import open_store

pytestmark = pytest.mark.system

PORT = 5353
HOST = "127.0.0.1"


@dataclass
class Lab:
    """A namespace that holds the DNS server; the API server listens in it too."""

    name: str
    netns: Path
    config: LabConfig
    pki: Pki
    folder: Path
    client: LocalClient | None = None
    serving: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    process: asyncio.subprocess.Process | None = None

    async def start_api(self) -> LocalClient:
        clock = SystemClock()
        store = await self.serving.enter_async_context(open_store(self.folder / "store.db"))
        plane = assemble(
            store,
            self.config,
            self.pki,
            clock,
            door=Door(partial(dial, None), self.pki.kubelet_context()),
        )
        self.client = LocalClient(
            plane.registry, UserInfo(name="admin", groups=("system:masters",))
        )
        await ensure_system_objects(self.client, self.config)
        listening = await open_socket(
            self.netns,
            socket.AF_INET,
            socket.SOCK_STREAM,
            bind=(HOST, self.config.api_port),
            backlog=64,
        )
        await self.serving.enter_async_context(plane.server.serve([listening]))
        return self.client

    async def stop_api(self) -> None:
        await self.serving.aclose()
        self.serving = contextlib.AsyncExitStack()

    async def write_account(self) -> None:
        """Do the kubelet's part: token and authority as files."""
        assert self.client is not None
        account = {"metadata": {"name": "coredns"}}
        await self.client.create(SERVICE_ACCOUNT, "kube-system", account)
        request = {"spec": {"expirationSeconds": 3600, "audiences": []}}
        answer = await self.client.create_subresource(
            SERVICE_ACCOUNT, "kube-system", "coredns", "token", request
        )
        (self.folder / "token").write_text(answer["status"]["token"])
        (self.folder / "ca.crt").write_bytes(self.pki.ca_pem)

    async def start_dns(self) -> float:
        """Start the server and return the seconds until it says that it is ready."""
        environ = {
            **os.environ,
            "KUBERNETES_SERVICE_HOST": HOST,
            "KUBERNETES_SERVICE_PORT": str(self.config.api_port),
        }
        argv = [sys.executable, "-m", "netlab.dns", "--address", HOST, "--port", str(PORT)]
        (self.folder / "resolv.conf").write_text("search example.org\n")
        argv += ["--account-dir", str(self.folder)]
        argv += ["--resolv-conf", str(self.folder / "resolv.conf")]
        begin = time.perf_counter()
        self.process = await asyncio.create_subprocess_exec(
            *command.in_netns(argv, self.netns), env=environ, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(10):
            assert await self.process.stdout.readline() == b"ready\n"
        return time.perf_counter() - begin

    async def ask(self, name: str, type_: str = "A", *, tcp: bool = False) -> dns.message.Message:
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        query = dns.message.make_query(name, type_)
        opened = await open_socket(self.netns, socket.AF_INET, kind)
        loop = asyncio.get_running_loop()
        with opened:
            async with asyncio.timeout(5):
                await loop.sock_connect(opened, (HOST, PORT))
                data = query.to_wire()
                await loop.sock_sendall(
                    opened, len(data).to_bytes(2, "big") + data if tcp else data
                )
                answer = await loop.sock_recv(opened, 65535)
        return dns.message.from_wire(answer[2:] if tcp else answer)

    async def page(self, port: int, path: str) -> str:
        opened = await open_socket(self.netns, socket.AF_INET, socket.SOCK_STREAM)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(opened, (HOST, port))
        reader, writer = await asyncio.open_connection(sock=opened)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return text

    async def until(self, name: str, address: str) -> float:
        """Return the seconds until the name has the address."""
        begin = time.perf_counter()
        async with asyncio.timeout(5):
            while True:
                answer = (await self.ask(name)).answer
                if answer and answer[0][0].to_text() == address:
                    return time.perf_counter() - begin


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    name = f"nlt-dns-{secrets.token_hex(3)}"
    netns = await create_netns(name)
    config = LabConfig(name=name, sandbox=True, api_port=16443)
    pki = ensure_pki(tmp_path / "pki", config, SystemClock().now())
    made = Lab(name, netns, config, pki, tmp_path)
    try:
        up = command.in_netns(["ip", "link", "set", "lo", "up"], netns)
        await command.run(up, timeout_s=5)
        await made.start_api()
        yield made
    finally:
        if made.process is not None and made.process.returncode is None:
            made.process.kill()
            await made.process.wait()
        await made.stop_api()
        await remove_netns(name)
    assert name not in list_netns()


def service(address: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    }


WEB = "web.default.svc.cluster.local"


async def test_a_server_in_its_place(lab: Lab) -> None:
    assert lab.client is not None
    await lab.write_account()
    took_s = await lab.start_dns()
    print(f"ready after {took_s * 1000:.0f} ms")
    assert took_s < 2, took_s
    answer = await lab.ask("kubernetes.default.svc.cluster.local")
    assert answer.answer[0][0].to_text() == "10.96.0.1"

    # fresh within 100 ms, over UDP and TCP
    await lab.client.create(SERVICE, "default", service("10.96.0.77"))
    assert await lab.until(WEB, "10.96.0.77") < 0.1
    assert (await lab.ask(WEB, tcp=True)).answer[0][0].to_text() == "10.96.0.77"
    await lab.client.create(NAMESPACE, None, {"metadata": {"name": "shop"}})
    await lab.until("10-244-0-9.shop.pod.cluster.local", "10.244.0.9")

    # without a resolver, names outside fail at once
    begin = time.perf_counter()
    assert (await lab.ask("example.org")).rcode() == dns.rcode.SERVFAIL
    assert time.perf_counter() - begin < 0.5

    # it goes on while the API server is away, and follows the next one
    await lab.stop_api()
    assert (await lab.ask(WEB)).answer[0][0].to_text() == "10.96.0.77"
    client = await lab.start_api()
    await client.delete(SERVICE, "default", "web")
    await client.create(SERVICE, "default", service("10.96.0.78"))
    await lab.until(WEB, "10.96.0.78")

    assert "200 OK" in await lab.page(8080, "/health")
    assert "200 OK" in await lab.page(8181, "/ready")
    assert 'coredns_dns_requests_total{proto="udp"' in await lab.page(9153, "/metrics")
    assert lab.process is not None
    lab.process.terminate()
    async with asyncio.timeout(5):
        assert await lab.process.wait() == 0
