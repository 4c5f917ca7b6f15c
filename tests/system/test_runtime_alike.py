"""What an exec'ed process is: under each OCI runtime the same as its container's first process."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.cri import ContainerSecurity, LinuxResources, Mount
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    oci_fixture,  # noqa: F401
    read_text,
    run_in,
    start,
    state_of,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SAME = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
SECCOMP = ("Seccomp",)
LOOK = (
    "cat /proc/self/status; echo BESIDES; cat /proc/self/oom_score_adj /proc/self/limits; pwd;"
    " env -u SHLVL | sort; echo END"
)

RIGHTS = {
    "the image's": {},
    "somebody": {"security": ContainerSecurity(uid=1234)},
    "somebody in groups": {
        "security": ContainerSecurity(uid=1234, gid=55, groups=(2000, 3000)),
    },
    "nothing at all": {
        "security": ContainerSecurity(
            uid=1234, drop_capabilities=("ALL",), no_new_privileges=True, seccomp="RuntimeDefault"
        ),
    },
    "root without rights": {
        "security": ContainerSecurity(uid=0, drop_capabilities=("ALL",), no_new_privileges=True)
    },
    "one right": {
        "security": ContainerSecurity(
            drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)
        )
    },
    "all rights": {"security": ContainerSecurity(privileged=True)},
    "first to be killed": {"resources": LinuxResources(oom_score_adj=1000)},
    "elsewhere, with names": {"working_dir": "/tmp", "env": {"A": "1 2", "PATH": "/usr/bin:/bin"}},
    "a root that is read only": {"security": ContainerSecurity(read_only_root=True)},
}


def facts(text):
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return {name: fields[name].strip() for name in (*SAME, *SECCOMP)}


@pytest.mark.parametrize("row", RIGHTS)
async def test_an_exec_is_what_its_container_is(lab, oci, row):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(
            runtime, sandbox, lab.container("sh", "-c", f"{LOOK}; sleep 99", **RIGHTS[row])
        )
        while "END" not in lab.log():
            await asyncio.sleep(0.01)
        first = "".join(f"{line.split(' ', 3)[3]}\n" for line in lab.log().splitlines())
        code, second, _ = await run_in(runtime, container, "sh", "-c", LOOK)
        assert code == 0
        pid = (await state_of(runtime, container)).pid
        assert facts(second) == facts(first) == facts(read_text(f"/proc/{pid}/status"))
        # score, limits, folder and environment, whole
        assert second.partition("BESIDES")[2] == first.partition("BESIDES")[2]


async def test_a_terminal_is_told_by_name(lab, oci):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(
            "sleep", "99", env={"TERM": "dumb"}, security=ContainerSecurity(uid=7)
        )
        container = await start(runtime, sandbox, config)
        look = ("sh", "-c", "echo $TERM $(id -u); test -t 0 && echo terminal")
        assert (await run_in(runtime, container, *look))[1] == "dumb 7\n"
        assert (await run_in(runtime, container, *look, tty=True))[1] == "xterm 7\r\nterminal\r\n"


async def test_later_sizes_reach_the_program(lab, oci):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        process = await runtime.exec(container, ["sh"], stdin=True, tty=True)
        seen = b""
        async with asyncio.timeout(30):
            for columns, rows in ((101, 31), (50, 20), (132, 43)):
                await process.resize(columns, rows)
                # the size goes another way than what is typed, and may arrive after it
                while f"{rows} {columns}\r\n".encode() not in seen:
                    await process.write_stdin(b"stty size\n")
                    seen += (await process.read())[1]
                    await asyncio.sleep(0.02)
        await process.close()


@pytest.mark.parametrize("tty", [False, True])
async def test_a_closed_exec_leaves_no_children(lab, oci, tty):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        script = "sleep 54 & (sleep 55; true) & echo a; wait"
        process = await runtime.exec(container, ["sh", "-c", script], stdin=True, tty=tty)
        assert (await process.read())[1].strip() == b"a"
        await process.close()
        _, seen, _ = await run_in(runtime, container, "ps")
        assert "sleep 5" not in seen
        assert "sleep 99" in seen


async def test_a_daemon_that_comes_back_ends_what_nobody_reads(lab, oci):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        script = "sleep 54 & echo a; wait"
        process = await runtime.exec(container, ["sh", "-c", script], stdin=False, tty=False)
        assert (await process.read())[1].strip() == b"a"
    async with lab.runtime(oci) as runtime:
        _, seen, _ = await run_in(runtime, container, "ps")
        assert "sleep 54" not in seen
        await process.close()


CANNOT = {
    "nosuch": (127, 'exec: "nosuch": executable file not found in $PATH'),
    "/no/such": (127, 'exec: "/no/such": stat /no/such: no such file or directory'),
    "./nosuch": (127, 'exec: "./nosuch": stat ./nosuch: no such file or directory'),
    "/etc": (126, 'exec: "/etc": permission denied'),
    "/etc/passwd": (126, 'exec: "/etc/passwd": permission denied'),
}


@pytest.mark.parametrize("program", CANNOT)
async def test_what_cannot_be_run_is_told_alike(lab, oci, program):
    code, words = CANNOT[program]
    wanted = f"exec failed: unable to start container process: {words}"
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        assert await run_in(runtime, container, program, "-x") == (code, "", f"{wanted}\n")
        assert await run_in(runtime, container, program, tty=True) == (code, f"{wanted}\r\n", "")
        other = await runtime.create_container(sandbox, lab.container(program, name="other"))
        with pytest.raises(ContainerError) as raised:
            await runtime.start_container(other)
        assert str(raised.value).endswith(f"unable to start container process: {words}")


SYSCTLS = {
    "net.ipv4.nosuch": "open /proc/sys/net/ipv4/nosuch: no such file or directory",
    "kernel.panic": 'sysctl "kernel.panic" is not in a separate kernel namespace',
}


@pytest.mark.parametrize("name", SYSCTLS)
async def test_sysctls_that_cannot_be_set_are_told_alike(lab, oci, name):
    async with lab.runtime(oci) as runtime:
        config = lab.sandbox(sysctls={name: "1"})
        with pytest.raises(ContainerError) as raised:
            await runtime.run_sandbox(config)
        assert str(raised.value).endswith(SYSCTLS[name])


async def test_a_missing_volume_is_told_alike(lab, oci):
    async with lab.runtime(oci) as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("true", mounts=[Mount(Path("/no/such"), "/x")])
        container = await runtime.create_container(sandbox, config)
        with pytest.raises(ContainerError, match="stat /no/such: no such file or directory"):
            await runtime.start_container(container)


async def test_roots_may_lie_where_no_device_can_be_opened(lab, oci):
    """As /run under systemd: the runtime is tried and works where /run is mounted nodev."""
    mount = ["mount", "-t", "tmpfs", "-o", "nodev,nosuid", "run", str(lab.run_dir)]
    await asyncio.to_thread(subprocess.run, mount, check=True)
    try:
        async with lab.runtime(oci) as runtime:
            sandbox = await runtime.run_sandbox(lab.sandbox())
            container = await start(runtime, sandbox, lab.container("sleep", "99"))
            code, out, _ = await run_in(
                runtime, container, "sh", "-c", "echo x > /dev/null; wc -c </dev/null"
            )
            assert (code, out) == (0, "0\n")
            await runtime.destroy_all()
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(lab.run_dir)], check=True)
