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
from netlab.runtime.spec import DEFAULT_CAPABILITIES

_P = ParamSpec("_P")
_T = TypeVar("_T")

# linux/capability.h
_CAPABILITY_NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}


@contextlib.contextmanager
def disk_errors_as(subject: str) -> Iterator[None]:
    """Turn what the file system refuses (full, read-only) into a ContainerError on subject."""
    try:
        yield
    except OSError as error:
        raise ContainerError(f"{subject}: {error.filename or 'disk'}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Machine:
    """One lab's runtime on this machine. executor: for blocking calls; owned by the engine."""

    lab_name: str
    paths: RuntimePaths
    oci: OciCommand
    hierarchies: Sequence[Hierarchy]
    capabilities: frozenset[str]
    pause_layer: Path
    clock: Clock
    executor: Executor

    async def in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Run a blocking function on the engine's threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, lambda: function(*args, **kwargs))


def available_capabilities(status: str) -> frozenset[str]:
    """Return which of the default capabilities a process with this ``/proc/PID/status`` can give.

    Asking for one outside the bounding set makes the OCI runtime fail.
    """
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(
                name for name in DEFAULT_CAPABILITIES if bits >> _CAPABILITY_NUMBERS[name] & 1
            )
    return frozenset(DEFAULT_CAPABILITIES)


def own_capabilities() -> frozenset[str]:
    """Return which of the default capabilities this process can give."""
    return available_capabilities(Path("/proc/self/status").read_text())
