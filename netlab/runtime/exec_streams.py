"""The streams of a further process in a container: pipes, or a pseudo-terminal.

How a terminal comes about differs by OCI runtime. runc is given one made here and copies between
it and the one inside; it turns off the inner one's line ends, a moment after the process may have
written its first line, so they are mended on our side, where it can be seen which are missing.
crun, when it copies, loses later sizes and writes the last output into its log; so it is asked for
the inner terminal itself, over a socket, and nothing is copied. (runc gives terminals away only
when it does not wait for the process, and the exit code would be lost.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netlab.api.streams import STDERR, STDOUT
from netlab.command import Child, spawn
from netlab.runtime.descriptors import InputWriter, OutputReader
from netlab.runtime.terminals import make_raw, set_size

CONSOLE: Final = "console"
"""The socket's name; relative to the runtime's folder, for a socket's path ends at 107 bytes."""

_DEFAULT_SIZE = (80, 24)
# What crun writes beside the terminal is its name, by default /dev/ptmx.
_NAME_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class ExecStreams:
    """A started process with our ends of its streams.

    terminal: its pseudo-terminal's; None without one, or when the process could not be started.
    mends_lines: the terminal's newlines lack carriage returns.
    """

    process: Child
    output: OutputReader
    stdin: InputWriter | None
    terminal: int | None
    mends_lines: bool = False


def start_on_pipes(command: Sequence[str], *, stdin: bool) -> ExecStreams:
    """Start a command with a pipe for each stream."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        out_read, out_write = _pipe(ours, theirs)
        err_read, err_write = _pipe(ours, theirs)
        in_read, in_write = subprocess.DEVNULL, None
        if stdin:
            in_write, in_read = _pipe(ours, theirs, reverse=True)
        process = spawn(
            command, stdin=in_read, stdout=out_write, stderr=err_write, start_new_session=True
        )
        ours.pop_all()
    return ExecStreams(
        process=process,
        output=OutputReader({out_read: STDOUT, err_read: STDERR}),
        stdin=None if in_write is None else InputWriter(in_write),
        terminal=None,
    )


def start_on_terminal(command: Sequence[str], *, stdin: bool) -> ExecStreams:
    """Start a command of runc's on a terminal made here."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        master, slave = os.openpty()
        ours.callback(os.close, master)
        theirs.callback(os.close, slave)
        set_size(master, *_DEFAULT_SIZE)
        # Raw at once: what is typed before the runtime has set it so would be echoed twice.
        make_raw(slave)
        process = spawn(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        ours.pop_all()
    return ExecStreams(
        process=process,
        output=OutputReader({os.dup(master): STDOUT}),
        stdin=InputWriter(os.dup(master)) if stdin else None,
        terminal=master,
        mends_lines=True,
    )


async def start_on_console(command: Sequence[str], folder: Path, *, stdin: bool) -> ExecStreams:
    """Start a command of crun's that sends the process's terminal to ``CONSOLE`` in its folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        listener.setblocking(False)
        _bind(listener, folder)
        listener.listen(1)
        process = spawn(command, start_new_session=True, cwd=folder)
        try:
            master = await _terminal_of(process, listener)
        except BaseException:
            process.kill()
            raise
    if master is None:
        return ExecStreams(process, OutputReader({}), None, None)
    set_size(master, *_DEFAULT_SIZE)
    return ExecStreams(
        process=process,
        output=OutputReader({os.dup(master): STDOUT}),
        stdin=InputWriter(os.dup(master)) if stdin else None,
        terminal=master,
    )


def _bind(listener: socket.socket, folder: Path) -> None:
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{place}/{CONSOLE}")
    finally:
        os.close(place)


async def _terminal_of(process: Child, listener: socket.socket) -> int | None:
    """Return the terminal that a runtime sends; None when it ends without."""
    receiving = asyncio.create_task(_receive(listener))
    ending = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((receiving, ending), return_when=asyncio.FIRST_COMPLETED)
        return receiving.result() if receiving.done() else None
    finally:
        for task in (receiving, ending):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _receive(listener: socket.socket) -> int | None:
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    with connection:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(connection, _settle, readable)
        try:
            await readable
        finally:
            loop.remove_reader(connection)
        _, descriptors, _, _ = socket.recv_fds(connection, _NAME_BYTES_MAX, 1)
        return descriptors[0] if descriptors else None


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _pipe(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, reverse: bool = False
) -> tuple[int, int]:
    """Return (our end, the process's end): we read, or with reverse we write."""
    read, write = os.pipe()
    mine, other = (write, read) if reverse else (read, write)
    ours.callback(os.close, mine)
    theirs.callback(os.close, other)
    return mine, other
