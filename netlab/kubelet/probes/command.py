"""Runs a command in a container to its end, and keeps the beginning of its output.

Mirrors ``RunInContainer`` with its limit on what is read; shared by exec probes and hooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netlab.api.streams import STDOUT
from netlab.runtime.cri import ContainerRuntime

MAX_OUTPUT_BYTES = 10 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. output: of both streams as it came, cut at MAX_OUTPUT_BYTES."""

    code: int
    output: str
    stderr: str


async def run_command(
    runtime: ContainerRuntime, container_id: str, argv: Sequence[str]
) -> CommandResult:
    """Run a command in a running container; cancelling kills it. The caller bounds the time.

    Raises: ContainerError when it cannot be started.
    """
    process = await runtime.exec(container_id, argv, stdin=False, tty=False)
    output, stderr = bytearray(), bytearray()
    try:
        while (piece := await process.read()) is not None:
            channel, data = piece
            # what is beyond the limit is read and dropped, or the command would block
            output += data[: MAX_OUTPUT_BYTES - len(output)]
            if channel != STDOUT:
                stderr += data[: MAX_OUTPUT_BYTES - len(stderr)]
        code = await process.wait()
    finally:
        await process.close()
    return CommandResult(code, output.decode(errors="replace"), stderr.decode(errors="replace"))
