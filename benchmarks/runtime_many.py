"""What many idle pods cost beside their own processes, and whether a thousand execs leave anything.

Run as root: ``python -m benchmarks.runtime_many [PODS] [EXECS]``. Memory is the proportional set
size of conmon and pause, as ``/proc/PID/smaps_rollup`` tells it, and what the process that holds
the runtime grew by; what the kernel needs shows only in what the machine has less.
Everything happens in folders and a network namespace of its own, which are removed afterwards.
Prints a Markdown table; results/runtime.md keeps one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks.runtime import Bench
from netlab.clock import SystemClock
from netlab.runtime.cgroups import host_hierarchies, process_ids
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.engine import OciRuntime
from netlab.runtime.records import RuntimePaths

AT_ONCE = 4


def memory_kib(pid: int, field: str = "Pss") -> int:
    """Return what a process needs, of shared pages its part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0


def machine_kib() -> int:
    """Return what memory the machine could still give; others who work disturb it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


async def start_pods(bench: Bench, engine: OciRuntime, count: int) -> list[str]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        async with gate:
            sandbox = await engine.run_sandbox(bench.sandbox(number))
            config = bench.container("busybox", "sleep", "9999")
            container = await engine.create_container(sandbox, config)
            await engine.start_container(container)
            return container

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def run_execs(engine: OciRuntime, container: str, count: int) -> list[float]:
    """Return how long each took in milliseconds; every other one has a terminal."""
    took_ms = []
    for number in range(count):
        began_s = time.perf_counter()
        process = await engine.exec(container, ["echo", "x"], stdin=False, tty=bool(number % 2))
        while await process.read():
            pass
        if await process.wait() != 0:
            raise SystemExit(f"exec {number} failed")
        await process.close()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return took_ms


def left_overs(bench: Bench, container: str) -> tuple[int, int, list[str]]:
    """Return what an exec could leave: descriptors, processes, files."""
    group = f"/netlab/{bench.name}"
    folder = RuntimePaths(bench.base / "run", bench.base / "state").container(container)
    processes = process_ids(host_hierarchies(), group)
    files = sorted(path.name for path in folder.iterdir())
    return len(list(Path("/proc/self/fd").iterdir())), len(processes), files


async def measure(bench: Bench, pods: int, execs: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with OciRuntime(
        run_dir=bench.base / "run",
        state_dir=bench.base / "state",
        lab_name=bench.name,
        clock=SystemClock(),
    ) as engine:
        await run_warm(bench, engine)
        before_kib = memory_kib(os.getpid())
        available_kib = machine_kib()
        containers = await start_pods(bench, engine, pods)
        taken_kib = (available_kib - machine_kib()) / pods
        grown_kib = (memory_kib(os.getpid()) - before_kib) / pods
        folders = RuntimePaths(bench.base / "run", bench.base / "state").containers
        conmons = [int((folders / one / "conmon.pid").read_text()) for one in containers]
        pauses = [status.pid for status in await engine.list_sandboxes() if status.pid]
        found += tell_memory(conmons, pauses, grown_kib)
        found.append(
            ("what the machine has less per pod, its process too", f"{taken_kib / 1024:.2f} MiB")
        )
        found.append((f"usage of {pods} pods", await time_usage(engine)))
        before = left_overs(bench, containers[0])
        took_ms = await run_execs(engine, containers[0], execs)
        after = left_overs(bench, containers[0])
        median, slowest = statistics.median(took_ms), max(took_ms)
        found.append(
            (f"each of {execs} execs", f"{median:.1f} ms in the middle, {slowest:.1f} at most")
        )
        left = "nothing" if before == after else f"{before} became {after}"
        found.append((f"what {execs} execs left (descriptors, processes, files)", left))
        await engine.destroy_all()
    return found


async def run_warm(bench: Bench, engine: OciRuntime) -> None:
    """Make one pod, so that what is loaded once is not counted."""
    (container,) = await start_pods(bench, engine, 1)
    await run_execs(engine, container, 2)
    for sandbox in await engine.list_sandboxes():
        await engine.remove_sandbox(sandbox.id)


def tell_memory(
    conmons: Sequence[int], pauses: Sequence[int], grown_kib: float
) -> list[tuple[str, str]]:
    conmon_kib = statistics.mean(memory_kib(pid) for pid in conmons)
    pause_kib = statistics.mean(memory_kib(pid) for pid in pauses)
    whole = (conmon_kib + pause_kib + grown_kib) / 1024
    return [
        ("memory of an idle pod's conmon", f"{conmon_kib:.0f} KiB"),
        ("memory of its pause", f"{pause_kib:.0f} KiB"),
        ("memory of its records in the daemon", f"{grown_kib:.0f} KiB"),
        ("together (budget 3 MiB)", f"{whole:.2f} MiB"),
    ]


async def time_usage(engine: OciRuntime) -> str:
    took_ms = []
    for _ in range(20):
        began_s = time.perf_counter()
        await engine.usage()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return f"{statistics.median(took_ms):.1f} ms (budget 20 ms)"


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    execs = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    bench = Bench(0)
    subprocess.run(["ip", "netns", "add", bench.name], check=True)
    try:
        subprocess.run(["ip", "-n", bench.name, "link", "set", "lo", "up"], check=True)
        rows = uvloop.run(measure(bench, pods, execs))
        sys.stdout.write("| what | measured |\n|---|---|\n")
        for what, value in rows:
            sys.stdout.write(f"| {what} | {value} |\n")
    finally:
        destroy_lab_containers(bench.base / "run", bench.base / "state", bench.name)
        subprocess.run(["ip", "netns", "del", bench.name], check=True)
        shutil.rmtree(bench.base)


if __name__ == "__main__":
    main()
