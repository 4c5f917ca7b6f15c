"""Times the DNS server against dnsmasq with the same names, on loopback, in a namespace of its own.

    sudo .venv/bin/python benchmarks/dns.py            # writes benchmarks/results/dns.md

dnsperf asks both servers for the same names (ClusterIP Services, one in ten missing), in turns,
each round on a fresh namespace's loopback; the table shows medians. Freshness: a Service's
EndpointSlice changes, and the time passes until a question over UDP is answered with the new
address, with the API client replaced by one in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from netlab.api.core import Service
from netlab.api.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE, Kind
from netlab.client.informers import SharedInformers
from netlab.client.interface import JsonList, WatchEvent
from netlab.clock import SystemClock
from netlab.dns import wire
from netlab.dns.feed import ZoneFeed
from netlab.dns.forward import Forwarder
from netlab.dns.records import service_names
from netlab.dns.server import DnsServer
from netlab.dns.table import AnswerTable
from netlab.dns.zone import Zone

SERVICES = 1000
PORTS = {"netlab": 5301, "dnsmasq": 5302}
RESULTS = Path(__file__).parent / "results" / "dns.md"


def address(number: int) -> str:
    return f"10.96.{number // 250}.{number % 250 + 1}"


def service(number: int) -> Service:
    return Service.parse(
        {
            "metadata": {"name": f"svc-{number}", "namespace": "default"},
            "spec": {
                "clusterIP": address(number),
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            },
        }
    )


async def serve() -> None:
    """The server under test, in a process of its own."""
    table = AnswerTable(Zone("cluster.local"))
    table.synced = True
    for number in range(SERVICES):
        table.zone.replace(
            f"default/svc-{number}", service_names(service(number), (), "cluster.local")
        )
    server = DnsServer(table, Forwarder(()))
    await server.start("127.0.0.1", PORTS["netlab"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.close()


def write_inputs(folder: Path) -> None:
    names = [f"svc-{n}.default.svc.cluster.local" for n in range(SERVICES)]
    hosts = "".join(f"{address(n)} {name}\n" for n, name in enumerate(names))
    (folder / "hosts").write_text(hosts)
    queries = [f"{name} A\n" for name in names]
    queries += [f"no-{n}.default.svc.cluster.local A\n" for n in range(SERVICES // 10)]
    (folder / "queries").write_text("".join(queries))


@contextlib.contextmanager
def servers(netns: str, folder: Path) -> Iterator[None]:
    inside = ["ip", "netns", "exec", netns]
    commands = {
        "netlab": [sys.executable, __file__, "--serve"],
        "dnsmasq": [
            "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
            f"--addn-hosts={folder / 'hosts'}", f"--port={PORTS['dnsmasq']}", "--user=root",
            "--listen-address=127.0.0.1", "--bind-interfaces", "--local=/cluster.local/",
            "--local-ttl=30", f"--pid-file={folder / 'pid'}", "--cache-size=10000",
        ],
    }  # fmt: skip
    running = [
        subprocess.Popen([*inside, *argv], stdout=subprocess.DEVNULL) for argv in commands.values()
    ]
    try:
        time.sleep(1.5)
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def load(netns: str, folder: Path, port: int, seconds: int) -> tuple[float, float, float]:
    """Return (answers per s, p99 latency in ms, share lost).

    The latency is that of a second run, with 10,000 questions/s: under full load it would tell
    the length of the asker's own queue.
    """
    argv = [
        "ip", "netns", "exec", netns, "dnsperf", "-s", "127.0.0.1", "-p", str(port),
        "-d", str(folder / "queries"), "-l", str(seconds),
    ]  # fmt: skip
    full = [*argv, "-c", "4", "-T", "1", "-q", "100"]
    printed = subprocess.run(full, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", printed)[1])  # type: ignore[index]
    lost = float(re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", printed)[1])  # type: ignore[index]
    calm = [*argv, "-v", "-c", "4", "-q", "100", "-Q", "10000"]
    told = subprocess.run(calm, capture_output=True, text=True, check=True).stdout
    latencies = re.findall(r"^> \w+ \S+ A ([\d.]+)", told, re.MULTILINE)
    return rate, statistics.quantiles(map(float, latencies), n=100)[98] * 1000, lost


class MemoryClient:
    """Lists nothing but one headless Service, and tells the changes that ``push`` is given."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        spec = {"clusterIP": "None", "selector": {"app": "x"}, "ports": []}
        meta = {"name": "fresh", "namespace": "default", "resourceVersion": "1"}
        self.service = {"metadata": meta, "spec": spec}

    async def list_json(self, kind: Kind[Any], *_: Any, **__: Any) -> JsonList:
        return JsonList([msgspec.json.encode(self.service)] if kind is SERVICE else [], "1")

    async def watch(self, kind: Kind[Any], *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        while True:
            if kind is not ENDPOINT_SLICE:
                await asyncio.Event().wait()
            yield await self.events.get()


async def freshness(rounds: int) -> list[float]:
    """Return the delays in ms until a changed address is answered."""
    table = AnswerTable(Zone("cluster.local"))
    server = DnsServer(table, Forwarder(()))
    await server.start("127.0.0.1", 0)
    client = MemoryClient()
    synced = asyncio.Event()
    feed = asyncio.create_task(
        ZoneFeed(SharedInformers(client, SystemClock()), table).run(synced.set)
    )
    await synced.wait()
    loop = asyncio.get_running_loop()
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setblocking(False)
    await loop.sock_connect(asker, ("127.0.0.1", server.port))
    name = wire.encode_name("fresh.default.svc.cluster.local")
    question = wire.HEADER.pack(7, wire.RD, 1, 0, 0, 0) + name + b"\0\x01\0\x01"
    delays = []
    for number in range(rounds):
        wanted = f"10.244.{number // 250}.{number % 250 + 1}"
        begin = time.perf_counter()
        client.events.put_nowait(
            WatchEvent(
                "MODIFIED" if number else "ADDED", msgspec.json.encode(piece(wanted, number))
            )
        )
        while True:
            await loop.sock_sendall(asker, question)
            if socket.inet_aton(wanted) in await loop.sock_recv(asker, 2048):
                break
        delays.append((time.perf_counter() - begin) * 1000)
    feed.cancel()
    await asyncio.gather(feed, return_exceptions=True)
    asker.close()
    await server.close()
    assert NAMESPACE
    return delays


def piece(wanted: str, number: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "fresh-1",
            "namespace": "default",
            "resourceVersion": str(number + 2),
            "labels": {"kubernetes.io/service-name": "fresh"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [wanted], "conditions": {"ready": True}}],
        "ports": [],
    }


def measure(rounds: int, seconds: int) -> str:
    netns = f"nlbench-dns-{os.getpid()}"
    runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PORTS}
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_inputs(folder)
            with servers(netns, folder):
                for _, (server, port) in itertools.product(range(rounds), PORTS.items()):
                    runs[server].append(load(netns, folder, port, seconds))
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)
    delays = uvloop.run(freshness(300))
    return report(runs, delays, rounds, seconds)


def report(
    runs: dict[str, list[tuple[float, float, float]]],
    delays: list[float],
    rounds: int,
    seconds: int,
) -> str:
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in runs.items()
    }
    ratio = medians["netlab"][0] / medians["dnsmasq"][0]
    lines = [
        "# DNS server",
        "",
        f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}; "
        f"{SERVICES} Services, every eleventh name missing; dnsperf with 4 clients and 100 "
        f"outstanding questions, medians of {rounds} rounds of {seconds} s, in turns, loopback.",
        "",
        "| server | answers/s | p99 latency at 10,000/s, ms | lost, % |",
        "|---|---|---|---|",
        *(
            f"| {name} | {rate:,.0f} | {p99:.2f} | {lost:.2f} |"
            for name, (rate, p99, lost) in medians.items()
        ),
        "",
        f"netlab / dnsmasq: {ratio:.2f}",
        "",
        f"Freshness (endpoint changed to answer changed, {len(delays)} changes, in-memory watch): "
        f"median {statistics.median(delays):.2f} ms, worst {max(delays):.2f} ms.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="be the server under test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve())
        return
    text = measure(options.rounds, options.seconds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
