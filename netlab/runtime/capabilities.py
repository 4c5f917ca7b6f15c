"""Capabilities: which there are, which this machine can hand out, and which a container gets.

Pure but for ``own_capabilities``. Names carry ``CAP_`` here, as OCI specs want them.

Source: capabilities(7), linux/capability.h for the numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from netlab.runtime.cri import ContainerSecurity

ALL_CAPABILITIES: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the kernel's order: the place is the number."""

DEFAULT_CAPABILITIES: Final = (
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
    "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip
"""What containerd and Docker give a container that says nothing."""


def available_capabilities(status: str) -> frozenset[str]:
    """Return what a process with this ``/proc/PID/status`` can hand out.

    Asking for one outside the bounding set makes the OCI runtime fail.
    """
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(
                name for number, name in enumerate(ALL_CAPABILITIES) if bits >> number & 1
            )
    return frozenset(ALL_CAPABILITIES)


def own_capabilities() -> frozenset[str]:
    """Return what this process can hand out."""
    return available_capabilities(Path("/proc/self/status").read_text())


def granted_capabilities(security: ContainerSecurity, available: Collection[str]) -> list[str]:
    """Return a container's capabilities in order of name: the defaults, less what it drops, and
    what it adds; all there are when it is privileged.

    What this machine cannot hand out is left out, as on a node whose runtime lacks it.
    """
    if security.privileged:
        wanted = set(ALL_CAPABILITIES)
    else:
        wanted = set(DEFAULT_CAPABILITIES)
        dropped = {f"CAP_{name}" for name in security.drop_capabilities}
        added = {f"CAP_{name}" for name in security.add_capabilities}
        if "CAP_ALL" in added:
            wanted = set(ALL_CAPABILITIES)
        if "CAP_ALL" in dropped:
            wanted = set(ALL_CAPABILITIES) if "CAP_ALL" in added else set()
        wanted = (wanted - dropped) | (added - {"CAP_ALL"})
    return sorted(wanted & set(available))
