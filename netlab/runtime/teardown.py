"""Taking sandboxes and containers apart, from their records alone.

Synchronous and free of the OCI runtime, so that the running engine, the recovery after a crash
and ``netlab down`` after a ``kill -9`` use the same code. Every step succeeds when there is nothing
left to do, and a failure does not stop the steps after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from netlab.errors import ContainerError
from netlab.runtime.cgroup_root import release_root
from netlab.runtime.cgroups import (
    Hierarchy,
    kill_processes,
    lab_group,
    pod_group,
    process_ids,
    remove_group,
    remove_parent_if_empty,
)
from netlab.runtime.mounts import mounts_below, unmount
from netlab.runtime.process import kill_with_argument
from netlab.runtime.records import RuntimePaths, read_outcome, record_folders
from netlab.runtime.trees import remove_tree


def tear_down_container(
    paths: RuntimePaths, hierarchies: Sequence[Hierarchy], container_id: str, cgroup: str
) -> None:
    """Kill and remove one container and all it left.

    Raises: ContainerError telling every step that failed.
    """
    folder = paths.container(container_id)
    _each(
        f"container {container_id}",
        lambda: _stop_making_container(folder, container_id),
        lambda: kill_processes(hierarchies, cgroup),
        lambda: remove_group(hierarchies, cgroup),
        lambda: remove_tree(paths.oci_root / container_id),
        lambda: unmount(folder / "rootfs"),
        lambda: remove_tree(paths.writable / container_id),
        # Last: while the record is there, a repetition finds the rest.
        lambda: remove_tree(folder),
    )


def tear_down_sandbox(
    paths: RuntimePaths, hierarchies: Sequence[Hierarchy], sandbox_id: str, cgroup: str
) -> None:
    """Kill and remove one sandbox and all it left; its containers are removed before it.

    Raises: ContainerError telling every step that failed.
    """
    folder = paths.sandbox(sandbox_id)
    _each(
        f"sandbox {sandbox_id}",
        lambda: _stop_making_sandbox(folder, sandbox_id),
        lambda: kill_processes(hierarchies, cgroup),
        lambda: remove_group(hierarchies, cgroup),
        lambda: _remove_empty_pod_group(hierarchies, cgroup),
        lambda: remove_tree(paths.oci_root / sandbox_id),
        lambda: unmount(folder / "shm"),
        lambda: remove_tree(folder),
    )


def tear_down_lab(paths: RuntimePaths, hierarchies: Sequence[Hierarchy], lab_name: str) -> None:
    """Kill and remove everything the runtime made for a lab; other labs are not touched.

    Works without any record: what runs is found by control group, mounts by folder.
    Raises: ContainerError telling every step that failed.
    """
    group = lab_group(lab_name)
    _each(
        f"lab {lab_name}",
        # First what may keep the whole machine busy; again after the runtimes that were under way.
        lambda: kill_processes(hierarchies, group),
        lambda: kill_with_argument(f"--root={paths.oci_root}"),
        lambda: kill_with_argument(str(paths.oci_root)),
        lambda: kill_processes(hierarchies, group),
        lambda: remove_group(hierarchies, group),
        lambda: release_root(hierarchies),
        *(_unmounting(point) for point in mounts_below(paths.root)),
        *(_unmounting(point) for point in mounts_below(paths.writable)),
        lambda: remove_tree(paths.writable),
        lambda: remove_tree(paths.root),
    )


def remove_orphans(
    paths: RuntimePaths, hierarchies: Sequence[Hierarchy], known_groups: set[str], lab_name: str
) -> None:
    """Remove what a crash left without a record: writable roots, runtime state, groups.

    known_groups: the control groups of every recorded sandbox and container.
    """
    containers = {folder.name for folder in record_folders(paths.containers)}
    sandboxes = {folder.name for folder in record_folders(paths.sandboxes)}
    for folder in record_folders(paths.writable):
        if folder.name not in containers:
            remove_tree(folder)
    for folder in record_folders(paths.oci_root):
        if folder.name not in containers | sandboxes:
            remove_tree(folder)
    for group in _groups_of(hierarchies, lab_name) - known_groups:
        kill_processes(hierarchies, group)
        remove_group(hierarchies, group)


def remove_without_record(folder: Path) -> None:
    """Remove the folder of a sandbox or container whose record says nothing, mounts first.

    Its processes and groups are orphans from then on (``remove_orphans``).
    Raises: ContainerError.
    """
    for point in mounts_below(folder):
        unmount(point)
    remove_tree(folder)


def forget_previous_boot(paths: RuntimePaths, boot: str) -> None:
    """Remove everything when it stems from before a reboot: no process of it can live."""
    try:
        same = paths.boot_id.read_text() == boot
    except FileNotFoundError:
        same = not paths.root.exists()
    if not same:
        for point in mounts_below(paths.root):
            unmount(point)
        remove_tree(paths.writable)
        remove_tree(paths.root)
    paths.make()
    paths.boot_id.write_text(boot)


def _groups_of(hierarchies: Sequence[Hierarchy], lab_name: str) -> set[str]:
    """Return the groups of sandboxes and containers that exist: /netlab/LAB/podX/ID."""
    found: set[str] = set()
    for hierarchy in hierarchies:
        base = hierarchy.mount_point / lab_group(lab_name).lstrip("/")
        for pod in record_folders(base):
            if pod.name.startswith("pod"):
                own = pod_group(lab_name, pod.name.removeprefix("pod"))
                found.update(f"{own}/{folder.name}" for folder in record_folders(pod))
    return found


def _remove_empty_pod_group(hierarchies: Sequence[Hierarchy], cgroup: str) -> None:
    # A second attempt of the same pod may live in the group already.
    pod = cgroup.rpartition("/")[0]
    if not process_ids(hierarchies, pod):
        remove_parent_if_empty(hierarchies, pod)


def _stop_making_container(folder: Path, container_id: str) -> None:
    # With an exit file conmon is done; before started.json there was none.
    under_way = (folder / "started.json").exists() and read_outcome(folder, container_id) is None
    if under_way or (folder / "outcome.json").exists():
        kill_with_argument(container_id)


def _stop_making_sandbox(folder: Path, sandbox_id: str) -> None:
    if not (folder / "pid").exists():
        kill_with_argument(sandbox_id)


def _unmounting(point: Path) -> Callable[[], None]:
    return lambda: unmount(point)


def _each(subject: str, *steps: Callable[[], None]) -> None:
    failures: list[ContainerError] = []
    for step in steps:
        try:
            step()
        except ContainerError as error:
            failures.append(error)
    if failures:
        causes = "; ".join(str(failure) for failure in failures)
        raise ContainerError(f"{subject}: {causes}") from failures[0]
