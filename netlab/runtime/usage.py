"""What control groups use: processor time, memory, processes, read from the kernel's files.

Mirrors what the kubelet takes from cadvisor for ``kubectl top``: memory is the working set, the
usage less the page cache that has not been used for a while and would be given back first.

Synchronous and cheap: four small files per group; callers use their thread pool.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.cri import GroupUsage

_LARGEST_FILE_BYTES: Final = 64 << 10


def read_usage(hierarchies: Sequence[Hierarchy], group: str, now: datetime) -> GroupUsage | None:
    """Return what a group and the groups below it use; None when it does not exist."""
    cpu_ns = memory_bytes = pids = 0
    seen = False
    for hierarchy in hierarchies:
        folder = f"{hierarchy.mount_point}/{group.lstrip('/')}"
        names = hierarchy.names
        if not names:
            cpu_us = _entry(f"{folder}/cpu.stat", b"usage_usec")
            cpu_ns = cpu_ns or (cpu_us or 0) * 1000
            memory_bytes = memory_bytes or _working_set(
                _number(f"{folder}/memory.current"),
                _entry(f"{folder}/memory.stat", b"inactive_file"),
            )
            pids = pids or _number(f"{folder}/pids.current") or 0
            seen = seen or cpu_us is not None
            continue
        if "cpuacct" in names:
            own_ns = _number(f"{folder}/cpuacct.usage")
            cpu_ns, seen = own_ns or 0, seen or own_ns is not None
        if "memory" in names:
            memory_bytes = _working_set(
                _number(f"{folder}/memory.usage_in_bytes"),
                _entry(f"{folder}/memory.stat", b"total_inactive_file"),
            )
        if "pids" in names:
            pids = _number(f"{folder}/pids.current") or 0
    return GroupUsage(now, cpu_ns, memory_bytes, pids) if seen else None


def oom_kills(hierarchies: Sequence[Hierarchy], group: str) -> int | None:
    """Return how many processes of a group the kernel killed for want of memory; None when it
    does not tell.

    Also those it killed because a group further up had reached its bound.
    """
    counts = []
    for hierarchy in hierarchies:
        folder = f"{hierarchy.mount_point}/{group.lstrip('/')}"
        if not hierarchy.names:
            counts.append(_entry(f"{folder}/memory.events", b"oom_kill"))
        elif "memory" in hierarchy.names:
            counts.append(_entry(f"{folder}/memory.oom_control", b"oom_kill"))
    told = [count for count in counts if count is not None]
    return sum(told) if told else None


def _working_set(usage: int | None, inactive: int | None) -> int:
    return max(0, (usage or 0) - (inactive or 0))


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text.strip().isdigit() else None


def _entry(path: str, name: bytes) -> int | None:
    """Return one number of a file of ``name number`` lines."""
    _, found, rest = (b"\n" + _read(path)).partition(b"\n" + name + b" ")
    return int(rest.split(b"\n", 1)[0]) if found else None


def _read(path: str) -> bytes:
    # a hundred pods are a thousand files: ``Path.read_text`` would take three times as long
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _LARGEST_FILE_BYTES)
    except OSError:
        return b""  # the group was removed meanwhile
    finally:
        os.close(descriptor)
