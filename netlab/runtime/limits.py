"""Bounds of control groups: as a container's OCI spec has them, and as files of a pod's group.

A container's group is made by the OCI runtime, which writes these files from the spec's
``resources``. The pod's group above it is netlab's own: ``bound_group`` writes the same files
there, in every hierarchy that has the controller, for cgroup v1, hybrid and v2.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, …/cgroup-v1/memory.html; the weight of
shares is the OCI runtimes' own conversion: 1 + (shares - 2) * 9999 / 262142.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from netlab.errors import ContainerError
from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.cri import LinuxResources

_CONTROLLERS_V2: Final = ("cpu", "memory", "pids")


def oci_resources(bounds: LinuxResources, hierarchies: Sequence[Hierarchy]) -> dict[str, Any]:
    """Return the ``linux.resources`` part of a spec, without devices.

    Bounds whose controller this machine lacks are left out; the OCI runtime would refuse them.
    """
    found: dict[str, Any] = {}
    if _has(hierarchies, "cpu") and (bounds.cpu_shares or bounds.cpu_quota_us):
        cpu: dict[str, int] = {}
        if bounds.cpu_shares:
            cpu["shares"] = bounds.cpu_shares
        if bounds.cpu_quota_us:
            cpu["quota"], cpu["period"] = bounds.cpu_quota_us, bounds.cpu_period_us
        found["cpu"] = cpu
    if _has(hierarchies, "memory") and bounds.memory_limit_bytes:
        limit = bounds.memory_limit_bytes
        found["memory"] = {"limit": limit}
        if _counts_swap(hierarchies):
            # memory and swap together: no swap beyond the limit
            found["memory"]["swap"] = limit
    if _has(hierarchies, "pids") and bounds.pids_limit:
        found["pids"] = {"limit": bounds.pids_limit}
    if _kills_groups(hierarchies):
        # as the kubelet: a container that lost one process to its bound is ended, not left half
        found["unified"] = {"memory.oom.group": "1"}
    return found


def _has(hierarchies: Sequence[Hierarchy], controller: str) -> bool:
    return any(
        controller in (hierarchy.names or _controllers(hierarchy.mount_point))
        for hierarchy in hierarchies
    )


def oci_changes(bounds: LinuxResources, hierarchies: Sequence[Hierarchy]) -> dict[str, Any]:
    """Return what an update of a running container is given: what is bounded no more, too.

    Processes stay bounded as they are, and so does a weight that is not given.
    """
    found = oci_resources(bounds, hierarchies)
    found.pop("unified", None)  # does not change, and runc takes none in an update
    if _has(hierarchies, "cpu") and not bounds.cpu_quota_us:
        found["cpu"] = {**found.get("cpu", {}), "quota": -1, "period": bounds.cpu_period_us}
    if _has(hierarchies, "memory") and not bounds.memory_limit_bytes:
        found["memory"] = {"limit": -1}
        if _counts_swap(hierarchies):
            found["memory"]["swap"] = -1
    return found


def _kills_groups(hierarchies: Sequence[Hierarchy]) -> bool:
    """True where version 2 has the memory controller, and with it ``memory.oom.group``."""
    unified = [hierarchy for hierarchy in hierarchies if not hierarchy.names]
    return any("memory" in _controllers(hierarchy.mount_point) for hierarchy in unified)


def _counts_swap(hierarchies: Sequence[Hierarchy]) -> bool:
    """True where swap can be bounded: always with v2, with v1 when the kernel was told to."""
    for hierarchy in hierarchies:
        folder = hierarchy.mount_point
        if "memory" in hierarchy.names and (folder / "memory.memsw.limit_in_bytes").exists():
            return True
        if not hierarchy.names and "memory" in _controllers(folder):
            return True
    return False


def _controllers(folder: Path) -> frozenset[str]:
    try:
        return frozenset((folder / "cgroup.controllers").read_text().split())
    except OSError:
        return frozenset()


def bound_group(hierarchies: Sequence[Hierarchy], group: str, bounds: LinuxResources) -> None:
    """Make a group and write its bounds, wherever a hierarchy has the controller.

    Where version 2 does not pass a controller on (a machine in a container whose processes sit in
    the topmost group), what is bounded by nothing still works.
    Raises: ContainerError.
    """
    for hierarchy in hierarchies:
        files = group_files(hierarchy, bounds)
        if not files and hierarchy.names:
            continue
        folder = hierarchy.mount_point / group.lstrip("/")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            refusal = "" if hierarchy.names else _delegate(hierarchy.mount_point, folder)
            _write(folder, files, refusal)
        except OSError as error:
            where = error.filename or folder
            raise ContainerError(f"cgroup {where}: {error.strerror}") from error


def _write(folder: Path, files: Mapping[str, str], refusal: str) -> None:
    for name, text in files.items():
        if (folder / name).exists():
            (folder / name).write_text(text)
        elif refusal and name != "cpu.weight" and not text.startswith("max"):
            raise ContainerError(f"cgroup {folder}: {name} cannot be set: {refusal}")


def group_files(hierarchy: Hierarchy, bounds: LinuxResources) -> Mapping[str, str]:
    """Return what to write into a group's files in one hierarchy, in order."""
    if not hierarchy.names:
        return _files_v2(bounds)
    files: dict[str, str] = {}
    if "cpu" in hierarchy.names:
        if bounds.cpu_shares:
            files["cpu.shares"] = str(bounds.cpu_shares)
        files["cpu.cfs_period_us"] = str(bounds.cpu_period_us)
        files["cpu.cfs_quota_us"] = str(bounds.cpu_quota_us or -1)
    if "memory" in hierarchy.names:
        # without this a group's bound would not hold for the groups below it (older kernels)
        files["memory.use_hierarchy"] = "1"
        files["memory.limit_in_bytes"] = str(bounds.memory_limit_bytes or -1)
    if "pids" in hierarchy.names:
        files["pids.max"] = str(bounds.pids_limit or "max")
    return files


def _files_v2(bounds: LinuxResources) -> dict[str, str]:
    files: dict[str, str] = {}
    if bounds.cpu_shares:
        files["cpu.weight"] = str(cpu_weight(bounds.cpu_shares))
    files["cpu.max"] = f"{bounds.cpu_quota_us or 'max'} {bounds.cpu_period_us}"
    files["memory.max"] = str(bounds.memory_limit_bytes or "max")
    files["pids.max"] = str(bounds.pids_limit or "max")
    return files


def cpu_weight(shares: int) -> int:
    """Return the cgroup v2 weight (1 to 10000) of v1 shares (2 to 262144)."""
    return 1 + ((max(2, shares) - 2) * 9999) // 262142


def _delegate(top: Path, folder: Path) -> str:
    """Let the groups from the top down to the folder pass their controllers on; return why one
    does not, "" when all do.
    """
    passing = [top, *reversed([p for p in folder.parents if top in p.parents]), folder]
    for place in passing:
        present = _controllers(place)
        wanted = [f"+{name}" for name in _CONTROLLERS_V2 if name in present]
        control = place / "cgroup.subtree_control"
        if wanted and not {name[1:] for name in wanted} <= _passed_on(control):
            try:
                control.write_text(" ".join(wanted))
            except OSError as error:
                return f"{control}: {error.strerror}"
    return ""


def _passed_on(control: Path) -> set[str]:
    try:
        return set(control.read_text().split())
    except OSError:
        return set()
