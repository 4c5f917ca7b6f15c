"""What all parts of the runtime share: paths, the OCI runtime, control groups, a thread pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from netlab.clock import Clock
from netlab.errors import ContainerError
from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.oci import OciCommand
from netlab.runtime.records import RuntimePaths

_P = ParamSpec("_P")
_T = TypeVar("_T")

LOWEST_OOM_SCORE = -1000
_CAP_SYS_RESOURCE = 24


@contextlib.contextmanager
def disk_errors_as(subject: str) -> Iterator[None]:
    """Turn what the file system refuses (full, read-only) into a ContainerError on subject."""
    try:
        yield
    except OSError as error:
        raise ContainerError(f"{subject}: {error.filename or 'disk'}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Machine:
    """One lab's runtime on this machine.

    capabilities: what it can hand out at all. lowest_oom_score: see ``lowest_oom_score``.
    executor: for blocking calls; owned by the engine.
    """

    lab_name: str
    paths: RuntimePaths
    oci: OciCommand
    hierarchies: Sequence[Hierarchy]
    capabilities: frozenset[str]
    pause_layer: Path
    clock: Clock
    executor: Executor
    lowest_oom_score: int = LOWEST_OOM_SCORE

    async def in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run a blocking function on the engine's threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, lambda: function(*args, **kwargs))


def lowest_oom_score(status: str, own_score: str) -> int:
    """Return the lowest oom_score_adj that a process with this ``/proc/PID/status`` may give.

    own_score: the text of its own ``oom_score_adj``; below that only CAP_SYS_RESOURCE may go.
    """
    for line in status.splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1:
            return LOWEST_OOM_SCORE
    return int(own_score)


def own_lowest_oom_score() -> int:
    """Return the lowest oom_score_adj that this process may give its containers."""
    own = Path("/proc/self")
    return lowest_oom_score((own / "status").read_text(), (own / "oom_score_adj").read_text())
