"""What survives the daemon, conmon and pause, and that nothing is left of a lab."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from netlab.runtime.cgroups import host_hierarchies, process_ids
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.cri import ContainerPhase
from netlab.runtime.mounts import mount_overlay, mounts_below, unmount
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
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


async def test_a_new_daemon_adopts_what_runs_and_what_ended(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        lives = await start(runtime, sandbox, lab.container("sleep", "99", name="lives"))
        ends = await start(
            runtime, sandbox, lab.container("sh", "-c", "sleep 0.3; exit 6", name="ends")
        )
        ready = await runtime.create_container(sandbox, lab.container("sleep", "99", name="ready"))
        before = {state.id: state for state in await runtime.list_containers()}
    await asyncio.sleep(0.5)
    async with lab.runtime() as runtime:
        assert await state_of(runtime, lives) == before[lives]
        assert (await until_exited(runtime, ends)).exit_code == 6
        assert (await state_of(runtime, ready)).phase is ContainerPhase.CREATED
        await runtime.start_container(ready)
        assert (await run_in(runtime, lives, "true"))[0] == 0
        os.kill((await state_of(runtime, ready)).pid, signal.SIGKILL)
        assert (await until_exited(runtime, ready)).exit_code == 137


async def test_a_killed_pause_and_a_killed_conmon_are_noticed(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        conmon = lab.run_dir / "runtime" / "containers" / container / "conmon.pid"
        os.kill(int(conmon.read_text()), signal.SIGKILL)
        state = await until_exited(runtime, container)
        assert (state.exit_code, state.reason) == (137, "Error")
        assert "conmon" in state.message
        (status,) = await runtime.list_sandboxes()
        os.kill(status.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            async for exited in runtime.exits():
                if exited == sandbox:
                    break
        assert (await runtime.list_sandboxes())[0].phase is ContainerPhase.EXITED


async def test_conmon_is_outside_the_daemons_control_group(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        await start(runtime, sandbox, lab.container("sleep", "99"))
        members = process_ids(host_hierarchies(), f"/netlab/{lab.name}/conmon")
        assert len(members) == 1
        assert "conmon" in read_text(f"/proc/{members.pop()}/comm")


DOOMED = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, {root!r})
from netlab.clock import SystemClock
from netlab.runtime.cri import *
from netlab.runtime.engine import OciRuntime

async def main():
    runtime = OciRuntime(run_dir=Path({run!r}), state_dir=Path({state!r}), lab_name={name!r},
                         clock=SystemClock())
    async with runtime:
        print("open", flush=True)
        def die():
            time.sleep(float(sys.argv[1]))
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=die).start()
        for n in range(100):
            pod = PodIdentity("default", f"p{{n}}", f"u{{n}}")
            sandbox = await runtime.run_sandbox(SandboxConfig(pod, 0, "h", Path({netns!r})))
            config = ContainerConfig("c", 0, "busybox", Path({state!r}) / f"log/{{n}}.log",
                                     command=("sleep", "99"))
            container = await runtime.create_container(sandbox, config)
            await runtime.start_container(container)

asyncio.run(main())
"""


def die_after(lab, delay_s):
    """Run a daemon that makes pods and kills itself."""
    script = textwrap.dedent(DOOMED).format(
        root=str(Path(__file__).resolve().parents[2]),
        run=str(lab.run_dir),
        state=str(lab.state_dir),
        name=lab.name,
        netns=str(lab.netns),
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(delay_s)], capture_output=True, timeout=30
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


DELAYS_S = [0.004, 0.012, 0.02, 0.028, 0.036, 0.044, 0.052, 0.06, 0.075, 0.09, 0.15]


async def test_a_killed_daemon_leaves_what_the_next_one_understands(lab):
    for delay_s in DELAYS_S:
        die_after(lab, delay_s)
        async with lab.runtime() as runtime:
            sandboxes = {status.id for status in await runtime.list_sandboxes()}
            for state in await runtime.list_containers():
                assert state.sandbox_id in sandboxes
                if state.phase is ContainerPhase.RUNNING:
                    assert read_text(f"/proc/{state.pid}/comm") == "sleep\n"
            for sandbox_id in sandboxes:
                await runtime.remove_sandbox(sandbox_id)
            assert await runtime.list_containers() == []
            assert not mounts_below(lab.base)
            paused = process_ids(host_hierarchies(), f"/netlab/{lab.name}")
            assert not {pid for pid in paused if b"conmon" not in _comm(pid)}


def _comm(pid):
    return read_text(f"/proc/{pid}/comm").encode()


def test_cleanup_without_a_daemon_leaves_nothing(lab):
    for delay_s in (0.03, 0.07, 0.2):
        die_after(lab, delay_s)
        destroy_lab_containers(lab.run_dir, lab.state_dir, lab.name)
        assert lab.left_overs() == []
        destroy_lab_containers(lab.run_dir, lab.state_dir, lab.name)


def settled(look):
    """Return what is seen twice, half a second apart: an OCI runtime at work ends by itself."""
    seen = look()
    while True:
        time.sleep(0.5)
        seen, before = look(), seen
        if seen == before:
            return seen


def test_cleanup_touches_no_other_lab(lab):
    die_after(lab, 0.15)
    before = settled(lab.left_overs)
    assert before
    other = f"{lab.name}x"
    destroy_lab_containers(lab.base / "other", lab.base / "other", other)
    destroy_lab_containers(lab.base / "other", lab.base / "other", lab.name[:-1])
    assert set(before) <= set(lab.left_overs())


async def test_a_state_folder_that_is_an_overlay_itself(lab):
    state = lab.base / "state"
    for name in ("lower", "upper", "work"):
        (lab.base / name).mkdir()
    layers = (lab.base / "lower",)
    mount_overlay(layers, upper=lab.base / "upper", work=lab.base / "work", target=state)
    try:
        async with lab.runtime() as runtime:
            sandbox = await runtime.run_sandbox(lab.sandbox())
            container = await start(runtime, sandbox, lab.container("sleep", "99"))
        async with lab.runtime() as runtime:
            assert (await run_in(runtime, container, "touch", "/f"))[0] == 0
        destroy_lab_containers(lab.run_dir, lab.state_dir, lab.name)
        assert mounts_below(lab.base) == [state]
    finally:
        unmount(state)


async def test_destroy_all(lab):
    async with lab.runtime() as runtime:
        for uid in ("u1", "u2"):
            sandbox = await runtime.run_sandbox(lab.sandbox(uid=uid))
            await start(runtime, sandbox, lab.container("sleep", "99", name=uid))
        await runtime.destroy_all()
        assert lab.left_overs() == []
