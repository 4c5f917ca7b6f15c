"""The daemon as a process: whether it runs, what it is doing, how to stop it.

A running daemon holds an exclusive lock on ``/run/netlab/NAME.lock`` and writes its pid and start
time into it: together they name the process, so that a pid that was used again is never signalled.
Should the file be gone or hold something else, the daemon is found among the kernel's processes by
its command line (``marks``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netlab.config import RUN_ROOT, LabConfig
from netlab.errors import HostError
from netlab.lab.marks import daemons_of

POLL_S = 0.02


class DaemonRecord(msgspec.Struct, frozen=True):
    """The daemon's pid and start time (clock ticks since boot, from /proc/PID/stat)."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A daemon that runs. stopped: a signal or a debugger holds it; it does nothing meanwhile."""

    pid: int
    stopped: bool = False


def lock_path(name: str) -> Path:
    """Return the path of a lab's lock file."""
    return RUN_ROOT / f"{name}.lock"


def take_lock(config: LabConfig) -> int:
    """Take the lab's lock for as long as this process lives; return its file descriptor.

    Raises: HostError when another daemon of that name holds it.
    """
    RUN_ROOT.mkdir(mode=0o755, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(lock_path(config.name), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HostError(f"lab {config.name}: a daemon of that name runs already") from error
    stat = _stat(os.getpid())
    record = DaemonRecord(os.getpid(), stat.start_ticks if stat else 0)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(record), 0)
    return descriptor


def running_daemon(config: LabConfig) -> RunningDaemon | None:
    """Return the lab's daemon, or None when none runs."""
    for pid in (_recorded_pid(config), *daemons_of(config.name)):
        stat = _stat(pid) if pid else None
        if stat is not None:
            return RunningDaemon(pid, stopped=stat.state in "Tt")
    return None


def runs_elsewhere(config: LabConfig) -> bool:
    """True when the lab's daemon runs in another network namespace than this process."""
    daemon = running_daemon(config)
    if daemon is None:
        return False
    try:
        return not Path("/proc/self/ns/net").samefile(f"/proc/{daemon.pid}/ns/net")
    except FileNotFoundError:
        return False


def stop_daemon(config: LabConfig, *, grace_s: float) -> bool:
    """End all daemons of the lab, with SIGKILL after ``grace_s``; return whether one ran.

    Raises: HostError when one does not end.
    """
    ran = False
    while (daemon := running_daemon(config)) is not None:
        ran = True
        _end(config, daemon, grace_s)
    return ran


def _end(config: LabConfig, daemon: RunningDaemon, grace_s: float) -> None:
    start = _stat(daemon.pid)
    kill = (signal.SIGKILL, 5.0)
    # one that is stopped does not hear of anything else
    for number, wait_s in [kill] if daemon.stopped else [(signal.SIGTERM, grace_s), kill]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            now = _stat(daemon.pid)
            if now is None or start is None or now.start_ticks != start.start_ticks:
                return
            time.sleep(POLL_S)
    raise HostError(f"lab {config.name}: daemon {daemon.pid} does not end, even by SIGKILL")


def agent_lock(run_dir: Path, node: str) -> Path:
    """Return the file that the agent of a node holds a lock on, with its process id."""
    return run_dir / "agents" / f"{node}.lock"


def stop_agents(config: LabConfig, *, grace_s: float) -> None:
    """End the agents that run nodes of the lab in processes of their own. Idempotent."""
    for path in agent_lock(config.run_dir, "*").parent.glob("*.lock"):
        began_s, number = time.monotonic(), signal.SIGTERM
        while (pid := _holder(path)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if time.monotonic() - began_s > grace_s:
                number = signal.SIGKILL
            time.sleep(POLL_S)


def _holder(path: Path) -> int | None:
    """Return the process that holds the lock; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else None
    else:
        return None
    finally:
        os.close(descriptor)


def _recorded_pid(config: LabConfig) -> int:
    """Return the pid in the lock file if it still is that process; 0 otherwise."""
    try:
        record = msgspec.json.decode(lock_path(config.name).read_bytes(), type=DaemonRecord)
    except (OSError, msgspec.MsgspecError):
        return 0
    stat = _stat(record.pid)
    return record.pid if stat and stat.start_ticks == record.start_ticks else 0


@dataclass(frozen=True, slots=True)
class _Stat:
    """state: the letter of proc(5); start_ticks: clock ticks since boot."""

    state: str
    start_ticks: int


def _stat(pid: int) -> _Stat | None:
    """Return what the kernel says of a process; None when it has ended.

    Source: proc(5), /proc/[pid]/stat fields 3 and 22; the name in field 2 may hold spaces.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    # a zombie has ended; only its parent has not asked yet
    return None if state in "ZX" else _Stat(state, int(fields[18]))
