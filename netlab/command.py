"""Run programs: argv lists, a timeout always, bytes in and out.

The one place that starts helper programs such as ``iptables-restore`` or ``runc``. Arguments are
lists, never shell strings. A program that must see another network namespace is started through
``nsenter``, which joins the namespace in the new process, so that no thread of ours ever changes
its own.

Children are started with ``subprocess.Popen``, which uses vfork (0.4 ms here, whatever our size),
and not through the event loop: uvloop forks the whole daemon, which blocks the loop for 4 ms each.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netlab.errors import CommandError, CommandTimeoutError, HostError

KILLED_TIMEOUT_S = 1.0


class Child:
    """A started process, collected as soon as it ends. Made by ``spawn``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        pidfd = os.pidfd_open(process.pid)

        def collect() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            code = process.wait()
            if not self._ended.done():
                self._ended.set_result(code)

        loop.add_reader(pidfd, collect)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Return the exit code when the process has ended; cancelling does not touch it."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL; nothing happens when the process has ended."""
        self._process.kill()


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    start_new_session: bool = False,
    cwd: Path | None = None,
) -> Child:
    """Start a program whose streams are descriptors of ours or /dev/null.

    Raises: FileNotFoundError when there is no such program.
    """
    return Child(
        subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            env=None if env is None else dict(env),
            start_new_session=start_new_session,
            cwd=cwd,
        )
    )


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
        process = subprocess.Popen(  # noqa: ASYNC220 vfork: see above
            full,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if env is None else dict(env),
        )
    except FileNotFoundError as error:
        raise HostError(f"{full[0]}: not installed; run: sudo ./lab install") from error
    # the thread ends with the process, so killing the process is enough to end both
    talking = asyncio.get_running_loop().run_in_executor(None, process.communicate, stdin)
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await asyncio.shield(talking)
    except TimeoutError as error:
        raise CommandTimeoutError(full, timeout_s) from error
    finally:
        if not talking.done():
            process.kill()
            # bounded: a grandchild may keep the pipes open
            await asyncio.wait([talking], timeout=KILLED_TIMEOUT_S)
    code = process.returncode or 0
    if check and code != 0:
        raise CommandError(full, code, stderr.decode("utf-8", "replace"))
    return Completed(tuple(full), code, stdout, stderr)
