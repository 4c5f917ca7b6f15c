"""Reads what the machine is: processors, memory, disk, kernel, distribution, identity.

Mirrors the parts of cadvisor's machine info that end up in a Node's ``status``. Every function
reads /proc, /sys or /etc anew and answers "" or 0 where a file is missing.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from netlab.api.release import go_architecture


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts a Node object shows; sizes in KiB, architecture in Go's words."""

    processors: int
    memory_kib: int
    disk_kib: int
    architecture: str
    kernel_version: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    swap_bytes: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """How little is left: memory in bytes, disk and process ids as shares of the whole."""

    memory_available_bytes: int
    disk_available_share: float
    pids_available_share: float


def parse_os_release(text: str) -> str:
    """Return PRETTY_NAME of an os-release file, or ``Linux``."""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip("\"'")
    return "Linux"


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the numbers of /proc/meminfo, in KiB."""
    values = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            values[key] = int(words[0])
    return values


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def read_machine(state_dir: Path) -> Machine:
    """Return the facts of this machine; state_dir tells which disk counts."""
    memory = parse_meminfo(_read("/proc/meminfo"))
    disk = os.statvfs(_existing(state_dir))
    return Machine(
        processors=os.cpu_count() or 1,
        memory_kib=memory.get("MemTotal", 0),
        disk_kib=disk.f_blocks * disk.f_frsize // 1024,
        architecture=go_architecture(platform.machine()),
        kernel_version=platform.release(),
        os_image=parse_os_release(_read("/etc/os-release")),
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        swap_bytes=memory.get("SwapTotal", 0) * 1024,
    )


def read_pressure(state_dir: Path) -> Pressure:
    """Return how much of the machine is free now."""
    memory = parse_meminfo(_read("/proc/meminfo"))
    disk = os.statvfs(_existing(state_dir))
    pid_max = int(_read("/proc/sys/kernel/pid_max") or "32768")
    # the fourth word of loadavg is RUNNING/ALL threads
    threads = (_read("/proc/loadavg").split() or ["", "", "", "0/0"])[3].partition("/")[2]
    return Pressure(
        memory_available_bytes=memory.get("MemAvailable", 0) * 1024,
        disk_available_share=disk.f_bavail / disk.f_blocks if disk.f_blocks else 1.0,
        pids_available_share=1.0 - int(threads or "0") / pid_max,
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
