"""A lock between processes: for what labs of a machine share and take long to fetch or build."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from netlab.errors import ImageError

_LOCK_TIMEOUT_S = 900.0
_LOCK_STEP_S = 0.2


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect; waits for as long as a download may take."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ImageError(f"{path}: another netlab holds it") from None
                time.sleep(_LOCK_STEP_S)
            else:
                break
        yield
