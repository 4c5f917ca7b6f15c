"""One command at a time brings a lab up or takes it down; the next one waits for its turn.

The turn is a lock on ``/run/netlab/NAME.turn``, which the kernel gives back when its holder ends,
however it ends; whoever ends it in order removes the file. Whoever waits is told for whom, and
gives up in the end: the holder may have been stopped and never end.

Rules for callers: what changes a lab's life (its folders, its daemon, its settings) happens inside
its turn. A process holds at most one turn, and takes the machine-wide lock (``labs.one_at_a_time``)
only inside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from netlab.config import RUN_ROOT
from netlab.errors import HostError
from netlab.lab.labs import PUBLIC, ensure_folder

TELL_AFTER_S = 0.3
GIVE_UP_AFTER_S = 200.0
"""A little longer than the longest start: three steps of 60 s."""
POLL_S = 0.02


def turn_path(name: str) -> Path:
    """Return the path of the file that is locked; it exists while somebody wants the turn."""
    return RUN_ROOT / f"{name}.turn"


@contextlib.contextmanager
def turn(
    name: str, *, waiting: Callable[[int], None], give_up_after_s: float = GIVE_UP_AFTER_S
) -> Iterator[None]:
    """Hold the lab's turn. waiting: called once with the holder's pid, 0 when it is not known.

    Raises: HostError when somebody else does not end in time.
    """
    path = turn_path(name)
    descriptor = _take(path, waiting, give_up_after_s)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        # removed while we hold it: who opened it before sees that it is not the same file any more
        path.unlink(missing_ok=True)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            RUN_ROOT.rmdir()


def _take(path: Path, waiting: Callable[[int], None], give_up_after_s: float) -> int:
    began_s, told = time.monotonic(), False
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
            os.close(descriptor)
            continue
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        waited_s = time.monotonic() - began_s
        if waited_s >= give_up_after_s:
            raise HostError(
                f"lab {path.stem}: another netlab command{_named(holder)} has been changing it for "
                f"{give_up_after_s:.0f} s; end it and try again"
            )
        if waited_s >= TELL_AFTER_S and not told:
            told = True
            waiting(holder)
        time.sleep(POLL_S)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        with contextlib.suppress(FileNotFoundError):  # the last lab went, and the folder with it
            ensure_folder(path.parent, PUBLIC)
            return os.open(path, flags, 0o600)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0)
    return int(text) if text.isdigit() else 0


def _named(pid: int) -> str:
    return f" (process {pid})" if pid else ""
