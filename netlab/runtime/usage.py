"""What control groups use: processor time, memory, processes, read from the kernel's files.

Mirrors what the kubelet takes from cadvisor for ``kubectl top``: memory is the working set, the
usage less the page cache that has not been used for a while and would be given back first.

Synchronous and cheap: four small files per group; callers use their thread pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.cri import GroupUsage


def read_usage(hierarchies: Sequence[Hierarchy], group: str, now: datetime) -> GroupUsage | None:
    """Return what a group and the groups below it use; None when it does not exist."""
    cpu_ns = memory_bytes = pids = 0
    seen = False
    for hierarchy in hierarchies:
        folder = hierarchy.mount_point / group.lstrip("/")
        names = hierarchy.names
        if not names:
            cpu_us = _entry(folder / "cpu.stat", "usage_usec")
            cpu_ns = cpu_ns or (cpu_us or 0) * 1000
            memory_bytes = memory_bytes or _working_set(
                _number(folder / "memory.current"), _entry(folder / "memory.stat", "inactive_file")
            )
            pids = pids or _number(folder / "pids.current") or 0
            seen = seen or cpu_us is not None
            continue
        if "cpuacct" in names:
            own_ns = _number(folder / "cpuacct.usage")
            cpu_ns, seen = own_ns or 0, seen or own_ns is not None
        if "memory" in names:
            memory_bytes = _working_set(
                _number(folder / "memory.usage_in_bytes"),
                _entry(folder / "memory.stat", "total_inactive_file"),
            )
        if "pids" in names:
            pids = _number(folder / "pids.current") or 0
    return GroupUsage(now, cpu_ns, memory_bytes, pids) if seen else None


def oom_kills(hierarchies: Sequence[Hierarchy], group: str) -> int:
    """Return how many processes of a group the kernel killed for want of memory.

    Also those it killed because a group further up had reached its bound.
    """
    kills = 0
    for hierarchy in hierarchies:
        folder = hierarchy.mount_point / group.lstrip("/")
        if not hierarchy.names:
            kills += _entry(folder / "memory.events", "oom_kill") or 0
        elif "memory" in hierarchy.names:
            kills += _entry(folder / "memory.oom_control", "oom_kill") or 0
    return kills


def _working_set(usage: int | None, inactive: int | None) -> int:
    return max(0, (usage or 0) - (inactive or 0))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _entry(path: Path, name: str) -> int | None:
    """Return one number of a file of ``name number`` lines."""
    try:
        text = path.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None
