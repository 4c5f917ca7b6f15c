"""How long kube-proxy's work takes: full sync and one change, with 100, 1,000 and 5,000 Services.

Each size runs in a process and a network namespace of its own. Run as root:

    python benchmarks/proxy.py [--sizes 100,1000,5000] [--write benchmarks/results/proxy.md]

``render`` is the pure part (Services to lines), ``write`` the restores including the kernel's part.
The floor is one ``iptables-restore`` of an empty table in the same namespace, and, for the full
sync, all rules in a single text, as kube-proxy writes them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from netlab import command
from netlab.client.informers import SharedInformers
from netlab.client.interface import JsonList, WatchEvent
from netlab.clock import SystemClock
from netlab.net.host import NetworkHost
from netlab.net.netns import create_netns, remove_netns
from netlab.net.ruleset import render_rule_set
from netlab.proxy.agent import ProxyAgent
from netlab.proxy.iptables_mode import IptablesProvider

# kube-proxy v1.36.2 on a machine of this kind: seconds for the full sync and for one change
KUBE_PROXY = {1000: (0.58, 0.06), 5000: (26.0, 0.34)}
CHANGES = 9


class Objects:
    """A client that lists prepared objects and passes on changes."""

    def __init__(self, count: int) -> None:
        self.services = [service(number) for number in range(count)]
        self.slices = [slice_of(number, number * 3) for number in range(count)]
        self._queues: dict[str, asyncio.Queue[WatchEvent]] = {}
        self._version = 1

    async def list_json(self, kind: Any, *_: Any, **__: Any) -> JsonList:
        found = {"Service": self.services, "EndpointSlice": self.slices}.get(kind.kind, [])
        return JsonList([msgspec.json.encode(obj) for obj in found], "1")

    async def watch(self, kind: Any, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        queue = self._queues.setdefault(kind.kind, asyncio.Queue())
        while True:
            yield await queue.get()

    def change(self, obj: dict[str, Any], event: str = "MODIFIED") -> None:
        self._version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self._version)}
        queue = self._queues[obj["kind"]]
        queue.put_nowait(WatchEvent(event, msgspec.json.encode({**obj, "metadata": meta})))


def service(number: int) -> dict[str, Any]:
    address = IPv4Address("10.96.1.0") + number
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"service-{number:05d}", "namespace": f"ns-{number % 20}"},
        "spec": {
            "clusterIP": str(address),
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    }


def slice_of(number: int, first: int) -> dict[str, Any]:
    addresses = [IPv4Address("10.244.0.2") + first + step for step in range(3)]
    name = f"service-{number:05d}"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-abcde",
            "namespace": f"ns-{number % 20}",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [str(one)], "nodeName": "node0", "conditions": {"ready": True}}
            for one in addresses
        ],
    }


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def next_sync(agent: ProxyAgent) -> tuple[float, float]:
    """Wait for one more pass; return its render and write seconds."""
    last = agent.last_sync
    while agent.last_sync is last:  # noqa: ASYNC110 - this very moment is what is measured
        await asyncio.sleep(0.0005)
    assert agent.last_sync is not None
    return agent.last_sync.render_s, agent.last_sync.write_s


async def timed_changes(agent: ProxyAgent, changes: list[Any]) -> dict[str, float]:
    """Seconds from the change to the kernel, and of the pass's parts: medians."""
    totals, renders, writes = [], [], []
    for change in changes:
        await asyncio.sleep(0.15)
        started = time.perf_counter()
        change()
        render_s, write_s = await next_sync(agent)
        totals.append(time.perf_counter() - started)
        renders.append(render_s)
        writes.append(write_s)
    return {
        "total": statistics.median(totals),
        "render": statistics.median(renders),
        "write": statistics.median(writes),
    }


async def restore_s(netns: Path, text: str) -> float:
    started = time.perf_counter()
    argv = ["iptables-restore", "--noflush", "-w", "5"]
    await command.run(argv, timeout_s=120, stdin=text.encode(), netns=netns)
    return time.perf_counter() - started


async def measure(count: int) -> dict[str, Any]:
    """All numbers of one size."""
    before_mb = resident_mb()
    objects = Objects(count)
    objects_mb = resident_mb() - before_mb
    netns = await create_netns(f"nlbench-{os.getpid()}")
    single = await create_netns(f"nlbench-{os.getpid()}-single")
    informers = SharedInformers(objects, SystemClock())
    host = NetworkHost(netns)
    agent = ProxyAgent(
        informers,
        provider=IptablesProvider(
            host, node_ip=IPv4Address("10.100.199.200"), cluster_cidr=IPv4Network("10.244.0.0/16")
        ),
        node_name="node0",
        cluster_cidr=IPv4Network("10.244.0.0/16"),
        host=host,
        clock=SystemClock(),
    )
    started = time.perf_counter()
    informing = asyncio.create_task(informers.run())
    task = asyncio.create_task(agent.run())
    try:
        await agent.synced.wait()
        started_s = time.perf_counter() - started
        assert agent.last_sync is not None
        full = agent.last_sync
        await asyncio.sleep(0.2)
        middle = count // 2
        endpoint = await timed_changes(
            agent,
            [
                lambda n=n: objects.change(slice_of(middle, 3 * count + 3 * n))
                for n in range(CHANGES)
            ],
        )
        added = [service(count + n) for n in range(CHANGES)]
        slices = [slice_of(count + n, 3 * middle) for n in range(CHANGES)]
        for one in slices:
            objects.change(one, "ADDED")
        new_service = await timed_changes(
            agent, [lambda one=one: objects.change(one, "ADDED") for one in added]
        )
        memory_mb = resident_mb() - before_mb - objects_mb
        empty = [await restore_s(netns, "*nat\nCOMMIT\n") for _ in range(CHANGES)]
        one_text_s = await restore_s(single, render_rule_set(agent.rule_set()))
    finally:
        informing.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for path in (netns, single):
            await remove_netns(path.name)
    return {
        "count": count,
        "full_s": started_s,
        "render_s": full.render_s,
        "write_s": full.write_s,
        "restores": full.count.restores,
        "endpoint": endpoint,
        "service": new_service,
        "empty_s": statistics.median(empty),
        "one_text_s": one_text_s,
        "memory_mb": memory_mb,
    }


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| Services × 3 endpoints | " + " | ".join(f"{r['count']:,}" for r in results) + " |",
        "|---|" + "---|" * len(results),
    ]

    def row(name: str, cell: Any) -> None:
        lines.append(f"| {name} | " + " | ".join(cell(result) for result in results) + " |")

    def known(result: dict[str, Any], which: int) -> str:
        times = KUBE_PROXY.get(result["count"])
        return f"{times[which]:.2f} s" if times else "–"

    row("full sync, start to written", lambda r: f"**{r['full_s']:.2f} s**")
    row("… of which rendering", lambda r: f"{r['render_s']:.2f} s")
    row("… of which restores (how many)", lambda r: f"{r['write_s']:.2f} s ({r['restores']})")
    row("the same rules in one restore", lambda r: f"{r['one_text_s']:.2f} s")
    row("kube-proxy v1.36.2, full sync", lambda r: known(r, 0))
    row("endpoint change to kernel", lambda r: f"**{r['endpoint']['total'] * 1e3:.0f} ms**")
    row("… of which rendering", lambda r: f"{r['endpoint']['render'] * 1e3:.1f} ms")
    row("… of which restore", lambda r: f"{r['endpoint']['write'] * 1e3:.0f} ms")
    row("new Service to kernel", lambda r: f"**{r['service']['total'] * 1e3:.0f} ms**")
    row("kube-proxy v1.36.2, one change", lambda r: known(r, 1))
    row("floor: a restore of nothing", lambda r: f"{r['empty_s'] * 1e3:.0f} ms")
    row("memory of the proxy", lambda r: f"{r['memory_mb']:.0f} MB")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="100,1000,5000")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        uvloop.install()
        print(json.dumps(asyncio.run(measure(arguments.one))))
        return
    results = []
    for size in arguments.sizes.split(","):
        argv = [sys.executable, __file__, "--one", size]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout))
    text = table(results)
    print(text)
    if arguments.write is not None:
        tool = subprocess.run(["iptables", "--version"], capture_output=True, text=True)
        machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, {tool.stdout.strip()}"
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(
            f"# kube-proxy: time from objects to rules\n\n"
            f"`python benchmarks/proxy.py --write {arguments.write}` on {machine}, "
            f"Python {platform.python_version()}. Changes are medians of {CHANGES}.\n\n{text}\n"
        )


if __name__ == "__main__":
    main()
