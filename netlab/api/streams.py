"""What the API server asks of a node agent: logs and processes in containers.

In Kubernetes the API server proxies these to the kubelet's port 10250; here a ``NodeConnection``
per node does, handed over at start-up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
"""Channel numbers, as in ``v4.channel.k8s.io``."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Query of ``GET …/pods/NAME/log``; None means unlimited."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None


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
