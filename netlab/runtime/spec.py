"""OCI specs: what the runtime is told about a sandbox and about a container.

Pure. Mirrors containerd's CRI plugin (``internal/cri/server``, ``pkg/oci``): Docker's and
containerd's default capabilities, masked and read-only kernel files, devices denied but for the
harmless ones, privileges not locked unless asked. A container has its own mount, cgroup and pid
namespace and joins the pod's network, ipc and uts namespaces; a privileged one sees the machine's
devices and may write to its kernel files.

netlab leaves out AppArmor and SELinux labels and user namespaces. No rlimits are set: what the
daemon has is inherited, since raising one needs CAP_SYS_RESOURCE, which nested machines lack.

Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.runtime.cri import ContainerConfig, Mount, SandboxConfig
from netlab.runtime.recipe import DEFAULT_PATH, ImageConfig, UnpackedImage
from netlab.runtime.users import ProcessUser

OCI_VERSION = "1.0.2"

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
PAUSE_ARGV = ("/pause", "-P")
PAUSE_OOM_SCORE = -998
"""Pause is about the last process to be killed: its pod would be lost with it."""


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """Where a container lives: its root, its pod's namespaces and files.

    pause_pid: the process whose namespaces are joined; shm: None where the host's is used;
    hostname: the file for /etc/hostname; empty: a folder to cover others with; target_pid: the
    process whose pid namespace is joined, 0 for none.
    """

    root: Path
    cgroup: str
    pause_pid: int
    shm: Path | None
    hostname: Path
    empty: Path
    target_pid: int = 0


@dataclass(frozen=True, slots=True)
class ProcessRights:
    """A container's rights, as far as the machine decides them too.

    capabilities: what it gets. resources: the ``linux.resources`` part without devices.
    oom_score_adj: None leaves the daemon's own. seccomp: the ``linux.seccomp`` part, None for no
    filter.
    """

    user: ProcessUser
    capabilities: Sequence[str]
    resources: Mapping[str, Any]
    oom_score_adj: int | None = None
    seccomp: Mapping[str, Any] | None = None


def sandbox_spec(
    config: SandboxConfig,
    *,
    root: Path,
    cgroup: str,
    argv: Sequence[str] = PAUSE_ARGV,
    lowest_oom_score: int = PAUSE_OOM_SCORE,
) -> dict[str, Any]:
    """Return the spec of a pause container, which makes the pod's ipc and uts namespaces (and
    the pid namespace that its containers may share).
    """
    user = ProcessUser(config.uid, config.gid)
    process = _process(argv, {"PATH": DEFAULT_PATH}, "/", (), user, tty=False)
    process["noNewPrivileges"] = True
    process["oomScoreAdj"] = max(PAUSE_OOM_SCORE, lowest_oom_score)
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(root), "readonly": True},
        "hostname": config.hostname,
        "mounts": [_PROC, _DEV],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": _sandbox_namespaces(config),
            "resources": {"devices": _NO_DEVICES},
            "sysctl": dict(config.sysctls),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


def container_spec(
    config: ContainerConfig,
    *,
    sandbox: SandboxConfig,
    image: UnpackedImage,
    place: ContainerPlace,
    rights: ProcessRights,
) -> dict[str, Any]:
    """Return the spec of a container."""
    security = config.security
    env = container_env(config, image.config, hostname=sandbox.hostname)
    working_dir = config.working_dir or image.config.working_dir
    process = _process(
        container_argv(config, image.config),
        env,
        working_dir,
        rights.capabilities,
        rights.user,
        tty=config.tty,
    )
    process["noNewPrivileges"] = security.no_new_privileges
    if rights.oom_score_adj is not None:
        process["oomScoreAdj"] = rights.oom_score_adj
    devices = _ALL_DEVICES if security.privileged else _NO_DEVICES
    linux: dict[str, Any] = {
        "cgroupsPath": place.cgroup,
        "namespaces": _container_namespaces(sandbox, place),
        "resources": {"devices": devices, **rights.resources},
    }
    if not (security.privileged or security.unmasked_proc):
        linux["maskedPaths"] = list(MASKED_PATHS)
        linux["readonlyPaths"] = list(READONLY_PATHS)
    if rights.seccomp is not None:
        linux["seccomp"] = dict(rights.seccomp)
    if any(mount.propagation == "rshared" for mount in config.mounts):
        linux["rootfsPropagation"] = "rshared"
    elif any(mount.propagation == "rslave" for mount in config.mounts):
        linux["rootfsPropagation"] = "rslave"
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(place.root), "readonly": security.read_only_root},
        "mounts": _container_mounts(config, image, place),
        "linux": linux,
    }


def exec_process(process: Mapping[str, Any], argv: Sequence[str], *, tty: bool) -> dict[str, Any]:
    """Return what a further process in a container is: all of its first one, ``process`` of its
    spec, but for the command, the terminal and, on a terminal, TERM.

    Mirrors containerd's ``execInContainer``. Nothing is left to the OCI runtime: of a command line
    crun takes root, with full rights, where runc takes the container's.
    """
    env = list(process["env"])
    if tty:
        env = [*(word for word in env if not word.startswith("TERM=")), _TERM]
    return {**process, "args": list(argv), "env": env, "terminal": tty}


def container_argv(config: ContainerConfig, image: ImageConfig) -> list[str]:
    """Return the process to run: a pod's command replaces the image's entrypoint and cmd, its
    args replace cmd alone.

    Source: https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
    """
    if config.command:
        return [*config.command, *config.args]
    return [*image.entrypoint, *(config.args or image.cmd)]


def container_env(config: ContainerConfig, image: ImageConfig, *, hostname: str) -> dict[str, str]:
    """Return the environment in the order that ``env`` in a pod prints it: PATH, HOSTNAME, the
    image's, the pod's. A pod's value replaces an image's in its place.
    """
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if config.tty:
        name, _, value = _TERM.partition("=")
        env[name] = value
    return {**env, **image.env, **config.env}


_TERM = "TERM=xterm"
"""What containerd tells a process that has a terminal."""

_PROC = {
    "destination": "/proc",
    "type": "proc",
    "source": "proc",
    "options": ["nosuid", "noexec", "nodev"],
}
_DEV = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}
_NO_DEVICES = [{"allow": False, "access": "rwm"}]
_ALL_DEVICES = [{"allow": True, "access": "rwm"}]


def _process(
    argv: Sequence[str],
    env: Mapping[str, str],
    working_dir: str,
    capabilities: Sequence[str],
    user: ProcessUser,
    *,
    tty: bool,
) -> dict[str, Any]:
    granted = list(capabilities)
    # who is not root starts without effective rights; programs with file capabilities regain them
    own = granted if user.uid == 0 else []
    # every set by name: what is not said, each OCI runtime fills in its own way
    sets = {"bounding": granted, "effective": own, "permitted": own}
    return {
        "terminal": tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(argv),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": working_dir,
        "capabilities": {**sets, "inheritable": [], "ambient": []},
    }


def _sandbox_namespaces(config: SandboxConfig) -> list[dict[str, str]]:
    # a uts namespace for pods of the host's network too: their node's name is not the machine's
    namespaces = [{"type": "mount"}, {"type": "uts"}]
    if not config.host_pid:
        namespaces.append({"type": "pid"})
    if not config.host_ipc:
        namespaces.append({"type": "ipc"})
    if config.netns is not None:
        namespaces.append({"type": "network", "path": str(config.netns)})
    return namespaces


def _container_namespaces(sandbox: SandboxConfig, place: ContainerPlace) -> list[dict[str, str]]:
    own = f"/proc/{place.pause_pid}/ns"
    namespaces = [
        {"type": "mount"},
        {"type": "cgroup"},
        {"type": "uts", "path": f"{own}/uts"},
    ]
    if place.target_pid:
        namespaces.append({"type": "pid", "path": f"/proc/{place.target_pid}/ns/pid"})
    elif sandbox.share_process_namespace:
        namespaces.append({"type": "pid", "path": f"{own}/pid"})
    elif not sandbox.host_pid:
        namespaces.append({"type": "pid"})
    if sandbox.netns is not None:
        namespaces.append({"type": "network", "path": str(sandbox.netns)})
    if not sandbox.host_ipc:
        namespaces.append({"type": "ipc", "path": f"{own}/ipc"})
    return namespaces


def _container_mounts(
    config: ContainerConfig, image: UnpackedImage, place: ContainerPlace
) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    kernel = "rw" if config.security.privileged else "ro"
    dev = [_bind(Mount(Path("/dev"), "/dev"))] if config.security.privileged else [_DEV]
    shm = Path("/dev/shm") if place.shm is None else place.shm  # noqa: S108 the host's own
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        *(_bind(mount, "nosuid", "nodev") for mount in image.binds),
        *(_bind(Mount(place.empty, path, read_only=True)) for path in image.hidden),
        _PROC,
        *dev,
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, kernel]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*quiet, "relatime", kernel],
        },
        _bind(Mount(shm, "/dev/shm")),  # noqa: S108 the pod's own
        _bind(Mount(place.hostname, "/etc/hostname")),
        *(_bind(mount) for mount in sorted(config.mounts, key=_depth)),
    ]


def _depth(mount: Mount) -> int:
    # A mount inside another one's target must come after it.
    return len(Path(mount.target).parts)


def _bind(mount: Mount, *flags: str) -> dict[str, Any]:
    # Not recursive for the host's folders: what is mounted below them is nobody's business.
    # A volume is recursive: what a user mounted inside it belongs to it.
    kind = "bind" if flags else "rbind"
    mode = "ro" if mount.read_only else "rw"
    return {
        "destination": mount.target,
        "type": "bind",
        "source": str(mount.source),
        "options": [kind, mount.propagation, mode, *flags],
    }
