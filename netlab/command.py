"""Run programs: argv lists, a timeout always, bytes in and out.

The one place that starts helper programs such as ``iptables-restore`` or ``runc``. Arguments are
lists, never shell strings. A program that must see another network namespace is started through
``nsenter``, which joins the namespace in the new process, so that no thread of ours ever changes
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import CommandError, CommandTimeoutError, HostError


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind; ``code`` is negative when a signal ended it."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    def text(self) -> str:
        """Return standard output as text; undecodable bytes become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")


def in_netns(argv: Sequence[str], netns: Path | None) -> list[str]:
    """Return the argv that runs ``argv`` in the network namespace at path ``netns``."""
    if netns is None:
        return list(argv)
    return ["nsenter", f"--net={netns}", "--", *argv]


async def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    stdin: bytes | None = None,
    netns: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and return what it printed.

    env: the whole environment; None inherits ours. netns: path of a network namespace to enter.

    Raises: HostError when the program is not installed; CommandError when ``check`` and the code
    is not zero; CommandTimeoutError after ``timeout_s`` (the program is killed first).
    """
    full = in_netns(argv, netns)
    try:
        process = await asyncio.create_subprocess_exec(
            *full,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if env is None else dict(env),
        )
    except FileNotFoundError as error:
        raise HostError(f"{full[0]}: not installed; run: sudo ./lab install") from error
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError as error:
        raise CommandTimeoutError(full, timeout_s) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    code = process.returncode or 0
    if check and code != 0:
        raise CommandError(full, code, stderr.decode("utf-8", "replace"))
    return Completed(tuple(full), code, stdout, stderr)
