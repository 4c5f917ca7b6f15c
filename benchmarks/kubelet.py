"""How long a pod takes from creation to Ready, beside the runtime calls it cannot do without.

Run as root: ``python benchmarks/kubelet.py [PODS]``. Everything happens in a network namespace and
folders of its own, which are removed afterwards. The floor is one pause and one container made
with the same runtime by hand, nothing else going on: namespace, sandbox, create, start.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvloop

import netlab.config
from netlab.api.kinds import CONFIG_MAP, NODE, POD, SERVICE_ACCOUNT
from netlab.apiserver.assembly import assemble
from netlab.apiserver.auth.pki import ensure_pki
from netlab.apiserver.bootstrap import ensure_system_objects
from netlab.apiserver.local import LocalClient
from netlab.apiserver.requests import UserInfo
from netlab.apiserver.streams.kubelets import Door
from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.cni.plugin import PodNetwork
from netlab.config import LabConfig
from netlab.kubelet.agent import Kubelet
from netlab.net import netns
from netlab.net.dialing import dial
from netlab.net.host import NetworkHost
from netlab.runtime.cri import ContainerConfig, PodIdentity, SandboxConfig
from netlab.runtime.engine import OciRuntime
from netlab.store.store import open_store

SAMPLES = 15
SCRIPT = ["sleep", "100000"]


async def main(pods: int) -> None:
    config = LabConfig(name="kubelet-bench", sandbox=True)
    config.state_dir.mkdir(parents=True)
    await netns.create_netns(config.netns_name)
    try:
        async with _runtime(config) as runtime:
            floor = [await _by_hand(runtime, config, n) for n in range(SAMPLES)]
        async with _runtime(config) as runtime, _lab(config, runtime) as parts:
            client, network, kubelet = parts
            single = [await _one_pod(client, network, f"one-{n}") for n in range(SAMPLES)]
            check_s = await _check_cost(network, kubelet)
            many = await _many_pods(client, pods)
            _report(floor, single, check_s, many, pods)
    finally:
        for name in [n for n in netns.list_netns() if n.startswith(config.netns_name)]:
            await netns.remove_netns(name)
        shutil.rmtree(config.state_dir.parent.parent)
        shutil.rmtree(config.run_dir.parent, ignore_errors=True)


@contextlib.asynccontextmanager
async def _runtime(config: LabConfig) -> AsyncIterator[OciRuntime]:
    async with OciRuntime(
        run_dir=config.run_dir,
        state_dir=config.state_dir,
        lab_name=config.name,
        clock=SystemClock(),
    ) as runtime:
        try:
            yield runtime
        finally:
            await runtime.destroy_all()


@contextlib.asynccontextmanager
async def _lab(
    config: LabConfig, runtime: OciRuntime
) -> AsyncIterator[tuple[LocalClient, PodNetwork, Kubelet]]:
    clock = SystemClock()
    pki = ensure_pki(config.state_dir / "pki", config, datetime.now(UTC))
    network = PodNetwork(
        NetworkHost(config.netns),
        cluster_cidr=config.pod_cidr,
        service_cidr=config.service_cidr,
        state_dir=config.state_dir / "cni",
    )
    async with open_store(config.state_dir / "store.db") as store:
        plane = assemble(
            store, config, pki, clock, door=Door(partial(dial, None), pki.kubelet_context())
        )
        client = LocalClient(plane.registry, UserInfo("bench", groups=("system:masters",)))
        await ensure_system_objects(client, config)
        await client.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "default"}})
        ca = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "x"}}
        await client.create(CONFIG_MAP, "default", ca)
        # nobody else gives the node its range here
        own = {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]}
        await client.create(NODE, None, {"metadata": {"name": config.node_name}, "spec": own})
        informers = SharedInformers(client, clock)
        kubelet = Kubelet(
            client=client,
            informers=informers,
            runtime=runtime,
            network=network,
            netns=netns,
            clock=clock,
            config=config.node(),
        )
        informing = asyncio.create_task(informers.run())
        task = asyncio.create_task(kubelet.run())
        await kubelet.ready.wait()
        try:
            yield client, network, kubelet
        finally:
            task.cancel()
            informing.cancel()
            await asyncio.wait({task, informing})


async def _by_hand(runtime: OciRuntime, config: LabConfig, number: int) -> float:
    began = time.perf_counter()
    name = f"{config.netns_name}-hand-{number}"
    path = await netns.create_netns(name)
    pod = PodIdentity("bench", f"hand-{number}", f"hand-{number}")
    sandbox = await runtime.run_sandbox(SandboxConfig(pod, 0, "hand", path))
    log_path = config.state_dir / f"{number}.log"
    container = await runtime.create_container(
        sandbox, ContainerConfig("main", 0, "busybox", log_path, SCRIPT)
    )
    await runtime.start_container(container)
    took = time.perf_counter() - began
    await runtime.stop_container(container, grace_period_s=0)
    await runtime.remove_sandbox(sandbox)
    await netns.remove_netns(name)
    return took


async def _create(client: LocalClient, name: str) -> None:
    container = {"name": "main", "image": "busybox", "command": SCRIPT}
    spec = {"nodeName": "node0", "terminationGracePeriodSeconds": 0, "containers": [container]}
    await client.create(POD, "default", {"metadata": {"name": name}, "spec": spec})


async def _ready(client: LocalClient, names: set[str]) -> dict[str, float]:
    """Return when each pod became Ready."""
    moments: dict[str, float] = {}
    listed = await client.list(POD, "default")
    watch = client.watch(POD, "default", resource_version=listed.resource_version)
    found = list(listed.items)
    while True:
        for obj in found:
            ready = any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in obj.get("status", {}).get("conditions", ())
            )
            if ready and obj["metadata"]["name"] in names:
                moments.setdefault(obj["metadata"]["name"], time.perf_counter())
        if moments.keys() == names:
            return moments
        found = [(await anext(watch)).object]


async def _one_pod(client: LocalClient, network: PodNetwork, name: str) -> float:
    began = time.perf_counter()
    await _create(client, name)
    took = (await _ready(client, {name}))[name] - began
    await client.delete(POD, "default", name)
    while await network.addresses():  # noqa: ASYNC110 the network tells nobody
        await asyncio.sleep(0.01)
    return took


async def _check_cost(network: PodNetwork, kubelet: Kubelet) -> float:
    await _create(kubelet._parts.client, "checked")
    await _ready(kubelet._parts.client, {"checked"})
    (name,) = (await network.addresses()).values()
    began = time.process_time()
    for _ in range(100):
        assert await network.check(container_id=name, pod_netns=Path("/run/netns") / name) == []
    return (time.process_time() - began) / 100


async def _many_pods(client: LocalClient, pods: int) -> list[float]:
    names = {f"many-{n}" for n in range(pods)}
    began = time.perf_counter()
    await asyncio.gather(*(_create(client, name) for name in names))
    return sorted(moment - began for moment in (await _ready(client, names)).values())


def _report(
    floor: list[float], single: list[float], check_s: float, many: list[float], pods: int
) -> None:
    hand, one = statistics.median(floor) * 1000, statistics.median(single) * 1000
    print("| what | result |")
    print("|---|---|")
    print(f"| floor: namespace + pause + one container by hand, p50 | {hand:.1f} ms |")
    print(f"| one pod, create to Ready, p50 | {one:.1f} ms ({one / hand:.2f} x the floor) |")
    each = many[-1] / pods * 1000
    print(f"| {pods} pods at once, all Ready | {many[-1]:.2f} s ({each:.1f} ms each) |")
    print(f"| one look at a pod's network, processor time | {check_s * 1000:.2f} ms |")


if __name__ == "__main__":
    netlab.config.STATE_ROOT = Path("/var/lib/netlab-bench")
    netlab.config.RUN_ROOT = Path("/run/netlab-bench")
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
