"""OCI specs: what the runtime is told about a sandbox and about a container.

Pure. Mirrors containerd's CRI plugin (``internal/cri/server``, ``pkg/oci``) for a container
without a securityContext: Docker's and containerd's default capabilities, masked and read-only
kernel files, devices denied but for the harmless ones, privileges not locked (``no_new_privs`` is
set by ``allowPrivilegeEscalation: false`` only). A container has its own mount, cgroup and pid
namespace and joins the pod's network, ipc and uts namespaces.

netlab leaves out seccomp (Kubernetes' own default is Unconfined), AppArmor and SELinux labels,
user namespaces and oom scores. No rlimits are set: what the daemon has is inherited, since
raising one needs CAP_SYS_RESOURCE, which nested machines lack.

Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.runtime.cri import ContainerConfig, Mount, SandboxConfig
from netlab.runtime.recipe import DEFAULT_PATH, ImageConfig, UnpackedImage

OCI_VERSION = "1.0.2"

DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
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


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """Where a container lives: its root, its pod's namespaces and files.

    pause_pid: the process whose namespaces are joined; hostname: the file for /etc/hostname;
    empty: a folder to cover others with.
    """

    root: Path
    cgroup: str
    pause_pid: int
    shm: Path
    hostname: Path
    empty: Path


def sandbox_spec(
    config: SandboxConfig, *, root: Path, cgroup: str, argv: Sequence[str] = PAUSE_ARGV
) -> dict[str, Any]:
    """Return the spec of a pause container, which makes the pod's ipc and uts namespaces (and
    the pid namespace that its containers may share).
    """
    namespaces = [
        {"type": "pid"},
        {"type": "ipc"},
        {"type": "uts"},
        {"type": "mount"},
        {"type": "network", "path": str(config.netns)},
    ]
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(argv, {"PATH": DEFAULT_PATH}, "/", (), tty=False),
        "root": {"path": str(root), "readonly": True},
        "hostname": config.hostname,
        "mounts": [_PROC, _DEV],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "resources": _RESOURCES,
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
    capabilities: Collection[str],
) -> dict[str, Any]:
    """Return the spec of a container. capabilities: what this machine may hand out at all."""
    granted = [name for name in DEFAULT_CAPABILITIES if name in capabilities]
    env = container_env(config, image.config, hostname=sandbox.hostname)
    working_dir = config.working_dir or image.config.working_dir
    return {
        "ociVersion": OCI_VERSION,
        "process": _process(
            container_argv(config, image.config), env, working_dir, granted, tty=config.tty
        ),
        "root": {"path": str(place.root), "readonly": False},
        "mounts": _container_mounts(config, image, place),
        "linux": {
            "cgroupsPath": place.cgroup,
            "namespaces": _container_namespaces(sandbox, place.pause_pid),
            "resources": _RESOURCES,
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


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
        env["TERM"] = "xterm"
    return {**env, **image.env, **config.env}


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
_RESOURCES = {"devices": [{"allow": False, "access": "rwm"}]}


def _process(
    argv: Sequence[str],
    env: Mapping[str, str],
    working_dir: str,
    capabilities: Sequence[str],
    *,
    tty: bool,
) -> dict[str, Any]:
    granted = list(capabilities)
    return {
        "terminal": tty,
        "user": {"uid": 0, "gid": 0},
        "args": list(argv),
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": working_dir,
        "capabilities": {"bounding": granted, "effective": granted, "permitted": granted},
        "noNewPrivileges": False,
    }


def _container_namespaces(sandbox: SandboxConfig, pause_pid: int) -> list[dict[str, str]]:
    own = f"/proc/{pause_pid}/ns"
    pid = {"type": "pid"}
    if sandbox.share_process_namespace:
        pid["path"] = f"{own}/pid"
    return [
        pid,
        {"type": "mount"},
        {"type": "cgroup"},
        {"type": "network", "path": str(sandbox.netns)},
        {"type": "ipc", "path": f"{own}/ipc"},
        {"type": "uts", "path": f"{own}/uts"},
    ]


def _container_mounts(
    config: ContainerConfig, image: UnpackedImage, place: ContainerPlace
) -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        *(_bind(mount, "nosuid", "nodev") for mount in image.binds),
        *(_bind(Mount(place.empty, path, read_only=True)) for path in image.hidden),
        _PROC,
        _DEV,
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*quiet, "relatime", "ro"],
        },
        _bind(Mount(place.shm, "/dev/shm")),  # noqa: S108 the pod's own
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
        "options": [kind, "rprivate", mode, *flags],
    }
