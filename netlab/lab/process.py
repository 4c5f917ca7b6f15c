"""The daemon as a process: whether it runs, how to stop it.

A running daemon holds an exclusive lock on ``/run/netlab/NAME.lock`` and writes its pid and start
time into it. The lock tells for sure whether a daemon runs (the kernel drops it when the process
ends, however it ends); pid and start time together name the process, so that a pid that was used
again is never signalled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netlab.config import RUN_ROOT, LabConfig
from netlab.errors import HostError

POLL_S = 0.02


class DaemonRecord(msgspec.Struct, frozen=True):
    """The daemon's pid and start time (clock ticks since boot, from /proc/PID/stat)."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class RunningDaemon:
    """A daemon that holds its lock."""

    pid: int


def lock_path(name: str) -> Path:
    """Return the path of a lab's lock file."""
    return RUN_ROOT / f"{name}.lock"


def take_lock(config: LabConfig) -> int:
    """Take the lab's lock for as long as this process lives; return its file descriptor.

    Raises: HostError when another daemon of that name holds it.
    """
    RUN_ROOT.mkdir(mode=0o755, exist_ok=True)
    descriptor = os.open(lock_path(config.name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HostError(f"lab {config.name}: a daemon of that name runs already") from error
    record = DaemonRecord(os.getpid(), _start_ticks(os.getpid()) or 0)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(record), 0)
    return descriptor


@contextlib.contextmanager
def no_daemon(config: LabConfig) -> Iterator[None]:
    """Keep every daemon of that name from starting while the block runs.

    Raises: HostError when one has just begun to.
    """
    RUN_ROOT.mkdir(mode=0o755, exist_ok=True)
    descriptor = os.open(lock_path(config.name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"lab {config.name}: its daemon is starting; try again in a second"
            raise HostError(message) from error
        yield
    finally:
        os.close(descriptor)


def is_locked(name: str) -> bool:
    """True when a daemon of that name runs."""
    try:
        descriptor = os.open(lock_path(name), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def running_daemon(config: LabConfig) -> RunningDaemon | None:
    """Return the lab's daemon, or None when none runs."""
    try:
        record = msgspec.json.decode(lock_path(config.name).read_bytes(), type=DaemonRecord)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    if _start_ticks(record.pid) != record.start_ticks:
        return None
    return RunningDaemon(record.pid)


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
    """End the lab's daemon, with SIGKILL after ``grace_s``; return whether one ran."""
    daemon = running_daemon(config)
    if daemon is None:
        return False
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon.pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if running_daemon(config) is None:
                return True
            time.sleep(POLL_S)
    raise HostError(f"lab {config.name}: daemon {daemon.pid} does not end, even by SIGKILL")


def _start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None when it has ended.

    Source: proc(5), /proc/[pid]/stat fields 3 and 22; the name in field 2 may hold spaces.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()
    # a zombie has ended; only its parent has not asked yet
    return None if state == "Z" else int(fields[18])
