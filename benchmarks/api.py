"""How fast the API server answers over TLS: durable creates, lists, watches.

Run as ``python -m benchmarks.api``. Starts an API server in a process of its own, on loopback, with
its store in a temporary folder (``--folder`` chooses the disk), and talks to it over raw TLS
connections, so that the client costs as little as it can. Beside each result stands the machine's
own floor: an echo server built from the same parts, and a bare fsync.

kube-apiserver v1.36 with etcd (without fsync) creates about 610 ConfigMaps a second from 8 clients
on a machine such as the project's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path

import uvloop
from aiohttp import web

from netlab.api.kinds import SERVICE_ACCOUNT
from netlab.apiserver.assembly import assemble
from netlab.apiserver.auth.pki import Pki, ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.requests import SYSTEM_USER
from netlab.apiserver.streams.kubelets import Door
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.net.dialing import dial
from netlab.store.store import open_store

CLIENTS = 8
CREATES = 4000
PODS = 5000
WATCHERS = 50
NAMESPACE = "default"


class Connection:
    """One keep-alive HTTP/1.1 connection over TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one request and return the status and the body."""
        await self.send(method, path, body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        return status, await self._reader.readexactly(int(length))

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send one request."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def line(self) -> bytes:
        """Return the next line of a stream."""
        return await self._reader.readline()

    def close(self) -> None:
        """Close."""
        self._writer.close()


class Target:
    """The server under test."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port, self.context = port, context

    async def connect(self) -> Connection:
        """Open a connection."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname="localhost", limit=1 << 24
        )
        return Connection(reader, writer)


def client_context(pki: Pki, folder: Path) -> ssl.SSLContext:
    """Return the admin's TLS context."""
    ca_pem, cert_pem, key_pem = pki.admin_credentials()
    context = ssl.create_default_context(cadata=ca_pem.decode())
    (folder / "admin.pem").write_bytes(cert_pem + key_pem)
    context.load_cert_chain(folder / "admin.pem")
    return context


def listen() -> socket.socket:
    """Return a socket on a free port of loopback."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


async def serve_api(folder: Path, sock: socket.socket, ready: ProcessEvent) -> None:
    """Run an API server until killed."""
    config, clock = LabConfig(api_port=sock.getsockname()[1]), SystemClock()
    pki = ensure_pki(folder / "pki", config, clock.now())
    async with open_store(folder / "store.db") as store:
        plane = assemble(
            store, config, pki, clock, door=Door(partial(dial, None), pki.kubelet_context())
        )
        client = LocalClient(plane.registry, SYSTEM_USER)
        await ensure_system_objects(client, config)
        await client.create(SERVICE_ACCOUNT, NAMESPACE, {"metadata": {"name": "default"}})
        async with plane.server.serve([sock]):
            ready.set()
            await asyncio.Event().wait()


async def serve_echo(folder: Path, sock: socket.socket, ready: ProcessEvent) -> None:
    """Run the floor: aiohttp over TLS that answers every body with itself."""
    pki = ensure_pki(folder / "pki", LabConfig(), SystemClock().now())

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read(), status=201)

    loop = asyncio.get_running_loop()
    await loop.create_server(web.Server(echo, access_log=None), sock=sock, ssl=pki.server_context())
    ready.set()
    await asyncio.Event().wait()


Serve = Callable[[Path, socket.socket, ProcessEvent], Awaitable[None]]


def _run(serve: Serve, folder: Path, sock: socket.socket, ready: object) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(folder, sock, ready))  # type: ignore[arg-type]


@contextlib.contextmanager
def server(serve: Serve, folder: Path) -> Iterator[tuple[Target, int]]:
    """Run a server in a process of its own; yields it and its process id."""
    ensure_pki(folder / "pki", LabConfig(), SystemClock().now())
    sock, fork = listen(), multiprocessing.get_context("fork")
    ready = fork.Event()
    process = fork.Process(target=_run, args=(serve, folder, sock, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(20):
            raise SystemExit("the server did not start")
        pki = ensure_pki(
            folder / "pki", LabConfig(api_port=sock.getsockname()[1]), SystemClock().now()
        )
        yield Target(sock.getsockname()[1], client_context(pki, folder)), process.pid or 0
    finally:
        process.kill()
        process.join()
        sock.close()


def config_map(number: int) -> bytes:
    """Return the body of one small object."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"cm-{number}", "labels": {"app": "bench"}},
            "data": {"key": "value"},
        }
    ).encode()


def pod(number: int) -> bytes:
    """Return the body of one small Pod."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "labels": {"app": "bench"}},
            "spec": {
                "nodeName": "node0",
                "containers": [{"name": "c", "image": "busybox", "ports": [{"containerPort": 80}]}],
            },
        }
    ).encode()


async def create_many(
    target: Target, plural: str, count: int, body: Callable[[int], bytes]
) -> tuple[float, list[float]]:
    """Create ``count`` objects from 8 clients; return creates per second and each one's seconds."""
    path = f"/api/v1/namespaces/{NAMESPACE}/{plural}"
    numbers = iter(range(count))
    latencies: list[float] = []

    async def client(connection: Connection) -> None:
        for number in numbers:
            began = time.perf_counter()
            status, answer = await connection.request("POST", path, body(number))
            if status != 201:
                raise SystemExit(f"create: {status} {answer[:200]!r}")
            latencies.append(time.perf_counter() - began)

    connections = [await target.connect() for _ in range(CLIENTS)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(client(connection))
    elapsed_s = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return count / elapsed_s, latencies


async def time_list(target: Target, path: str, times: int = 5) -> tuple[float, int]:
    """Return the median seconds of a GET, and its bytes."""
    connection = await target.connect()
    samples, size = [], 0
    for _ in range(times):
        began = time.perf_counter()
        _, body = await connection.request("GET", path)
        samples.append(time.perf_counter() - began)
        size = len(body)
    connection.close()
    return statistics.median(samples), size


@contextlib.asynccontextmanager
async def watchers(target: Target, count: int) -> AsyncIterator[list[Connection]]:
    """Yield connections that watch ConfigMaps from now on."""
    connections = []
    for _ in range(count):
        connection = await target.connect()
        _, body = await connection.request("GET", "/api/v1/configmaps?limit=1")
        version = json.loads(body)["metadata"]["resourceVersion"]
        await connection.send("GET", f"/api/v1/configmaps?watch=true&resourceVersion={version}")
        while (await connection.line()) != b"\r\n":
            pass
        connections.append(connection)
    yield connections
    for connection in connections:
        connection.close()


async def time_fan_out(target: Target, events: int) -> float:
    """Return events delivered per second to 50 watchers while objects are created."""

    async def read(connection: Connection) -> None:
        seen = 0
        while seen < events:
            if b'"type":"ADDED"' in await connection.line():
                seen += 1

    async with watchers(target, WATCHERS) as connections:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(read(connection))
            group.create_task(_create(target, events))
        return events * WATCHERS / (time.perf_counter() - began)


async def _create(target: Target, count: int) -> None:
    await create_many(target, "configmaps", count, lambda number: config_map(1_000_000 + number))


def fsyncs_per_s(folder: Path) -> float:
    """Return how many small appends the disk makes durable in a second."""
    with (folder / "probe").open("wb") as file:
        began, count = time.perf_counter(), 200
        for _ in range(count):
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
        return count / (time.perf_counter() - began)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def measure(target: Target, pid: int) -> list[tuple[str, str]]:
    """Return the rows of the table."""
    rows = [("memory at rest", f"{memory_mb(pid):.0f} MB")]
    await create_many(target, "configmaps", 200, lambda number: config_map(2_000_000 + number))
    rate, latencies = await create_many(target, "configmaps", CREATES, config_map)
    latencies.sort()
    rows.append(("ConfigMap creates/s, 8 clients, durable", f"{rate:.0f}"))
    rows.append(("  latency p50 / p99", _milliseconds(latencies, 0.5, 0.99)))
    rate, _ = await create_many(target, "pods", PODS, pod)
    rows.append((f"Pod creates/s, 8 clients, durable ({PODS} pods)", f"{rate:.0f}"))
    for name, path in (
        (f"list of {PODS} pods", "/api/v1/pods"),
        ("page of 500 pods", "/api/v1/pods?limit=500"),
        ("one pod", f"/api/v1/namespaces/{NAMESPACE}/pods/pod-7"),
    ):
        seconds, size = await time_list(target, path)
        rows.append((name, f"{seconds * 1000:.1f} ms, {size / 1e6:.2f} MB"))
    rate = await time_fan_out(target, 500)
    rows.append((f"watch events/s to {WATCHERS} watchers, while creating", f"{rate:.0f}"))
    rows.append((f"memory with {PODS} pods", f"{memory_mb(pid):.0f} MB"))
    return rows


def _milliseconds(ordered: list[float], *quantiles: float) -> str:
    values = [ordered[int(len(ordered) * quantile)] * 1000 for quantile in quantiles]
    return " / ".join(f"{value:.1f} ms" for value in values)


def table(rows: list[tuple[str, str]]) -> str:
    """Return the rows as Markdown."""
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["| what | result |", "|---|---|", *lines]) + "\n"


def main() -> None:
    """Measure and print; ``--write`` records the table in benchmarks/results/api.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the temporary store lies")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="netlab-bench-") as name:
        folder = Path(name)
        rows = [("floor: appends with fsync/s, one by one", f"{fsyncs_per_s(folder):.0f}")]
        with server(serve_echo, folder) as (target, _):
            rate, _ = uvloop.run(create_many(target, "configmaps", CREATES, config_map))
            rows.append(("floor: aiohttp echo over TLS/s, 8 clients", f"{rate:.0f}"))
        with server(serve_api, folder) as (target, pid):
            rows += uvloop.run(measure(target, pid))
    print(table(rows))
    if options.write:
        results = Path(__file__).parent / "results"
        results.mkdir(exist_ok=True)
        (results / "api.md").write_text("# API server\n\n" + table(rows))


if __name__ == "__main__":
    main()
