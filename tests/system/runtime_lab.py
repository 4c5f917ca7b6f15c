"""A lab of containers for the runtime's system tests: fresh, uniquely named, nothing left."""

import asyncio
import contextlib
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlab.clock import SystemClock
from netlab.errors import HostError
from netlab.runtime.cgroups import host_hierarchies
from netlab.runtime.cleanup import destroy_lab_containers
from netlab.runtime.cri import ContainerConfig, PodIdentity, SandboxConfig
from netlab.runtime.engine import OciRuntime
from netlab.runtime.mounts import mounts_below
from netlab.runtime.probe import CANDIDATES


@dataclass
class Lab:
    """A lab of its own: unique name, folders, one network namespace."""

    name: str
    base: Path
    netns: Path

    @property
    def run_dir(self):
        return self.base / "run"

    @property
    def state_dir(self):
        return self.base / "state"

    def runtime(self, oci=None):
        """Return a runtime; oci: the one OCI runtime that it may use."""
        return OciRuntime(
            oci_runtimes=(oci,) if oci else CANDIDATES,
            run_dir=self.run_dir,
            state_dir=self.state_dir,
            lab_name=self.name,
            clock=SystemClock(),
        )

    def sandbox(self, *, uid="u1", shared=False, **more):
        pod = PodIdentity("default", "web", uid)
        return SandboxConfig(pod, 0, "web-1", self.netns, share_process_namespace=shared, **more)

    def container(self, *command, name="c", image="busybox", **more):
        log = self.state_dir / "log" / f"{name}.log"
        return ContainerConfig(name, 0, image, log, command=command, **more)

    def log(self, name="c"):
        return (self.state_dir / "log" / f"{name}.log").read_text()

    def left_overs(self):
        """Return what of this lab is anywhere in the kernel."""
        groups = [
            str(h.mount_point / "netlab" / self.name)
            for h in host_hierarchies()
            if (h.mount_point / "netlab" / self.name).exists()
        ]
        processes = [
            pid
            for pid in filter(str.isdigit, (path.name for path in Path("/proc").iterdir()))
            if self.name in read_text(f"/proc/{pid}/cmdline") and not is_zombie(pid)
        ]
        return [*groups, *mounts_below(self.base), *processes]


def read_text(path):
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace")
    return ""


def is_zombie(pid):
    return ") Z " in read_text(f"/proc/{pid}/stat")


@pytest.fixture(name="lab")
def lab_fixture():
    name = f"rt{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    made = Lab(name, Path("/var/tmp") / name, Path("/run/netns") / name)
    made.run_dir.mkdir(parents=True)
    made.state_dir.mkdir()
    try:
        yield made
        destroy_lab_containers(made.run_dir, made.state_dir, name)
        assert made.left_overs() == []
        assert not (made.run_dir / "runtime").exists()
        assert not (made.state_dir / "containers").exists()
    finally:
        destroy_lab_containers(made.run_dir, made.state_dir, name)
        subprocess.run(["ip", "netns", "del", name], check=True)
        shutil.rmtree(made.base)


@pytest.fixture(name="oci", params=CANDIDATES)
async def oci_fixture(request, lab):
    """An OCI runtime that works here; run under tests/support/unified for crun on a hybrid host."""
    try:
        async with lab.runtime(request.param):
            pass
    except HostError as error:
        pytest.skip(str(error))
    return request.param


async def start(runtime, sandbox_id, config):
    container_id = await runtime.create_container(sandbox_id, config)
    await runtime.start_container(container_id)
    return container_id


async def run_in(runtime, container_id, *argv, stdin=None, tty=False):
    """Return (code, stdout, stderr) of a process run in a container."""
    process = await runtime.exec(container_id, argv, stdin=stdin is not None, tty=tty)
    out = {1: b"", 2: b""}
    try:
        if stdin is not None:
            await process.write_stdin(stdin)
            await process.close_stdin()
        while piece := await process.read():
            out[piece[0]] += piece[1]
        return await process.wait(), out[1].decode(), out[2].decode()
    finally:
        await process.close()


async def state_of(runtime, container_id):
    return next(s for s in await runtime.list_containers() if s.id == container_id)


async def until_exited(runtime, container_id):
    async with asyncio.timeout(20):
        async for exited in runtime.exits():
            if exited == container_id:
                return await state_of(runtime, container_id)
    raise AssertionError("unreachable")
