"""What the store and the registry cost, in one process and without a network.

    python benchmarks/store.py [--count N] [--dir DIR]

Prints one table: the machine's floor (fdatasync of a small append), bare store writes, registry
creates from 1 and 8 clients, CPU time per create by kind, list and watch of many pods, memory, and
the time of a restart. DIR decides which disk is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from netlab.api.kinds import CONFIG_MAP, POD, SERVICE, SERVICE_ACCOUNT, Kind
from netlab.api.schemas import prepare
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import SYSTEM_USER, ListOptions, WatchOptions, WriteOptions
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.store.records import Key
from netlab.store.store import Store, open_store

OPTIONS = WriteOptions(field_validation="Strict")


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"key": "value" * 20}}


def pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "web", "number": name}},
        "spec": {
            "containers": [
                {"name": "web", "image": "busybox", "ports": [{"containerPort": 8080}]},
            ]
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def row(what: str, value: float, unit: str) -> None:
    print(f"{what:<56}{value:>12,.1f} {unit}")


def rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def size_mb(folder: Path) -> float:
    return sum(each.stat().st_size for each in folder.glob("store.db*")) / 1e6


def floor(folder: Path) -> None:
    descriptor = os.open(folder / "floor", os.O_CREAT | os.O_WRONLY)
    times = []
    for _ in range(200):
        os.write(descriptor, b"x" * 4096)
        start = time.perf_counter()
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - start)
    os.close(descriptor)
    row("floor: fdatasync after a 4 KB append, median", statistics.median(times) * 1e6, "us")


async def from_clients(clients: int, count: int, write: Callable[[str], Awaitable[Any]]) -> float:
    """Return writes per second, each client waiting for its last one."""

    async def client(number: int) -> None:
        for index in range(count // clients):
            await write(f"c{clients}-{number}-{index}")

    start = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return count / (time.perf_counter() - start)


async def bare_store(store: Store, count: int) -> None:
    body = msgspec.json.encode(config_map("x"))

    async def write(name: str) -> None:
        await store.write(Key("bench", "default", name), 0, lambda revision: body)[1]

    for clients in (1, 8, 64):
        rate = await from_clients(clients, count, write)
        row(f"store: durable writes, {clients} clients", rate, "/s")


async def creates(
    registry: Registry, kind: Kind[Any], make: Callable[[str], dict[str, Any]], count: int
) -> None:
    async def write(name: str) -> None:
        await registry.create(kind, "default", make(name), OPTIONS)

    cpu = time.thread_time()
    for clients in (1, 8):
        rate = await from_clients(clients, count, write)
        row(f"registry: durable creates of {kind.plural}, {clients} clients", rate, "/s")
    each = (time.thread_time() - cpu) / (2 * count)
    row(f"registry: CPU on the event loop per create of {kind.plural}", each * 1e6, "us")


async def reads(registry: Registry) -> None:
    async def timed(what: str, options: ListOptions) -> None:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            result = await registry.list(POD, None, options)
            body = b",".join([item.json for item in result.items])
            times.append(time.perf_counter() - start)
        text = f"list: {what} ({len(result.items)} pods, {len(body) / 1e6:.1f} MB)"
        row(text, statistics.median(times) * 1e3, "ms")

    await timed("all, as bytes", ListOptions())
    await timed("by label", ListOptions(label_selector="app=web"))
    await timed("by field", ListOptions(field_selector="spec.nodeName="))
    await timed("a page of 500", ListOptions(limit=500))


async def fan_out(registry: Registry, client: LocalClient, watchers: int, count: int) -> None:
    version = (await registry.list(CONFIG_MAP, None, ListOptions())).resource_version

    async def follow() -> None:
        seen = 0
        options = WatchOptions(resource_version=version)
        async with await registry.watch(CONFIG_MAP, None, options) as watch:
            async for _ in watch:
                seen += 1
                if seen == count:
                    return

    followers = [asyncio.create_task(follow()) for _ in range(watchers)]
    await asyncio.sleep(0)
    start = time.perf_counter()
    await asyncio.gather(
        *(client.create(CONFIG_MAP, "default", config_map(f"watched-{i}")) for i in range(count))
    )
    await asyncio.gather(*followers)
    took = time.perf_counter() - start
    row(f"watch: events told to {watchers} watchers", watchers * count / took, "/s")


async def measure(folder: Path, count: int) -> None:
    floor(folder)
    path = folder / "store.db"
    config = LabConfig()
    prepare([POD, SERVICE, CONFIG_MAP])
    async with open_store(path) as store:
        await bare_store(store, count)
        registry = Registry(store, config, SystemClock())
        client = LocalClient(registry, SYSTEM_USER)
        await ensure_system_objects(client, config)
        await client.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "default"}})
        for kind, make in ((CONFIG_MAP, config_map), (SERVICE, service)):
            await creates(registry, kind, make, count)
        gc.collect()
        before = rss_mb()
        await creates(registry, POD, pod, 2500)
        gc.collect()
        row("memory: 5,000 pods more", rss_mb() - before, "MB")
        await reads(registry)
        await fan_out(registry, client, 20, 500)
        objects = sum(store.count(kind.group_resource) for kind in (POD, SERVICE, CONFIG_MAP))
    start = time.perf_counter()
    async with open_store(path):
        took = time.perf_counter() - start
        row(f"restart with {objects} objects", took * 1e3, "ms")
    row("file", size_mb(folder), "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--dir", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        uvloop.run(measure(Path(folder), arguments.count))


if __name__ == "__main__":
    main()
