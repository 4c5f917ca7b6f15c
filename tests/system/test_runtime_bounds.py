"""What a container may use, and what it uses, on the real kernel's control groups."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.cgroups import host_hierarchies
from netlab.runtime.cri import ContainerPhase, LinuxResources
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    oci_fixture,  # noqa: F401
    read_text,
    run_in,
    start,
    state_of,
    until_exited,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

MIB = 1 << 20
IS_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
MEMORY_LIMIT = "memory.max" if IS_V2 else "memory.limit_in_bytes"
QUOTA = "cpu.max" if IS_V2 else "cpu.cfs_quota_us"
BUSY = ("sh", "-c", "while :; do :; done")
TAKE_MEMORY = "x=a; while :; do x=$x$x; done"


def group_file(lab, pod, name):
    """Return the text of the first file of that name in the pod's group."""
    for hierarchy in host_hierarchies():
        path = hierarchy.mount_point / "netlab" / lab.name / pod / name
        if path.exists():
            return path.read_text().strip()
    pytest.fail(f"no control group has {name}")


async def until_members(lab, group, count):
    """Return when a group below the lab's has so many processes."""
    async with asyncio.timeout(30):
        while len(group_file(lab, group, "cgroup.procs").split()) < count:
            await asyncio.sleep(0.05)


async def test_too_much_memory_is_oom_killed_and_a_new_daemon_knows_it(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        bounds = LinuxResources(memory_limit_bytes=20 * MIB)
        config = lab.container("sh", "-c", TAKE_MEMORY, resources=bounds)
        ended = await until_exited(runtime, await start(runtime, sandbox, config))
        assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)
    async with lab.runtime() as runtime:
        assert (await state_of(runtime, ended.id)).reason == "OOMKilled"


@pytest.mark.parametrize("script", ["{}; echo on", "({}) & sleep 99", "{} || true"])
async def test_a_container_that_lost_a_process_to_its_bound_did_not_succeed(lab, oci, script):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        if not memory_kills_groups() and "99" in script:
            pytest.skip("cgroup v2 with a memory controller is missing: nothing kills groups")
        bounds = LinuxResources(memory_limit_bytes=20 * MIB)
        script = script.format(f"sh -c '{TAKE_MEMORY}'")
        config = lab.container("sh", "-c", script, resources=bounds)
        ended = await until_exited(runtime, await start(runtime, sandbox, config))
        assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)


def memory_kills_groups():
    return any(
        not h.names and "memory" in (h.mount_point / "cgroup.controllers").read_text().split()
        for h in host_hierarchies()
    )


async def test_the_bound_of_a_pod_holds_for_its_containers_together(lab):
    async with lab.runtime() as runtime:
        pod = replace(lab.sandbox(), resources=LinuxResources(memory_limit_bytes=30 * MIB))
        sandbox = await runtime.run_sandbox(pod)
        modest = await start(runtime, sandbox, lab.container("sleep", "99", name="modest"))
        greedy = await start(runtime, sandbox, lab.container("sh", "-c", TAKE_MEMORY))
        ended = await until_exited(runtime, greedy)
        assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)
        (status,) = await runtime.list_sandboxes()
        assert status.phase is ContainerPhase.RUNNING
        assert (await state_of(runtime, modest)).phase is ContainerPhase.RUNNING
        await runtime.stop_container(modest, grace_period_s=0)
        assert (await until_exited(runtime, modest)).reason == "Error"


async def test_a_killed_container_is_not_oom_killed(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        bounds = LinuxResources(memory_limit_bytes=20 * MIB)
        container = await start(runtime, sandbox, lab.container("sleep", "99", resources=bounds))
        await runtime.stop_container(container, grace_period_s=0)
        ended = await until_exited(runtime, container)
        assert (ended.reason, ended.exit_code) == ("Error", 137)


async def test_those_without_processor_time_are_killed_all_the_same(lab):
    async with lab.runtime() as runtime:
        bounds = LinuxResources(cpu_quota_us=90_000, memory_limit_bytes=50 * MIB)
        pod = replace(lab.sandbox(), resources=bounds)
        sandbox = await runtime.run_sandbox(pod)
        many = "for i in $(seq 200); do (while :; do :; done) & done; wait"
        crowd = await start(runtime, sandbox, lab.container("sh", "-c", many))
        await until_members(lab, f"podu1/{crowd}", 200)
        await runtime.update_resources(crowd, LinuxResources(cpu_quota_us=1000))
        begun = time.monotonic()
        await runtime.stop_container(crowd, grace_period_s=0)
        assert time.monotonic() - begun < 3
        assert group_file(lab, "podu1", QUOTA).startswith("90000")
        assert group_file(lab, "podu1", MEMORY_LIMIT) == str(50 * MIB)


@pytest.mark.skipif(IS_V2, reason="version 2 kills frozen processes by itself")
async def test_a_frozen_container_is_killed(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        frozen = await start(runtime, sandbox, lab.container("sleep", "99"))
        for hierarchy in host_hierarchies():
            state = hierarchy.mount_point / f"netlab/{lab.name}/podu1/{frozen}/freezer.state"
            if state.exists():
                state.write_text("FROZEN")
        await runtime.stop_container(frozen, grace_period_s=0)
        assert (await until_exited(runtime, frozen)).exit_code == 137


async def test_processor_time_is_bounded_measured_and_changed(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        bounds = LinuxResources(cpu_shares=102, cpu_quota_us=10_000)
        container = await start(runtime, sandbox, lab.container(*BUSY, resources=bounds))
        assert await cores(runtime, container) < 0.2
        await runtime.update_resources(container, replace(bounds, cpu_quota_us=50_000))
        assert 0.15 < await cores(runtime, container) < 0.6
        more = replace(bounds, cpu_quota_us=0, memory_limit_bytes=40 * MIB)
        await runtime.update_resources(container, more)
        assert group_file(lab, f"podu1/{container}", QUOTA).startswith(("-1", "max"))
        assert group_file(lab, f"podu1/{container}", MEMORY_LIMIT) == str(40 * MIB)
        for limit_bytes in (90 * MIB, 30 * MIB):
            await runtime.update_resources(container, replace(more, memory_limit_bytes=limit_bytes))
            assert group_file(lab, f"podu1/{container}", MEMORY_LIMIT) == str(limit_bytes)
        usage = await runtime.usage()
        assert usage[sandbox].cpu_ns >= usage[container].cpu_ns > 0
        assert usage[container].memory_bytes > 0
        assert (usage[container].pids, usage[sandbox].pids) == (1, 2)
        await runtime.stop_container(container, grace_period_s=0)
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.update_resources(container, bounds)
        assert set(await runtime.usage()) == {sandbox}
        await runtime.stop_sandbox(sandbox)
        assert await runtime.usage() == {}


async def cores(runtime, container):
    """Return how many processors a container uses, over a second."""
    before = (await runtime.usage())[container]
    await asyncio.sleep(1.0)
    after = (await runtime.usage())[container]
    return (after.cpu_ns - before.cpu_ns) / 1e9 / (after.at - before.at).total_seconds()


async def test_processes_are_bounded(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(
            "sh",
            "-c",
            "for i in 1 2 3 4 5 6 7 8 9; do sleep 99 & done; wait",
            resources=LinuxResources(pids_limit=5),
        )
        ended = await until_exited(runtime, await start(runtime, sandbox, config))
        assert ended.exit_code != 0
        assert "can't fork" in lab.log()


async def test_a_pods_group_has_its_bounds_and_takes_new_ones(lab):
    bounds = LinuxResources(cpu_shares=512, cpu_quota_us=20_000, memory_limit_bytes=64 * MIB)
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(replace(lab.sandbox(), resources=bounds))
        assert group_file(lab, "podu1", MEMORY_LIMIT) == str(64 * MIB)
        assert group_file(lab, "podu1", QUOTA) in ("20000", "20000 100000")
        container = await start(runtime, sandbox, lab.container(*BUSY))
        assert await cores(runtime, container) < 0.35


async def test_scores_for_the_memory_killer(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        own = int(read_text("/proc/self/oom_score_adj"))
        for number, (wanted, low) in enumerate({1000: 1000, 500: 500, -997: -997}.items()):
            config = lab.container(
                "sleep", "99", name=f"c{number}", resources=LinuxResources(oom_score_adj=wanted)
            )
            container = await start(runtime, sandbox, config)
            pid = (await state_of(runtime, container)).pid
            assert int(read_text(f"/proc/{pid}/oom_score_adj")) in {low, max(low, own)}
            code, text, _ = await run_in(runtime, container, "cat", "/proc/self/oom_score_adj")
            assert (code, int(text)) in {(0, low), (0, max(low, own))}
