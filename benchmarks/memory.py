"""What remains in the daemon's memory of pods that came and went, and what an event costs.

A control plane as in the daemon (registry on its store, informers, all controllers, scheduler,
event expiry) in this process; the kubelet is played: each pod is given an address and the five
events of a pod's life, and ends. ``--pods`` pods come, ``--burst`` at once, scaled by a Deployment.

    .venv/bin/python -m benchmarks.memory --pods 2000

Prints the resident memory before the first and after the last pod, and half a minute later.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from netlab.api.kinds import DEPLOYMENT, EVENT, LEASE, NODE, POD, SERVICE_ACCOUNT
from netlab.api.pods import Pod
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.expiry import run_event_expiry
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo
from netlab.client.events import EventRecorder
from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.controllers.run import ControllerManager
from netlab.errors import is_not_found
from netlab.memory import bound_arenas
from netlab.scheduler.run import Scheduler
from netlab.store.store import open_store
from netlab.timestamps import rfc3339_micro

REASONS = ("Pulled", "Created", "Started", "Killing")


def resident_kb() -> int:
    """The process's resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


class PlayedKubelet:
    """Runs every pod that is bound, and lets go of every pod that shall end."""

    def __init__(self, client: Any, informers: SharedInformers, clock: Any) -> None:
        self._client = client
        self._pods = informers.of(POD, field_selector="spec.nodeName=node0")
        self.recorder = EventRecorder(client, clock, component="kubelet", host="node0")
        self._queue: asyncio.Queue[Pod] = asyncio.Queue()
        self._seen: set[str] = set()
        self.running = 0
        self._pods.on_change(lambda old, new: self._queue.put_nowait(new) if new else None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run())
            for _ in range(8):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            pod = await self._queue.get()
            meta = pod.metadata
            try:
                if meta.deletion_timestamp is not None:
                    self._tell(pod, "Killing")
                    await self._client.delete(
                        POD, meta.namespace, meta.name, grace_period_s=0, uid=meta.uid
                    )
                    self.running -= 1
                    self._seen.discard(meta.uid)
                elif meta.uid not in self._seen:
                    self._seen.add(meta.uid)
                    for reason in REASONS[:3]:
                        self._tell(pod, reason)
                    await self._start(pod)
                    self.running += 1
            except Exception as error:
                if not is_not_found(error):
                    raise

    def _tell(self, pod: Pod, reason: str) -> None:
        text = f'{reason} container "main": it took {time.time() % 1000:.6f}s (image busybox)'
        path = "spec.containers{main}"
        self.recorder.record(POD, pod, "Normal", reason, text, field_path=path)

    async def _start(self, pod: Pod) -> None:
        number = int(time.time() * 1e6) % 60000
        address = f"10.244.{number // 250}.{number % 250 + 1}"
        status = {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        await self._client.patch(
            POD, pod.metadata.namespace, pod.metadata.name, {"status": status},
            subresource="status",
        )  # fmt: skip


async def _until(check: Any, limit_s: float = 120) -> None:
    async with asyncio.timeout(limit_s):
        while not await check():  # noqa: ASYNC110 - what is waited for is in the API
            await asyncio.sleep(0.02)


async def measure(pods: int, burst: int, folder: Path, rest_s: float) -> dict[str, Any]:
    """Let the pods come and go; return what was measured."""
    clock, config = SystemClock(), LabConfig()
    async with open_store(folder / "store.db") as store:
        registry = Registry(store, config, clock)
        client = LocalClient(registry, UserInfo("bench", groups=("system:masters",)))
        await ensure_system_objects(client, config)
        informers = SharedInformers.recording(client, clock, component="netlab")
        manager = ControllerManager(
            client, informers, clock, ca_pem="CA", cluster_cidr=config.pod_cidr
        )
        scheduler = Scheduler(client, informers, clock)
        kubelet = PlayedKubelet(client, informers, clock)
        parts = [informers, manager, scheduler, kubelet]
        tasks = [asyncio.create_task(part.run()) for part in parts]
        tasks.append(asyncio.create_task(run_event_expiry(store, client, clock)))
        await manager.synced.wait()
        await client.create(NODE, None, {"metadata": {"name": "node0"}})
        tasks.append(asyncio.create_task(_keep_lease(client, clock)))
        status = {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "1000"},
        }
        await client.patch(NODE, None, "node0", {"status": status}, subresource="status")

        async def account() -> bool:
            return bool((await client.list(SERVICE_ACCOUNT, "default")).items)

        await _until(account)
        await _create_deployment(client)
        await asyncio.sleep(1)
        before_kb, began_s = resident_kb(), time.perf_counter()
        first_kb = 0
        for number in range(pods // burst):
            await _scale(client, kubelet, burst)
            await _scale(client, kubelet, 0)
            if "-v" in sys.argv:
                print(number, resident_kb(), file=sys.stderr)
            if not number:
                first_kb = resident_kb()
        took_s = time.perf_counter() - began_s
        await asyncio.sleep(2)
        after_kb, events = resident_kb(), store.count(EVENT.group_resource)
        await asyncio.sleep(rest_s)
        rested_kb = resident_kb()
        gc.collect()
        collected_kb = resident_kb()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "pods": pods,
        "burst": burst,
        "seconds": round(took_s, 1),
        "events": events,
        "suppressed": kubelet.recorder.suppressed,
        "dropped": kubelet.recorder.dropped,
        "before_mb": round(before_kb / 1024, 1),
        "after_first_burst_mb": round(first_kb / 1024, 1),
        "after_mb": round(after_kb / 1024, 1),
        "rested_mb": round(rested_kb / 1024, 1),
        "collected_mb": round(collected_kb / 1024, 1),
        "growth_percent": round(100 * (rested_kb - before_kb) / before_kb, 1),
        "kb_a_pod": round((rested_kb - before_kb) / pods, 2),
    }


async def _keep_lease(client: Any, clock: Any) -> None:
    lease = {"metadata": {"name": "node0"}, "spec": {"renewTime": rfc3339_micro(clock.now())}}
    await client.create(LEASE, "kube-node-lease", lease)
    while True:
        await asyncio.sleep(10)
        patch = {"spec": {"renewTime": rfc3339_micro(clock.now())}}
        await client.patch(LEASE, "kube-node-lease", "node0", patch)


async def _create_deployment(client: Any) -> None:
    labels = {"app": "web"}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "busybox"}],
            },
        },
    }
    await client.create(DEPLOYMENT, "default", {"metadata": {"name": "web"}, "spec": spec})


async def _scale(client: Any, kubelet: PlayedKubelet, size: int) -> None:
    await client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": size}})

    async def settled() -> bool:
        return kubelet.running == size

    await _until(settled)


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--burst", type=int, default=100)
    parser.add_argument("--rest", type=float, default=30.0)
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    bound_arenas()  # as the daemon does
    with tempfile.TemporaryDirectory() as folder:
        found = uvloop.run(measure(options.pods, options.burst, Path(folder), options.rest))
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
