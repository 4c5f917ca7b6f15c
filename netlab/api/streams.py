"""What the API server asks of a node agent: logs, processes in containers, connections, usage.

The API server asks over the kubelet's port 10250; behind it stands a ``NodeConnection``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # as types only: a value that holds a connection does not use it
    import asyncio

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
"""Channel numbers, as in ``v4.channel.k8s.io``."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Query of ``GET …/pods/NAME/log``; None means unlimited. stream: All, Stdout or Stderr."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    stream: str = "All"


class ExecProcess(Protocol):
    """A process started in a running container, with its streams.

    ``read`` returns the next piece of output as (STDOUT | STDERR, data), or None at the end of
    all output. ``wait`` returns the exit code, 128 + n when signal n ended it. ``close`` kills
    the process if it still runs, and is safe to call twice.
    """

    async def read(self) -> tuple[int, bytes] | None: ...

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ByteStream:
    """Both directions of a connection. ``writer.write_eof()`` closes one half; the owner closes
    the writer.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """What one container uses. cpu_nano_cores: over window_s before at; memory_bytes: the working
    set.
    """

    namespace: str
    pod: str
    container: str
    at: datetime
    window_s: float
    cpu_nano_cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """What a node and its containers use; containers without two samples yet are missing."""

    at: datetime
    window_s: float
    cpu_nano_cores: int
    memory_bytes: int
    containers: tuple[ContainerUsage, ...] = ()


class NodeConnection(Protocol):
    """The streams of one node's kubelet.

    All methods raise ApiError: NotFound for an unknown pod or container, BadRequest when the
    container does not run (worded as the kubelet does).
    """

    def logs(
        self, namespace: str, pod: str, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]: ...

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
    ) -> ExecProcess: ...

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, tty: bool
    ) -> ExecProcess:
        """Return the streams of the container's own process; ``close`` only detaches."""
        ...

    async def dial_pod(self, namespace: str, pod: str, port: int, *, uid: str) -> ByteStream:
        """Connect to 127.0.0.1:port (then ::1) inside the pod's network namespace, as port-forward
        does. uid: of the pod meant; a later one of the same name is another pod. Raises ApiError
        when nothing listens.
        """
        ...

    async def usage(self) -> NodeUsage | None:
        """Return what the node uses; None until it was measured twice."""
        ...
