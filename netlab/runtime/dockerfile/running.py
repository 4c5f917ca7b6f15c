"""Carries out RUN: a container of the lab's kind over the root that is being built.

What a Dockerfile runs is a stranger's: it sees the image and nothing of the machine. It has
namespaces of its own, a network without any link, the rights of a pod's container that says
nothing, the default filter of system calls, bounds of processes and of time, and no input.
Blocking.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from netlab.errors import ImageError
from netlab.runtime.account_files import read_accounts
from netlab.runtime.capabilities import granted_capabilities, own_capabilities
from netlab.runtime.cgroups import Hierarchy, kill_processes
from netlab.runtime.cri import (
    ContainerConfig,
    ContainerSecurity,
    LinuxResources,
    PodIdentity,
    SandboxConfig,
)
from netlab.runtime.dockerfile.planning import RunStep
from netlab.runtime.limits import oci_resources
from netlab.runtime.recipe import UnpackedImage
from netlab.runtime.runtime_errors import runtime_error
from netlab.runtime.seccomp import default_profile
from netlab.runtime.spec import ContainerPlace, ProcessRights, container_spec
from netlab.runtime.users import process_user

TIMEOUT_S = 900.0
_PROCESSES_MAX = 2048
_SECURITY = ContainerSecurity(seccomp="RuntimeDefault")
_NAMESPACES = ("mount", "cgroup", "uts", "ipc", "pid", "network")


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a build's commands run. folder: the bundle's; group: the control group."""

    oci: Path
    folder: Path
    group: str
    hierarchies: Sequence[Hierarchy]


def run_step(
    step: RunStep, image: UnpackedImage, root: Path, shop: Workshop, tell: Callable[[str], None]
) -> None:
    """Run a step's command in a root; tell: is given its output, line by line.

    Raises: ImageError with file and line when it fails.
    """
    bundle = shop.folder / "bundle"
    bundle.mkdir(exist_ok=True)
    log = bundle / "log"
    log.unlink(missing_ok=True)
    spec = _spec(step, image, root, shop)
    (bundle / "config.json").write_bytes(msgspec.json.encode(spec))
    argv = [str(shop.oci), "--root", str(shop.folder / "oci"), "--log", str(log)]
    argv += ["--log-format", "json", "run", "--bundle", str(bundle), shop.folder.name]
    with subprocess.Popen(
        ["timeout", "--signal=KILL", str(TIMEOUT_S), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            _pass_on(process.stdout, tell)
        finally:
            code = process.wait()
            kill_processes(shop.hierarchies, shop.group)
            _forget(shop)
    if code == 0:
        return
    refused = runtime_error(log.read_text(errors="replace")) if log.exists() else ""
    what = " ".join(step.argv[2:] if step.argv[:2] == ("/bin/sh", "-c") else step.argv)
    raise ImageError(f"{step.place}: RUN {what}: {refused or f'ended with code {code}'}")


def _pass_on(output: IO[bytes] | None, tell: Callable[[str], None]) -> None:
    for line in output or ():
        tell(line.decode(errors="replace").rstrip("\n"))


def _forget(shop: Workshop) -> None:
    argv = [str(shop.oci), "--root", str(shop.folder / "oci"), "delete", "--force"]
    subprocess.run([*argv, shop.folder.name], capture_output=True, check=False, timeout=60)


def _spec(step: RunStep, image: UnpackedImage, root: Path, shop: Workshop) -> dict[str, Any]:
    config = ContainerConfig(
        "build",
        0,
        "",
        Path("/dev/null"),
        command=step.argv,
        env=step.config.env,
        working_dir=step.config.working_dir,
        security=_SECURITY,
    )
    capabilities = granted_capabilities(_SECURITY, own_capabilities())
    rights = ProcessRights(
        user=process_user(_SECURITY, step.config.user, read_accounts(root)),
        capabilities=capabilities,
        resources=oci_resources(LinuxResources(pids_limit=_PROCESSES_MAX), shop.hierarchies),
        seccomp=default_profile(capabilities),
    )
    shm, empty = shop.folder / "shm", shop.folder / "empty"
    for folder in (shm, empty):
        folder.mkdir(exist_ok=True)
    place = ContainerPlace(root, shop.group, 0, shm, hostname=empty, empty=empty)
    sandbox = SandboxConfig(PodIdentity("", "build", ""), 0, "build", netns=None)
    spec = container_spec(config, sandbox=sandbox, image=image, place=place, rights=rights)
    spec["hostname"] = "build"
    spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/etc/hostname"]
    spec["linux"]["namespaces"] = [{"type": kind} for kind in _NAMESPACES]
    return spec
