"""The container runtime on the real kernel: namespaces, isolation, and nothing left."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

from netlab.errors import ContainerError, ImageError
from netlab.runtime.cri import ContainerPhase, Mount, PodIdentity, SandboxConfig
from netlab.runtime.mounts import mounts_below, unmount
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    run_in,
    start,
    state_of,
    until_exited,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


async def test_a_pod_from_start_to_end(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", "echo out; echo err >&2; exit 3")
        container = await runtime.create_container(sandbox, config)
        assert (await state_of(runtime, container)).phase is ContainerPhase.CREATED
        await runtime.start_container(container)
        ended = await until_exited(runtime, container)
        assert ended.message == ""
        assert (ended.phase, ended.exit_code, ended.reason) == (ContainerPhase.EXITED, 3, "Error")
        assert ended.started_at <= ended.finished_at
        assert {line.split(" ", 1)[1] for line in lab.log().splitlines()} == {
            "stdout F out",
            "stderr F err",
        }
        await runtime.remove_container(container)
        await runtime.stop_sandbox(sandbox)
        (status,) = await runtime.list_sandboxes()
        assert (status.phase, status.pid) == (ContainerPhase.EXITED, 0)
        await runtime.remove_sandbox(sandbox)
        await runtime.remove_sandbox(sandbox)
        await runtime.remove_container(container)
        assert not await runtime.list_sandboxes()
        assert not await runtime.list_containers()
        assert not mounts_below(lab.base)


async def test_containers_of_a_pod_share_what_pods_share(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        one = await start(runtime, sandbox, lab.container("sleep", "99", name="one"))
        two = await start(runtime, sandbox, lab.container("sleep", "99", name="two"))
        links = ("readlink", *(f"/proc/self/ns/{kind}" for kind in ("net", "ipc", "uts")))
        assert await run_in(runtime, one, *links) == await run_in(runtime, two, *links)
        own = ("readlink", "/proc/self/ns/pid", "/proc/self/ns/mnt")
        first, second = await run_in(runtime, one, *own), await run_in(runtime, two, *own)
        assert not set(first[1].split()) & set(second[1].split())
        _, netns, _ = await run_in(runtime, one, "readlink", "/proc/self/ns/net")
        assert f"[{lab.netns.stat().st_ino}]" in netns
        assert (await run_in(runtime, one, "hostname"))[1] == "web-1\n"
        assert (await run_in(runtime, one, "cat", "/etc/hostname"))[1] == "web-1\n"
        await run_in(runtime, one, "sh", "-c", "echo x > /dev/shm/f; echo y > /f")
        assert (await run_in(runtime, two, "cat", "/dev/shm/f"))[1] == "x\n"
        assert (await run_in(runtime, two, "cat", "/f"))[0] == 1


async def test_a_shared_process_namespace_shows_pause_and_neighbours(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox(shared=True))
        one = await start(runtime, sandbox, lab.container("sleep", "98", name="one"))
        config = lab.container("sh", "-c", "sleep 97 & sleep 0.5", name="two")
        two = await start(runtime, sandbox, config)
        seen = ""
        async with asyncio.timeout(5):
            while "sleep 97" not in seen:
                _, seen, _ = await run_in(runtime, one, "ps", "-o", "pid,args")
        assert "1 /pause -P" in " ".join(seen.split())
        await until_exited(runtime, two)
        _, seen, _ = await run_in(runtime, one, "ps", "-o", "pid,args")
        assert "sleep 98" in seen
        assert "sleep 97" not in seen


FORBIDDEN = {
    "the host's passwords": "cat /etc/shadow",
    "the host's root folder": 'test -n "$(ls -A /root)"',
    "the host's home folders": 'test -n "$(ls -A /home)"',
    "sysctls": "echo 1 > /proc/sys/kernel/panic",
    "sysrq": "echo h > /proc/sysrq-trigger",
    "kernel memory": "test -s /proc/kcore",
    "cgroups": "for d in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts)\n"
    "do mkdir $d/x && exit 0; done; exit 1",
    "devices": "mknod /tmp/d b 254 0 && cat /tmp/d",
    "mounts": "mount -t tmpfs t /mnt",
    "other processes": "ls /proc | grep -E '^[0-9]+$' | wc -l | grep -qvxE '[1-6]'",
    "the clock": "date -s 2000-01-01; test $(date +%Y) = 2000",
    "modules": "ls /lib/modules/*/",
}


@pytest.mark.parametrize("image", ["busybox", "vfarcic/go-demo-2"])
async def test_what_a_container_must_not_reach(lab, image):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99", image=image))
        for what, command in FORBIDDEN.items():
            if what == "modules" and image != "busybox":
                continue
            code, out, _ = await run_in(runtime, container, "sh", "-c", command)
            assert code != 0, f"{what}: {out}"
        code, _, _ = await run_in(runtime, container, "touch", "/usr/lib/x")
        assert (code == 0) is (image == "busybox")
        _, status, _ = await run_in(runtime, container, "cat", "/proc/self/status")
        assert "CapEff:\t00000000a80425fb" in status


async def test_the_environment_is_that_of_the_image_and_the_pod(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sleep", "9", image="vfarcic/go-demo-2", env={"DB": "d", "A": "b"})
        container = await start(runtime, sandbox, config)
        code, out, _ = await run_in(runtime, container, "env")
        assert code == 0
        assert out.splitlines() == [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=web-1",
            "DB=d",
            "A=b",
            "HOME=/root",
        ]


async def test_volumes_are_mounted_as_asked(lab):
    volume = lab.base / "volume"
    (volume / "sub").mkdir(parents=True)
    (volume / "f").write_text("text")
    hosts = lab.base / "hosts"
    hosts.write_text("1.2.3.4 name\n")
    mounts = (
        Mount(volume, "/data/ro", read_only=True),
        Mount(volume, "/data"),
        Mount(hosts, "/etc/hosts"),
    )
    (volume / "ro").mkdir()
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99", mounts=mounts))
        assert (await run_in(runtime, container, "cat", "/data/f", "/etc/hosts"))[1] == (
            "text1.2.3.4 name\n"
        )
        assert (await run_in(runtime, container, "touch", "/data/new"))[0] == 0
        assert (await run_in(runtime, container, "touch", "/data/ro/new"))[0] == 1
    assert (volume / "new").exists()


async def test_exec_speaks_as_a_shell_does(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        assert await run_in(
            runtime, container, "sh", "-c", "cat; echo e >&2; exit 7", stdin=b"in"
        ) == (
            7,
            "in",
            "e\n",
        )
        assert (await run_in(runtime, container, "sh", "-c", "kill -9 $$"))[0] == 137
        code, _, error = await run_in(runtime, container, "nosuch")
        assert code == 127
        assert 'exec: "nosuch": executable file not found in $PATH' in error
        code, _, error = await run_in(runtime, container, "/etc")
        assert code == 126, error
        big = await run_in(runtime, container, "head", "-c", "3000000", "/dev/zero")
        assert len(big[1]) == 3_000_000


async def test_a_terminal_has_a_size_and_one_echo(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        process = await runtime.exec(container, ["sh"], stdin=True, tty=True)
        await process.resize(101, 31)
        seen = b""
        async with asyncio.timeout(5):
            while b"/ # " not in seen:
                seen += (await process.read())[1]
            await process.write_stdin(b"stty size; echo do''ne\n")
            while b"done" not in seen:
                seen += (await process.read())[1]
        assert b"31 101\r\n" in seen
        assert seen.count(b"do''ne") == 1
        await process.resize(50, 20)
        await process.write_stdin(b"stty size; exit 4\n")
        while piece := await process.read():
            seen += piece[1]
        assert b"20 50\r\n" in seen
        assert await process.wait() == 4
        await process.close()
        await process.close()


async def test_a_closed_exec_kills_its_process_and_leaks_nothing(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for tty in (False, True):
            process = await runtime.exec(
                container, ["sh", "-c", "echo a; sleep 55"], stdin=True, tty=tty
            )
            assert (await process.read())[1].strip() == b"a"
            await process.close()
            assert await process.wait() == 137
        await (await runtime.exec(container, ["sleep", "55"], stdin=False, tty=False)).close()
        for _ in range(20):
            assert (await run_in(runtime, container, "true"))[0] == 0
        _, seen, _ = await run_in(runtime, container, "ps")
        assert "sleep 55" not in seen
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        folder = lab.run_dir / "runtime" / "containers" / container
        assert not list(folder.glob("exec-*"))
        await runtime.stop_container(container, grace_period_s=0)
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.exec(container, ["true"], stdin=False, tty=False)


async def test_stopping_is_polite_then_firm(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        polite = lab.container("sh", "-c", "trap 'exit 5' TERM; sleep 99 & wait", name="polite")
        deaf = lab.container(
            "sh", "-c", "trap '' TERM; sleep 99 & while :; do wait; done", name="deaf"
        )
        first = await start(runtime, sandbox, polite)
        second = await start(runtime, sandbox, deaf)
        await asyncio.sleep(0.1)
        await runtime.stop_container(first, grace_period_s=5)
        assert (await state_of(runtime, first)).exit_code == 5
        began = time.monotonic()
        await runtime.stop_container(second, grace_period_s=0.3)
        assert 0.25 < time.monotonic() - began < 2
        assert (await state_of(runtime, second)).exit_code == 137


async def test_what_cannot_run_says_why(lab):
    async with lab.runtime() as runtime:
        bad = SandboxConfig(PodIdentity("d", "p", "u9"), 0, "h", Path("/run/netns/nosuch"))
        with pytest.raises(ContainerError, match="OCI runtime run failed"):
            await runtime.run_sandbox(bad)
        assert await runtime.list_sandboxes() == []
        sandbox = await runtime.run_sandbox(lab.sandbox())
        with pytest.raises(ImageError, match="not found"):
            await runtime.create_container(sandbox, lab.container(image="nginxx"))
        container = await runtime.create_container(sandbox, lab.container("nosuch"))
        with pytest.raises(ContainerError, match='exec: "nosuch": executable file not found'):
            await runtime.start_container(container)
        state = await state_of(runtime, container)
        assert (state.phase, state.exit_code, state.reason) == (
            ContainerPhase.EXITED,
            128,
            "StartError",
        )
        await runtime.stop_sandbox(sandbox)
        with pytest.raises(ContainerError, match="pause has ended"):
            await runtime.create_container(sandbox, lab.container("true"))
        with pytest.raises(ContainerError, match="not found"):
            await runtime.start_container("nosuch")


async def test_a_full_disk_is_told_and_leaves_nothing(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        containers = lab.run_dir / "runtime" / "containers"
        mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "full", str(containers)]
        await asyncio.to_thread(subprocess.run, mount, check=True)
        try:
            with pytest.raises(ContainerError, match=r"^container c: .*No space left on device$"):
                await runtime.create_container(sandbox, lab.container("sleep", "99"))
            assert await runtime.list_containers() == []
            assert list(containers.iterdir()) == []
        finally:
            unmount(containers)


async def test_a_grace_period_ends_with_its_caller(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        stopping = asyncio.create_task(runtime.stop_container(container, grace_period_s=30))
        await asyncio.sleep(0.05)
        stopping.cancel()
        began = time.monotonic()
    assert time.monotonic() - began < 2


async def test_a_failure_that_nobody_waits_for_is_logged(lab, caplog):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("true", target_container="gone")
        creating = asyncio.create_task(runtime.create_container(sandbox, config))
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
    assert "what nobody waits for any more failed: container gone: not found" in caplog.text


async def test_a_cancelled_caller_leaves_no_half_made_container(lab):
    async with lab.runtime() as runtime:
        task = asyncio.create_task(runtime.run_sandbox(lab.sandbox()))
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with lab.runtime() as runtime:
        (status,) = await runtime.list_sandboxes()
        assert status.phase is ContainerPhase.RUNNING
