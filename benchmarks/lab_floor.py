"""The machine's own floor: the same pods by hand, with conmon and the OCI runtime alone.

Bundles lie ready (written by netlab's engine, then copied), the network namespace and pause's
other namespaces exist: no record, no image, no overlay, no veth, no API. See benchmarks/runtime.py.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.lab_live import until_hello
from benchmarks.runtime import Bench, create_by_hand, remove_by_hand
from netlab.clock import SystemClock
from netlab.net.links import call_links
from netlab.net.netns import call_in_netns, create_netns, remove_netns
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.cri import ContainerConfig
from netlab.runtime.engine import OciRuntime
from netlab.runtime.records import RuntimePaths

WORKERS = 4


class ByHand:
    """Pods by hand, by one of four workers at a time. Times are in seconds."""

    def __init__(self, bench: Bench, runtime: Path, bundles: list[dict[str, Path]]) -> None:
        self._bench = bench
        self._runtime = runtime
        self._bundles = bundles
        self._number = 0

    def start(self, worker: int, *kinds: str) -> list[str]:
        """Create and start containers of those kinds, one after the other; return their ids."""
        self._number += 1
        made = []
        for kind in kinds:
            container = f"{self._bench.name}-{kind}-{worker}-{self._number}"
            root = self._bench.base / "hand"
            create_by_hand(self._runtime, root, self._bundles[worker][kind], container)
            argv = [str(self._runtime), "--root", str(root), "start", container]
            subprocess.run(argv, check=True)
            made.append(container)
        return made

    def remove(self, containers: list[str]) -> None:
        for container in containers:
            remove_by_hand(self._runtime, self._bench.base / "hand", container)

    async def one_pod(self) -> float:
        """Return the time of pause and a busybox container."""
        began_s = time.perf_counter()
        made = await asyncio.to_thread(self.start, 0, "pause", "busybox")
        took_s = time.perf_counter() - began_s
        await asyncio.to_thread(self.remove, made)
        return took_s

    async def first_answer(self) -> float:
        """Return the time of pause and go-demo-2 until it answers HTTP."""
        began_s = time.perf_counter()
        made = await asyncio.to_thread(self.start, 0, "pause", "go-demo-2")
        await call_in_netns(self._bench.netns, lambda: until_hello("127.0.0.1"))
        took_s = time.perf_counter() - began_s
        await asyncio.to_thread(self.remove, made)
        return took_s

    async def many_pods(self, count: int) -> tuple[float, float]:
        """Return the time for each of many pods, four at a time: (to start, to remove)."""
        made: list[list[str]] = [[] for _ in range(WORKERS)]

        def start(worker: int) -> None:
            for _ in range(count // WORKERS):
                made[worker] += self.start(worker, "pause", "busybox")

        def remove(worker: int) -> None:
            self.remove(made[worker])

        took = []
        for work in (start, remove):
            began_s = time.perf_counter()
            await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(WORKERS)))
            took.append((time.perf_counter() - began_s) / count)
        return took[0], took[1]


@asynccontextmanager
async def by_hand() -> AsyncIterator[ByHand]:
    """Prepare bundles in folders and a namespace of their own; remove everything afterwards."""
    bench = Bench(0)
    netns = await create_netns(bench.name)
    try:
        await call_links(netns, lambda links: links.ensure_link_up("lo"))
        run_dir, state_dir = bench.base / "run", bench.base / "state"
        engine = OciRuntime(
            run_dir=run_dir, state_dir=state_dir, lab_name=bench.name, clock=SystemClock()
        )
        async with engine:
            bundles = await _bundles(bench, engine)
            yield ByHand(bench, engine.runtime_path, bundles)
            await engine.destroy_all()
    finally:
        destroy_lab_containers(bench.base / "run", bench.base / "state", bench.name)
        await remove_netns(bench.name)
        shutil.rmtree(bench.base)


async def _bundles(bench: Bench, engine: OciRuntime) -> list[dict[str, Path]]:
    """Return for each worker a bundle of each kind, as the engine would have made it."""
    paths = RuntimePaths(bench.base / "run", bench.base / "state")
    sandbox = await engine.run_sandbox(bench.sandbox(0))
    log = bench.base / "log" / "c.log"
    wanted = {
        "busybox": ContainerConfig("b", 0, "busybox", log, command=("sleep", "999")),
        "go-demo-2": ContainerConfig("g", 0, "vfarcic/go-demo-2", log),
    }
    folders = {"pause": paths.sandbox(sandbox)}
    for kind, config in wanted.items():
        folders[kind] = paths.container(await engine.create_container(sandbox, config))
    return [
        {kind: _copy(bench, folder, kind, worker) for kind, folder in folders.items()}
        for worker in range(WORKERS)
    ]


def _copy(bench: Bench, folder: Path, kind: str, worker: int) -> Path:
    spec = json.loads((folder / "config.json").read_bytes())
    spec["linux"]["cgroupsPath"] = f"/netlab/{bench.name}/hand-{kind}-{worker}"
    bundle = bench.base / f"bundle-{kind}-{worker}"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(spec))
    return bundle
