"""Pods from their creation to what a student waits for: Ready, an answer, gone."""

from __future__ import annotations

import asyncio
import time

from benchmarks.lab_floor import ByHand
from benchmarks.lab_live import LiveLab, PodWatch, pod, until_hello
from benchmarks.lab_table import Row, both_ms, ms, p50
from netlab.api.kinds import POD, REPLICA_SET
from netlab.net.netns import call_in_netns, list_netns

MANY = 100


async def one_pod(lab: LiveLab, hand: ByHand, samples: int) -> list[Row]:
    """A busybox pod, from the request that creates it to Ready, in turns with one by hand."""
    took, floor, gone = [], [], []
    async with PodWatch.open(lab) as watch:
        for number in range(samples):
            floor.append(await hand.one_pod())
            name = f"one-{number}"
            began_s = time.perf_counter()
            await lab.client.create(POD, "default", pod(name))
            took.append(await watch.until_ready(name) - began_s)
            began_s = time.perf_counter()
            await lab.client.delete(POD, "default", name)
            gone.append(await watch.until(lambda n=name: n in watch.gone) - began_s)
    ratio = p50(took) / p50(floor)
    return [
        Row(
            f"busybox pod, create → Ready in a watch, {samples} samples",
            f"{both_ms(took)}, {ratio:.2f}×",
            f"pause + container by hand {both_ms(floor)}",
            "p50 ≤ 2.5×",
        ),
        Row("… delete → gone in a watch", both_ms(gone)),
    ]


async def three_containers(lab: LiveLab, samples: int) -> list[Row]:
    """A pod with three containers, from the request that creates it to Ready, in turns with one."""
    took: dict[int, list[float]] = {1: [], 3: []}
    async with PodWatch.open(lab) as watch:
        for number in range(samples):
            for containers, times in took.items():
                name = f"of-{containers}-{number}"
                began_s = time.perf_counter()
                await lab.client.create(POD, "default", pod(name, containers=containers))
                times.append(await watch.until_ready(name) - began_s)
                await lab.client.delete(POD, "default", name)
                await watch.until(lambda n=name: n in watch.gone)
    ratio = p50(took[3]) / p50(took[1])
    return [
        Row(
            f"busybox pod with 3 containers, create → Ready, {samples} samples",
            f"{both_ms(took[3])}, {ratio:.2f}× one",
            f"with 1 container in turns: {both_ms(took[1])}",
        )
    ]


async def many_pods(lab: LiveLab, hand: ByHand) -> list[Row]:
    """A hundred busybox pods of one ReplicaSet: until all are Ready, and until all are gone."""
    floor_s, floor_gone_s = await hand.many_pods(40)
    labels = {"app": "many"}
    rows = []
    async with PodWatch.open(lab) as watch:
        before, before_mb = lab.daemon.cpu_s(), lab.daemon.memory_mb()[0] + lab.supervisors_mb()
        began_s = time.perf_counter()
        await lab.client.create(REPLICA_SET, "default", replica_set(MANY, labels))
        took_s = await watch.until(lambda: len(watch.ready) >= MANY) - began_s
        own_s, helpers_s = (
            now - then for now, then in zip(lab.daemon.cpu_s(), before, strict=True)
        )
        rows.append(
            Row(
                f"{MANY} busybox pods by one ReplicaSet, all Ready",
                f"{took_s:.2f} s, {ms(took_s / MANY)} each",
                f"by hand, four at a time: {ms(floor_s)} each",
                "Mininet 50 ms per host",
            )
        )
        rows.append(
            Row(
                "… processor time of the daemon, of programs it ran",
                f"{ms(own_s / MANY)}, {ms(helpers_s / MANY)} each",
            )
        )
        await asyncio.sleep(3)
        resident_mb, share_mb = lab.daemon.memory_mb()
        rows.append(memory_row(f"daemon with {MANY} pods", resident_mb, share_mb, "≤ 100 MB"))
        each_mb = (resident_mb + lab.supervisors_mb() - before_mb) / MANY
        rows.append(
            Row(
                "memory: an idle pod outside its own processes (its conmon, the daemon's growth)",
                f"{each_mb:.1f} MB",
                goal="≤ 3 MB",
            )
        )
        began_s = time.perf_counter()
        await lab.client.delete(REPLICA_SET, "default", "many", propagation="Background")
        gone_s = await watch.until(lambda: len(watch.gone) >= MANY) - began_s
        rows.append(
            Row(
                f"{MANY} pods, ReplicaSet deleted → all gone from the API",
                f"{gone_s:.2f} s, {ms(gone_s / MANY)} each",
                f"by hand, four at a time: {ms(floor_gone_s)} each",
            )
        )
        clean_s = await _until_clean(lab, "many-") - began_s
        rows.append(Row("… → all their network namespaces gone too", f"{clean_s:.2f} s"))
    return rows


def replica_set(replicas: int, labels: dict[str, str]) -> dict[str, object]:
    template = pod("template", labels=labels)
    del template["metadata"]["name"]
    return {
        "metadata": {"name": labels["app"]},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def memory_row(what: str, resident_mb: float, share_mb: float, goal: str = "–") -> Row:
    return Row(
        f"memory: {what}", f"{resident_mb:.0f} MB resident, {share_mb:.0f} MB share", goal=goal
    )


async def _until_clean(lab: LiveLab, prefix: str) -> float:
    start = f"{lab.config.netns_name}_default_{prefix}"
    while True:
        if not any(name.startswith(start) for name in list_netns()):
            return time.perf_counter()
        await asyncio.sleep(0.01)


async def first_answer(lab: LiveLab, hand: ByHand, samples: int) -> list[Row]:
    """The course's app, from the request that creates its pod to its first HTTP answer."""
    took, floor = [], []
    async with PodWatch.open(lab) as watch:
        for number in range(samples):
            floor.append(await hand.first_answer())
            name = f"demo-{number}"
            began_s = time.perf_counter()
            await lab.client.create(POD, "default", pod(name, image="vfarcic/go-demo-2"))
            await watch.until(lambda n=name: n in watch.address)
            address = watch.address[name]
            await call_in_netns(lab.node, lambda a=address: until_hello(a))
            took.append(time.perf_counter() - began_s)
            await lab.client.delete(POD, "default", name)
            await watch.until(lambda n=name: n in watch.gone)
    return [
        Row(
            f"go-demo-2 pod, create → first HTTP answer, {samples} samples",
            f"{both_ms(took)}, {p50(took) / p50(floor):.2f}×",
            f"pause + go-demo-2 by hand {both_ms(floor)}",
        )
    ]
