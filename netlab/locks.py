"""Locks between netlab commands: a folder that one process at a time may change.

The folder itself is locked, so that no lock file is left behind; the kernel lets go when the
holder ends. Whoever waits says so after a second and gives up in the end, because a lock may be
held by something that never ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from netlab.errors import HostError

TELL_AFTER_S = 1.0
GIVE_UP_AFTER_S = 30.0
POLL_S = 0.05


@contextlib.contextmanager
def locked_folder(folder: Path, *, give_up_after_s: float = GIVE_UP_AFTER_S) -> Iterator[None]:
    """Hold the lock on an existing folder.

    Raises: HostError when somebody else does not let go of it in time.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _take(descriptor, folder, give_up_after_s)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, give_up_after_s: float) -> None:
    began_s, told = time.monotonic(), False
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        waited_s = time.monotonic() - began_s
        if waited_s >= give_up_after_s:
            raise HostError(
                f"another process has held the lock on {folder} for {give_up_after_s:.0f} s; "
                f"see who: fuser -v {folder}"
            )
        if waited_s >= TELL_AFTER_S and not told:
            told = True
            print(f"waiting for another process's lock on {folder}", file=sys.stderr)  # noqa: T201
        time.sleep(POLL_S)
