"""Processes that are not our children: found again by control group, held by pidfd.

conmon, pause and the containers outlive the daemon, and a pid may be given to another process
meanwhile. A pid read from a file is trusted only when its control group or its command line says
that it is ours; from then on a pidfd stands for exactly that process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

from netlab.errors import ContainerError

_END_TIMEOUT_S = 5.0
_POLL_S = 0.002


def read_pid(path: Path) -> int:
    """Return the pid in a pid file, or 0 when there is none yet."""
    try:
        return int(path.read_text() or 0)
    except (FileNotFoundError, ValueError):
        return 0


def open_member(pid: int, group: str) -> int | None:
    """Return a pidfd of a process when it is in a control group; None when it is not or ended."""
    return _open_checked(pid, Path(f"/proc/{pid}/cgroup"), f"{group}\n".encode())


def open_command(pid: int, argument: str) -> int | None:
    """Return a pidfd of a process when its command line has an argument; None otherwise."""
    return _open_checked(pid, Path(f"/proc/{pid}/cmdline"), f"\0{argument}\0".encode())


def kill_with_argument(argument: str) -> None:
    """End every process whose command line has an argument, and wait for their ends.

    Finds what a daemon that was killed had under way: an OCI runtime that is making a container
    goes on without its parent, and is in none of the container's control groups.

    Raises: ContainerError when a process does not end.
    """
    deadline = time.monotonic() + _END_TIMEOUT_S
    # Again after each kill: one of them may just have started another.
    while pidfds := _open_with_argument(argument):
        try:
            for pidfd in pidfds:
                send_signal(pidfd, signal.SIGKILL)
            while not all(has_ended(pidfd) for pidfd in pidfds):
                if time.monotonic() > deadline:
                    raise ContainerError(f"processes with argument {argument} do not end")
                time.sleep(_POLL_S)
        finally:
            for pidfd in pidfds:
                os.close(pidfd)


def has_ended(pidfd: int) -> bool:
    """True when the process has ended (a zombie has)."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal; nothing happens when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def signal_member(pid: int, group: str, number: int) -> None:
    """Send a signal to a process that is in a control group; nothing happens otherwise."""
    pidfd = open_member(pid, group)
    if pidfd is None:
        return
    try:
        send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def reap(pidfd: int) -> None:
    """Collect an ended process when it became our child (we are a subreaper or pid 1)."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)


def _open_with_argument(argument: str) -> list[int]:
    found = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    pidfds = (open_command(pid, argument) for pid in found if pid != os.getpid())
    return [pidfd for pidfd in pidfds if pidfd is not None]


def _open_checked(pid: int, witness: Path, expected: bytes) -> int | None:
    if pid <= 0:
        return None
    try:
        if expected not in witness.read_bytes():
            return None
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # Once more after opening: the process that the pidfd stands for is the one whose files we read.
    try:
        ours = expected in witness.read_bytes() and not has_ended(pidfd)
    except OSError:
        ours = False
    if not ours:
        os.close(pidfd)
        return None
    return pidfd
