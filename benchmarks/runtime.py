"""How long sandboxes, containers, execs and the course's app take, beside the same by hand.

Run as root: ``python -m benchmarks.runtime [SAMPLES]``. By hand means: two conmons that call the
OCI runtime's create, then its start, one after the other, on bundles that lie ready: no record,
no image, no overlay, no supervision. Everything happens in folders and a network namespace of its
own, which are removed afterwards. Prints a Markdown table; results/runtime.md keeps one.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import platform
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop

from netlab.clock import SystemClock
from netlab.net.netns import call_in_netns
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.cri import ContainerConfig, PodIdentity, SandboxConfig
from netlab.runtime.engine import OciRuntime
from netlab.runtime.records import RuntimePaths

Samples = dict[str, list[float]]


class Bench:
    """One run: a lab of its own and what was measured in it, in milliseconds."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.name = f"bench{secrets.token_hex(3)}"
        self.base = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/var/tmp"))
        self.netns = Path("/run/netns") / self.name
        self.measured: Samples = {}

    def note(self, what: str, began_s: float) -> float:
        """Record the time since a moment; return now."""
        now_s = time.perf_counter()
        self.measured.setdefault(what, []).append((now_s - began_s) * 1000)
        return now_s

    def sandbox(self, number: int) -> SandboxConfig:
        return SandboxConfig(PodIdentity("d", f"p{number}", f"u{number}"), 0, "host", self.netns)

    def container(self, image: str, *command: str) -> ContainerConfig:
        return ContainerConfig("c", 0, image, self.base / "log" / "c.log", command=command)


def by_hand(bench: Bench, runtime: Path, bundles: dict[str, Path], number: int) -> None:
    """Create and start pause and one container; remove them outside the measured time."""
    root, made = bench.base / "hand", []
    began_s = time.perf_counter()
    for kind, bundle in bundles.items():
        container = f"{bench.name}-{kind}-{number}"
        made.append(container)
        began_one_s = time.perf_counter()
        create_by_hand(runtime, root, bundle, container)
        subprocess.run([str(runtime), "--root", str(root), "start", container], check=True)
        bench.note(f"by hand: {kind}", began_one_s)
    bench.note("by hand: pod (pause + one container)", began_s)
    for container in made:
        remove_by_hand(runtime, root, container)


def create_by_hand(runtime: Path, root: Path, bundle: Path, container: str) -> None:
    read, write = os.pipe()
    argv = ["conmon", "--api-version", "1", "-c", container, "-u", container, "-n", container]
    argv += ["-r", str(runtime), "--runtime-arg", f"--root={root}", "-b", str(bundle)]
    argv += ["-p", str(bundle / "pid"), "-l", f"k8s-file:{bundle / 'log'}", "--no-sync-log"]
    argv += ["--socket-dir-path", str(bundle), "--full-attach"]
    environment = {**os.environ, "_OCI_SYNCPIPE": str(write)}
    process = subprocess.Popen(argv, pass_fds=(write,), env=environment, stdin=subprocess.DEVNULL)
    os.close(write)
    report = json.loads(os.read(read, 65536))
    os.close(read)
    process.wait()
    if report["data"] <= 0:
        raise SystemExit(f"by hand: {report}")


def remove_by_hand(runtime: Path, root: Path, container: str) -> None:
    command = [str(runtime), "--root", str(root)]
    subprocess.run([*command, "kill", container, "KILL"], check=True)
    for _ in range(200):
        done = subprocess.run([*command, "delete", container], capture_output=True)
        if done.returncode == 0:
            return
        time.sleep(0.01)


async def prepare_bundles(bench: Bench, engine: OciRuntime) -> dict[str, Path]:
    """Return bundles like those the engine makes, from its own specs, with plain folders."""
    paths = RuntimePaths(bench.base / "run", bench.base / "state")
    sandbox = await engine.run_sandbox(bench.sandbox(0))
    container = await engine.create_container(sandbox, bench.container("busybox", "sleep", "999"))
    bundles = {}
    for kind, folder in (
        ("pause", paths.sandbox(sandbox)),
        ("container", paths.container(container)),
    ):
        spec: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        spec = copy.deepcopy(spec)
        spec["linux"]["cgroupsPath"] = f"/netlab/{bench.name}/hand-{kind}"
        bundle = bench.base / f"bundle-{kind}"
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(spec))
        bundles[kind] = bundle
    return bundles


async def through_engine(bench: Bench, engine: OciRuntime, number: int) -> None:
    """The same pod through the engine, then some execs, then its end."""
    began_s = moment_s = time.perf_counter()
    sandbox = await engine.run_sandbox(bench.sandbox(number))
    moment_s = bench.note("engine: sandbox", moment_s)
    container = await engine.create_container(sandbox, bench.container("busybox", "sleep", "999"))
    await engine.start_container(container)
    bench.note("engine: container", moment_s)
    moment_s = bench.note("engine: pod (pause + one container)", began_s)
    process = await engine.exec(container, ["true"], stdin=False, tty=False)
    await process.wait()
    moment_s = bench.note("engine: exec of true", moment_s)
    await process.close()
    await engine.stop_container(container, grace_period_s=0)
    await engine.remove_container(container)
    await engine.stop_sandbox(sandbox)
    await engine.remove_sandbox(sandbox)
    bench.note("engine: stop and remove the pod", moment_s)


async def first_answer(bench: Bench, engine: OciRuntime, number: int) -> None:
    """The course's app, from the request for its container to its first answer."""
    sandbox = await engine.run_sandbox(bench.sandbox(number))
    began_s = time.perf_counter()
    config = bench.container("vfarcic/go-demo-2")
    container = await engine.create_container(sandbox, config)
    await engine.start_container(container)
    await call_in_netns(bench.netns, lambda: _poll(8080))
    bench.note("engine: go-demo-2, create to first answer", began_s)
    await engine.stop_container(container, grace_period_s=5)
    await engine.remove_sandbox(sandbox)


def _poll(port: int) -> None:
    for _ in range(5000):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"GET /demo/hello HTTP/1.1\r\nHost: go-demo-2\r\n\r\n")
            if b" 200 " in connection.recv(4096)[:20]:
                return
        time.sleep(0.001)
    raise SystemExit("go-demo-2 does not answer")


async def many_pods(bench: Bench, engine: OciRuntime, count: int) -> None:
    """Pods side by side, as a ReplicaSet asks for them: the time each takes on average."""

    async def one(number: int) -> None:
        sandbox = await engine.run_sandbox(bench.sandbox(1000 + number))
        config = bench.container("busybox", "sleep", "999")
        await engine.start_container(await engine.create_container(sandbox, config))

    gate = asyncio.Semaphore(4)

    async def gated(number: int) -> None:
        async with gate:
            await one(number)

    began_s = time.perf_counter()
    await asyncio.gather(*(gated(number) for number in range(count)))
    took_ms = (time.perf_counter() - began_s) * 1000
    bench.measured[f"engine: each of {count} pods, four at a time"] = [took_ms / count]


async def measure(bench: Bench) -> Path:
    engine = OciRuntime(
        run_dir=bench.base / "run",
        state_dir=bench.base / "state",
        lab_name=bench.name,
        clock=SystemClock(),
    )
    began_s = time.perf_counter()
    async with engine:
        bench.note("engine: opened, with the probe", began_s)
        bundles = await prepare_bundles(bench, engine)
        for number in range(1, bench.samples + 1):
            await asyncio.to_thread(by_hand, bench, engine.runtime_path, bundles, number)
            await through_engine(bench, engine, number)
            await first_answer(bench, engine, number)
        await many_pods(bench, engine, 40)
        path = engine.runtime_path
        await engine.destroy_all()
    return path


def report(bench: Bench, runtime: Path, write: Callable[[str], object]) -> None:
    version = subprocess.run([str(runtime), "--version"], capture_output=True, text=True).stdout
    write(f"{version.splitlines()[0]}, Linux {platform.release()}, {os.cpu_count()} processors, ")
    write(f"Python {platform.python_version()}, {bench.samples} samples\n\n")
    write("| what | median ms | fastest | slowest |\n|---|---|---|---|\n")
    for what, times in bench.measured.items():
        write(
            f"| {what} | {statistics.median(times):.1f} | {min(times):.1f} | {max(times):.1f} |\n"
        )


def main() -> None:
    bench = Bench(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    subprocess.run(["ip", "netns", "add", bench.name], check=True)
    try:
        subprocess.run(["ip", "-n", bench.name, "link", "set", "lo", "up"], check=True)
        runtime = uvloop.run(measure(bench))
        report(bench, runtime, sys.stdout.write)
    finally:
        destroy_lab_containers(bench.base / "run", bench.base / "state", bench.name)
        subprocess.run(["ip", "netns", "del", bench.name], check=True)
        shutil.rmtree(bench.base)


if __name__ == "__main__":
    main()
