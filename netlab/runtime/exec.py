"""Further processes in running containers: ``kubectl exec``, with and without a terminal.

The OCI runtime's own ``exec`` joins the container's namespaces and control group, drops the same
capabilities and stays as the process's parent; its exit code is the process's. With a terminal,
a pseudo-terminal is made here and the runtime copies between it and the one inside. The runtime
turns off the inner one's line endings, a moment after the process may have written its first line:
so they are mended here, where it can be seen which are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.api.streams import STDERR, STDOUT
from netlab.command import Child, spawn
from netlab.runtime.cgroups import Hierarchy, kill_session
from netlab.runtime.descriptors import InputWriter, OutputReader
from netlab.runtime.oci import OciCommand, exec_words
from netlab.runtime.process import read_pid
from netlab.runtime.runtime_errors import runtime_message, start_failure_code
from netlab.runtime.terminals import make_raw, set_size, with_carriage_returns

# Starting takes the runtime 20 ms, on a busy machine much longer.
_KILL_INTERVAL_S = 0.02
_KILL_ATTEMPTS = 250
_DEFAULT_SIZE = (80, 24)


@dataclass(frozen=True, slots=True)
class _Streams:
    """A started process with our ends of its streams; terminal is the pseudo-terminal's."""

    process: Child
    output: OutputReader
    stdin: InputWriter | None
    terminal: int | None


class OciExec:
    """A process in a container; fulfils ``ExecProcess``. Made by ``start_exec``."""

    def __init__(
        self, streams: _Streams, *, folder: Path, cgroup: str, hierarchies: Sequence[Hierarchy]
    ) -> None:
        self._process = streams.process
        self._output = streams.output
        self._stdin = streams.stdin
        self._terminal = streams.terminal
        self._folder = folder
        self._cgroup = cgroup
        self._hierarchies = hierarchies
        self._code: int | None = None
        self._on_terminal = streams.terminal is not None
        self._after_return = False

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output, or None at the end."""
        piece = await self._output.read()
        if piece is None or not self._on_terminal:
            return piece
        channel, data = piece
        mended = with_carriage_returns(data, after_return=self._after_return)
        self._after_return = data.endswith(b"\r")
        return channel, mended

    async def write_stdin(self, data: bytes) -> None:
        """Write to the process; without stdin, or when it reads no more, nothing happens."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """End the process's input; on a terminal that is the end-of-file key."""
        if self._stdin is None:
            return
        if self._terminal is not None:
            await self._stdin.write(b"\x04")
        else:
            self._stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size."""
        if self._terminal is None or self._process.returncode is not None:
            return
        if columns < 1 or rows < 1:
            return
        set_size(self._terminal, columns, rows)
        # The runtime is not in the terminal's foreground group, so the kernel does not tell it.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGWINCH)

    async def wait(self) -> int:
        """Return the exit code: 128 + n for signal n, 126 or 127 when it could not be run."""
        code = await self._process.wait()
        if self._code is None:
            self._code = self._exit_code(code)
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._code

    async def close(self) -> None:
        """Kill the process if it runs and release everything."""
        try:
            if self._process.returncode is None:
                await self._kill()
        finally:
            self._output.close()
            if self._stdin is not None:
                self._stdin.close()
            if self._terminal is not None:
                os.close(self._terminal)
                self._terminal = None

    async def _kill(self) -> None:
        """End the process, also when the runtime is still starting it."""
        for _ in range(_KILL_ATTEMPTS):
            # The runtime makes each process the leader of a session: what it started goes too.
            kill_session(self._hierarchies, self._cgroup, read_pid(self._folder / "pid"))
            try:
                async with asyncio.timeout(_KILL_INTERVAL_S):
                    await self.wait()
            except TimeoutError:
                continue
            else:
                return
        self._process.kill()
        await self.wait()

    def _exit_code(self, code: int) -> int:
        if code < 0:
            return 128 - code
        if code != 0 and not (self._folder / "pid").exists():
            return start_failure_code(self._failure())
        return code

    def _failure(self) -> str:
        try:
            return runtime_message((self._folder / "log").read_text(errors="replace"))
        except FileNotFoundError:
            return ""


async def start_exec(
    oci: OciCommand,
    container_id: str,
    argv: Sequence[str],
    *,
    bundle: Path,
    cgroup: str,
    hierarchies: Sequence[Hierarchy],
    stdin: bool,
    tty: bool,
) -> OciExec:
    """Start a process in a running container, whose bundle and control group are given."""
    folder = Path(tempfile.mkdtemp(prefix="exec-", dir=bundle))
    words = exec_words(container_id, argv, tty=tty, pid_file=folder / "pid")
    command = oci.argv(*words, log=folder / "log")
    try:
        if tty:
            streams = _start_on_terminal(command, stdin=stdin)
        else:
            streams = _start_on_pipes(command, stdin=stdin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return OciExec(streams, folder=folder, cgroup=cgroup, hierarchies=hierarchies)


def _start_on_pipes(command: Sequence[str], *, stdin: bool) -> _Streams:
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
    return _Streams(
        process=process,
        output=OutputReader({out_read: STDOUT, err_read: STDERR}),
        stdin=None if in_write is None else InputWriter(in_write),
        terminal=None,
    )


def _start_on_terminal(command: Sequence[str], *, stdin: bool) -> _Streams:
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        master, slave = os.openpty()
        ours.callback(os.close, master)
        theirs.callback(os.close, slave)
        set_size(master, *_DEFAULT_SIZE)
        # Raw at once: what is typed before the runtime has set it so would be echoed twice.
        make_raw(slave)
        process = spawn(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        ours.pop_all()
    return _Streams(
        process=process,
        output=OutputReader({os.dup(master): STDOUT}),
        stdin=InputWriter(os.dup(master)) if stdin else None,
        terminal=master,
    )


def _pipe(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack, *, reverse: bool = False
) -> tuple[int, int]:
    """Return (our end, the process's end): we read, or with reverse we write."""
    read, write = os.pipe()
    mine, other = (write, read) if reverse else (read, write)
    ours.callback(os.close, mine)
    theirs.callback(os.close, other)
    return mine, other
