"""Whom containers run as and what they may, on the real kernel."""

import asyncio
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime.capabilities import own_capabilities
from netlab.runtime.cri import ContainerSecurity, Mount
from netlab.runtime.mounts import mounts_below, unmount
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

SLEEP = ("sleep", "99")


async def started(lab, runtime, security=None, *, name="c", sandbox=None, **more):
    sandbox = sandbox or await runtime.run_sandbox(lab.sandbox())
    config = lab.container(*SLEEP, name=name, security=security or ContainerSecurity(), **more)
    return await start(runtime, sandbox, config)


async def shell(runtime, container, script):
    """Return (code, standard output) of a shell in a container."""
    code, out, _ = await run_in(runtime, container, "sh", "-c", script)
    return code, out.strip()


USERS = {
    "as the image says": (ContainerSecurity(), "0:0 0"),
    "a number": (ContainerSecurity(uid=1234), "1234:0 0"),
    "a user and a group": (ContainerSecurity(uid=1234, gid=77), "1234:77 77"),
    "groups": (ContainerSecurity(uid=1, gid=2, groups=(2000, 3000)), "1:2 2 2000 3000"),
}


@pytest.mark.parametrize("case", USERS)
async def test_users_and_groups_are_the_processes_and_execs(lab, case):
    security, wanted = USERS[case]
    async with lab.runtime() as runtime:
        container = await started(lab, runtime, security)
        _, out = await shell(runtime, container, "echo $(id -u):$(id -g) $(id -G)")
        assert out == wanted
        pid = (await state_of(runtime, container)).pid
        status = dict(
            line.split(":\t", 1) for line in read_text(f"/proc/{pid}/status").splitlines()
        )
        uid, _, rest = wanted.partition(":")
        assert status["Uid"].split()[0] == uid
        assert {int(word) for word in status["Groups"].split()} == {
            int(word) for word in rest.split(" ", 1)[1].split()
        } - ({int(rest.split()[0])} - set(map(int, status["Groups"].split())))


CAPABILITIES = {
    "defaults": (ContainerSecurity(), "00000000a80425fb", "00000000a80425fb"),
    "nothing": (ContainerSecurity(drop_capabilities=("ALL",)), "0" * 16, "0" * 16),
    "one alone": (
        ContainerSecurity(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)),
        "0000000000000400",
        "0000000000000400",
    ),
    "for a user who is not root": (ContainerSecurity(uid=9), "0" * 16, "00000000a80425fb"),
}


@pytest.mark.parametrize("case", CAPABILITIES)
async def test_capabilities(lab, case):
    security, effective, bounding = CAPABILITIES[case]
    async with lab.runtime() as runtime:
        container = await started(lab, runtime, security)
        _, out = await shell(runtime, container, "grep -E 'Cap(Eff|Bnd|Amb)' /proc/self/status")
        assert out.split() == [
            "CapEff:", effective, "CapBnd:", bounding, "CapAmb:", "0" * 16,
        ]  # fmt: skip


async def test_a_dropped_capability_is_missed(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        free = await started(lab, runtime, sandbox=sandbox, name="free")
        bound = ContainerSecurity(drop_capabilities=("NET_RAW", "CHOWN"))
        bound = await started(lab, runtime, bound, sandbox=sandbox, name="bound")
        script = "touch /f; chown 5 /f"
        assert (await shell(runtime, free, script))[0] == 0
        assert (await shell(runtime, bound, script))[0] == 1
        admin = ContainerSecurity(add_capabilities=("NET_ADMIN",))
        admin = await started(lab, runtime, admin, sandbox=sandbox, name="admin")
        add = "ip link add type veth"
        assert (await shell(runtime, free, add))[0] != 0
        assert (await shell(runtime, admin, add))[0] == 0


async def test_a_privileged_container_has_the_machine(lab):
    async with lab.runtime() as runtime:
        container = await started(lab, runtime, ContainerSecurity(privileged=True))
        _, out = await shell(runtime, container, "grep CapEff /proc/self/status")
        own = sum(1 for bit in bin(int(out.split()[1], 16)) if bit == "1")
        assert own == len(own_capabilities())
        assert (await shell(runtime, container, "mount -t tmpfs t /mnt"))[0] == 0
        assert (await shell(runtime, container, "ls /dev"))[1].split() != []
        hosts = {path.name for path in Path("/dev").iterdir()}
        assert set((await shell(runtime, container, "ls /dev"))[1].split()) >= hosts - {"console"}
        _, mounts = await shell(runtime, container, "cat /proc/mounts")
        sysfs = next(line for line in mounts.splitlines() if line.split()[2] == "sysfs")
        assert "rw" in sysfs.split()[3].split(",")
        assert not any(line.split()[1] == "/proc/kcore" for line in mounts.splitlines())
        plain = await started(lab, runtime, name="plain")
        assert (await shell(runtime, plain, "mount -t tmpfs t /mnt"))[0] != 0


async def test_privileges_can_be_locked_and_the_root_read_only(lab):
    async with lab.runtime() as runtime:
        security = ContainerSecurity(no_new_privileges=True, read_only_root=True)
        container = await started(lab, runtime, security)
        _, out = await shell(runtime, container, "grep NoNewPrivs /proc/self/status")
        assert out.split()[1] == "1"
        code, _, error = await run_in(runtime, container, "touch", "/f")
        assert code == 1
        assert "Read-only file system" in error
        assert (await shell(runtime, container, "echo x > /dev/shm/f"))[0] == 0
        plain = await started(lab, runtime, name="plain")
        _, out = await shell(runtime, plain, "grep NoNewPrivs /proc/self/status; touch /f")
        assert out.split()[1] == "0"


async def test_system_calls_are_filtered(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        free = await started(lab, runtime, sandbox=sandbox, name="free")
        seccomp = "grep ^Seccomp: /proc/self/status; "
        assert (await shell(runtime, free, seccomp))[1].split()[1] == "0"
        default = ContainerSecurity(seccomp="RuntimeDefault")
        held = await started(lab, runtime, default, sandbox=sandbox, name="held")
        assert (await shell(runtime, held, seccomp))[1].split()[1] == "2"
        # everyday things go on
        everyday = "echo a | sort; sleep 0; mkdir /x; chown 3 /x; date; ls -l / | wc -l"
        assert (await shell(runtime, held, everyday))[0] == 0
        assert (await shell(runtime, free, "unshare -U true"))[0] == 0
        assert (await shell(runtime, held, "unshare -U true"))[0] != 0


async def test_a_seccomp_profile_of_ones_own(lab):
    profile = lab.base / "no-mkdir.json"
    refused = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}))
    broken = lab.base / "broken.json"
    broken.write_text("{}")
    async with lab.runtime() as runtime:
        own = ContainerSecurity(seccomp=str(profile))
        container = await started(lab, runtime, own)
        assert (await shell(runtime, container, "touch /f; mkdir /d")) == (1, "")
        for path, cause in ((broken, "no profile"), (lab.base / "none", "No such file")):
            with pytest.raises(ContainerError, match=cause):
                await started(lab, runtime, ContainerSecurity(seccomp=str(path)), name="bad")


async def test_who_must_not_be_root_is_not(lab):
    async with lab.runtime() as runtime:
        with pytest.raises(ContainerError, match="image will run as root"):
            await started(lab, runtime, ContainerSecurity(run_as_non_root=True))
        assert await runtime.list_containers() == []
        await started(lab, runtime, ContainerSecurity(run_as_non_root=True, uid=7))


async def test_the_hosts_namespaces_are_used_when_asked(lab):
    hosts = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("pid", "ipc", "net")]
    read = "for n in pid ipc net; do readlink /proc/self/ns/$n; done"
    async with lab.runtime() as runtime:
        config = replace(lab.sandbox(), host_network=True, host_pid=True, host_ipc=True, netns=None)
        sandbox = await runtime.run_sandbox(config)
        container = await started(lab, runtime, sandbox=sandbox)
        assert (await shell(runtime, container, read))[1].split() == hosts
        assert (await shell(runtime, container, f"kill -0 {os.getpid()}"))[0] == 0
        assert (await shell(runtime, container, "echo > /sys/kernel/x"))[0] != 0
        # what it leaves behind ends with it, though the pid namespace does not
        await shell(runtime, container, "sleep 77 </dev/null >/dev/null 2>&1 &")
        await runtime.stop_container(container, grace_period_s=0)
        other = await runtime.run_sandbox(lab.sandbox(uid="u2"))
        container = await started(lab, runtime, sandbox=other, name="other")
        assert not set((await shell(runtime, container, read))[1].split()) & set(hosts)


async def test_the_networks_of_a_pod_can_be_a_nodes(lab):
    """A pod with hostNetwork on a node that has a network namespace of its own."""
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(replace(lab.sandbox(), host_network=True))
        container = await started(lab, runtime, sandbox=sandbox)
        _, net = await shell(runtime, container, "readlink /proc/self/ns/net")
        assert net == f"net:[{lab.netns.stat().st_ino}]"


async def test_sysctls_are_the_pods(lab):
    async with lab.runtime() as runtime:
        sysctls = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1"}
        sandbox = await runtime.run_sandbox(replace(lab.sandbox(), sysctls=sysctls))
        container = await started(lab, runtime, sandbox=sandbox)
        for name, value in sysctls.items():
            _, out = await shell(runtime, container, f"cat /proc/sys/{name.replace('.', '/')}")
            assert out == value
        with pytest.raises(ContainerError, match="net/nonsense: no such file"):
            await runtime.run_sandbox(replace(lab.sandbox(uid="u2"), sysctls={"net.nonsense": "1"}))


async def test_a_container_joins_the_processes_of_another(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        target = await started(lab, runtime, sandbox=sandbox, name="target")
        debug = await started(lab, runtime, sandbox=sandbox, name="debug", target_container=target)
        _, out = await shell(runtime, debug, "readlink /proc/self/ns/pid; ps -o pid,args")
        assert "1 sleep 99" in " ".join(out.split())
        assert out.split()[0] == (await shell(runtime, target, "readlink /proc/self/ns/pid"))[1]
        await runtime.stop_container(target, grace_period_s=0)
        await until_exited(runtime, target)
        with pytest.raises(ContainerError, match="is not running"):
            await started(lab, runtime, sandbox=sandbox, name="late", target_container=target)


async def test_pause_reaps_the_zombies_of_a_shared_process_namespace(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox(shared=True))
        container = await started(lab, runtime, sandbox=sandbox)
        # the middle shell goes first, so its child becomes pause's
        orphan = "(sh -c 'sleep 0.2; exit 3' &) ; ps -o ppid,args | grep 'sleep 0.[2]'"
        code, out = await shell(runtime, container, f"sleep 0; {orphan}")
        assert code == 0
        assert "1 " in out
        await asyncio.sleep(0.5)
        _, states = await shell(runtime, container, "cat /proc/[0-9]*/stat | cut -d' ' -f3")
        assert "Z" not in states.split()


def mount(*words):
    subprocess.run(["mount", *words], check=True)


async def test_a_mount_made_outside_later_arrives_where_it_should(lab):
    shared = lab.base / "shared"
    for name in ("in", "out", "slave"):
        (shared / name).mkdir(parents=True)
    mount("--bind", shared, shared)
    try:
        mount("--make-shared", shared)
        async with lab.runtime() as runtime:
            mounts = (
                Mount(shared, "/private"),
                Mount(shared, "/slave", propagation="rslave"),
                Mount(shared, "/shared", propagation="rshared"),
            )
            security = ContainerSecurity(privileged=True)
            container = await started(lab, runtime, security, mounts=mounts)
            mount("-t", "tmpfs", "t", shared / "in")
            (shared / "in" / "f").touch()
            for where, seen in (("private", False), ("slave", True), ("shared", True)):
                code, _ = await shell(runtime, container, f"test -e /{where}/in/f")
                assert (code == 0) is seen, where
            await shell(runtime, container, "mount -t tmpfs t /shared/out")
            await shell(runtime, container, "mount -t tmpfs t /slave/slave")
            assert (shared / "out").is_mount()
            assert not (shared / "slave").is_mount()
    finally:
        for point in mounts_below(shared):
            unmount(point)


async def test_a_pods_stop_signal_replaces_the_images(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        script = "trap 'exit 4' USR1; trap '' TERM; while :; do sleep 0.05; done"
        config = lab.container("sh", "-c", script, stop_signal="SIGUSR1")
        container = await start(runtime, sandbox, config)
        await asyncio.sleep(0.2)
        await runtime.stop_container(container, grace_period_s=5)
        assert (await until_exited(runtime, container)).exit_code == 4
