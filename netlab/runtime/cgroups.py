"""The control groups of a lab: where they are, who is in them, and their end.

A lab's groups are ``/netlab/LAB/pod<uid>/<container>`` in every hierarchy the host mounts: one
with cgroup v2, about ten with v1 or hybrid hosts. The OCI runtime makes them (``cgroupsPath``);
this module moves conmon into ``/netlab/LAB/conmon`` and kills and removes groups. Synchronous:
async callers use their thread pool. netlab sets no limits here; the spec carries them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import ContainerError

# A killed process leaves its group within milliseconds; in a group that is still not empty
# after this long sits a process in uninterruptible sleep.
_EMPTY_TIMEOUT_S = 5.0
_POLL_S = 0.002
# Then what keeps killed processes from running, and so from ending, is taken away.
_UNHINDERED_AFTER_S = 0.1
_FREE: Mapping[str, str] = {
    "freezer.state": "THAWED",
    "cpu.cfs_quota_us": "-1",
    "cpu.max": "max",
    # in this order: the kernel wants the second never to be above the first
    "memory.memsw.limit_in_bytes": "-1",
    "memory.limit_in_bytes": "-1",
    "memory.max": "max",
}


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy. names: v1 controllers or ``name=…``; empty for v2."""

    mount_point: Path
    names: frozenset[str]

    @property
    def tracks_services(self) -> bool:
        """True where a service manager looks for the processes of a unit it stops."""
        return not self.names or "name=systemd" in self.names


def parse_hierarchies(mountinfo: str) -> list[Hierarchy]:
    """Return the cgroup hierarchies of a mountinfo text.

    Source: proc_pid_mountinfo(5); fields after `` - `` are type, source, super options.
    """
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _source, options = right.split(" ", 2) if right.count(" ") >= 2 else ("", "", "")
        mount_point = Path(left.split(" ")[4])
        if kind == "cgroup2":
            found[mount_point] = Hierarchy(mount_point, frozenset())
        elif kind == "cgroup":
            names = frozenset(options.split(",")) - {"rw", "ro", "xattr", "clone_children"}
            found[mount_point] = Hierarchy(mount_point, names)
    return list(found.values())


def host_hierarchies() -> list[Hierarchy]:
    """Return the hierarchies of this machine."""
    return parse_hierarchies(Path("/proc/self/mountinfo").read_text())


def lab_group(lab_name: str) -> str:
    """Return the group that all of a lab's groups lie in."""
    return f"/netlab/{lab_name}"


def pod_group(lab_name: str, uid: str) -> str:
    """Return the group of a pod."""
    return f"{lab_group(lab_name)}/pod{uid}"


def add_process(hierarchies: Sequence[Hierarchy], group: str, pid: int) -> None:
    """Move a process to a group, where a service manager would look for it.

    Raises: ContainerError.
    """
    for hierarchy in hierarchies:
        if not hierarchy.tracks_services:
            continue
        folder = _folder(hierarchy, group)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            return
        except OSError as error:
            raise ContainerError(f"cgroup {folder}: add process: {error.strerror}") from error


def process_ids(hierarchies: Sequence[Hierarchy], group: str) -> set[int]:
    """Return the processes in a group and in the groups below it."""
    found: set[int] = set()
    for hierarchy in hierarchies:
        for folder in _tree(_folder(hierarchy, group)):
            with contextlib.suppress(FileNotFoundError, OSError):
                found.update(int(word) for word in (folder / "cgroup.procs").read_text().split())
    return found - {0}


def kill_processes(hierarchies: Sequence[Hierarchy], group: str) -> None:
    """End every process in a group and below, and wait until none is left.

    Hundreds of processes at their bound of memory search for a free page all the time, even while
    they end. The processor time for that is charged, but not held back: the group owes it, and
    gets none for minutes. So its bounds are lifted meanwhile, and those of its pod, which are put
    back afterwards, for other containers may live on. A frozen group is thawed.

    Raises: ContainerError when processes remain.
    """
    begun = time.monotonic()
    hindered = True
    with contextlib.ExitStack() as bounds:
        while pids := process_ids(hierarchies, group):
            _signal_all(pids, signal.SIGKILL)
            waited_s = time.monotonic() - begun
            if waited_s > _EMPTY_TIMEOUT_S:
                raise ContainerError(f"cgroup {group}: processes {sorted(pids)} do not end")
            if hindered and waited_s > _UNHINDERED_AFTER_S:
                bounds.callback(_write_back, _free(hierarchies, group))
                hindered = False
            time.sleep(_POLL_S)


def _free(hierarchies: Sequence[Hierarchy], group: str) -> dict[Path, str]:
    """Let a group, what is below it and its pod run freely; return what the pod's files held."""
    held: dict[Path, str] = {}
    for hierarchy in hierarchies:
        folder = _folder(hierarchy, group)
        pod = (folder.parent,) if folder.parent.name.startswith("pod") else ()
        for place in (*pod, *_tree(folder)):
            for file in (place / name for name in _FREE):
                with contextlib.suppress(OSError):
                    before = file.read_text().strip()
                    file.write_text(_FREE[file.name])
                    if place in pod:
                        held[file] = before
    return held


def _write_back(held: dict[Path, str]) -> None:
    for file, text in reversed(held.items()):
        with contextlib.suppress(OSError):  # the pod may be gone by now
            file.write_text(text)


def kill_session(hierarchies: Sequence[Hierarchy], group: str, pid: int) -> None:
    """End the processes in a group that belong to the session of one of them, itself included.

    One that has ended is taken for its session's leader.
    """
    if pid <= 0:
        return
    members = process_ids(hierarchies, group)
    session = (_session_of(pid) if pid in members else 0) or pid
    _signal_all((member for member in members if _session_of(member) == session), signal.SIGKILL)


def signal_group(hierarchies: Sequence[Hierarchy], group: str, number: int) -> None:
    """Send a signal to every process in a group and below, once."""
    _signal_all(process_ids(hierarchies, group), number)


def remove_group(hierarchies: Sequence[Hierarchy], group: str) -> None:
    """Remove a group and the groups below it, in every hierarchy; gone already is fine.

    Raises: ContainerError when a group cannot be removed (a process is in it).
    """
    for hierarchy in hierarchies:
        for folder in reversed(list(_tree(_folder(hierarchy, group)))):
            _remove_folder(folder)


def remove_parent_if_empty(hierarchies: Sequence[Hierarchy], group: str) -> None:
    """Remove a group when nothing else is below it: a pod's, after its last container."""
    for hierarchy in hierarchies:
        with contextlib.suppress(OSError):
            _folder(hierarchy, group).rmdir()


def _folder(hierarchy: Hierarchy, group: str) -> Path:
    return hierarchy.mount_point / group.lstrip("/")


def _signal_all(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _session_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # After the name in parentheses, which may hold anything: state, parent, group, session.
    return int(stat.rpartition(")")[2].split()[3])


def _tree(folder: Path) -> Iterator[Path]:
    """Yield a group's folder and those below it, parents first."""
    if not folder.is_dir():
        return
    yield folder
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder), key=lambda found: found.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _tree(Path(entry.path))


def _remove_folder(folder: Path) -> None:
    # A group counts its last process a moment longer than /proc does.
    deadline = time.monotonic() + _EMPTY_TIMEOUT_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise ContainerError(f"cgroup {folder}: remove: {error.strerror}") from error
            time.sleep(_POLL_S)
        else:
            return
