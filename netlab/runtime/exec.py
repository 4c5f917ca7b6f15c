"""Further processes in running containers: ``kubectl exec``, with and without a terminal.

The OCI runtime's own ``exec`` joins the container's namespaces and control group, takes the rights
of the description it is given and stays as the process's parent; its exit code is the process's.

What a closed exec leaves is found by session: runc makes each process the leader of one; crun does
so on a terminal only, otherwise a helper that has ended is the leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from netlab.api.streams import STDERR, STDOUT
from netlab.runtime.cgroups import Hierarchy, kill_session
from netlab.runtime.exec_streams import (
    CONSOLE,
    ExecStreams,
    start_on_console,
    start_on_pipes,
    start_on_terminal,
)
from netlab.runtime.oci import OciCommand, exec_words
from netlab.runtime.process import read_pid
from netlab.runtime.runtime_errors import is_of_crun, runtime_error, start_failure_code
from netlab.runtime.spec import exec_process
from netlab.runtime.terminals import set_size, with_carriage_returns

# Starting takes the runtime 20 ms, on a busy machine much longer.
_KILL_INTERVAL_S = 0.02
_KILL_ATTEMPTS = 250
_LAST_WORDS_TIMEOUT_S = 1.0


class OciExec:
    """A process in a container; fulfils ``ExecProcess``. Made by ``start_exec``."""

    def __init__(
        self,
        streams: ExecStreams,
        *,
        program: str,
        tty: bool,
        folder: Path,
        cgroup: str,
        hierarchies: Sequence[Hierarchy],
    ) -> None:
        self._process = streams.process
        self._output = streams.output
        self._stdin = streams.stdin
        self._terminal = streams.terminal
        self._program = program
        self._folder = folder
        self._cgroup = cgroup
        self._hierarchies = hierarchies
        self._code: int | None = None
        self._has_spoken = False
        self._refusal = ""
        self._tty = tty
        self._mends_lines = streams.mends_lines
        self._after_return = False

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output, or None at the end."""
        piece = await self._output.read()
        if not self._has_spoken:
            self._has_spoken = True
            piece = await self._in_known_words(piece)
        if piece is None:
            return None
        channel, data = piece
        if not self._mends_lines:
            return channel, data
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
        # runc is not in the terminal's foreground group, so the kernel does not tell it.
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
            end_session(self._hierarchies, self._cgroup, self._folder)
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
        if code == 0:
            return code
        self._refusal = self._failure()
        # crun has written the pid before it finds that there is nothing to run
        if self._refusal or not (self._folder / "pid").exists():
            return start_failure_code(self._refusal)
        return code

    async def _in_known_words(self, piece: tuple[int, bytes] | None) -> tuple[int, bytes] | None:
        """Return the first output; what crun says for want of a process, as runc says it.

        Without the process crun has no terminal to say it on.
        """
        if piece is not None and not is_of_crun(piece[1].decode(errors="replace")):
            return piece
        # the same words may be a process's own: only crun has ended by now, and has a log
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_TIMEOUT_S):
                await self.wait()
        if not self._refusal:
            return piece
        end = "\r\n" if self._tty and not self._mends_lines else "\n"
        return STDOUT if self._tty else STDERR, f"exec failed: {self._refusal}{end}".encode()

    def _failure(self) -> str:
        try:
            text = (self._folder / "log").read_text(errors="replace")
            return runtime_error(text, program=self._program)
        except FileNotFoundError:
            return ""


def end_session(hierarchies: Sequence[Hierarchy], cgroup: str, folder: Path) -> None:
    """Kill a container's processes that belong to an exec's session; folder: the exec's own."""
    kill_session(hierarchies, cgroup, read_pid(folder / "pid"))


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
    description = folder / "process.json"
    console = tty and oci.gives_consoles
    words = exec_words(
        container_id,
        process=description,
        pid_file=folder / "pid",
        console=CONSOLE if console else "",
    )
    command = oci.argv(*words, log=folder / "log")
    try:
        process = exec_process(_own_process(bundle), argv, tty=tty)
        description.write_bytes(msgspec.json.encode(process))
        if (score := process.get("oomScoreAdj")) is not None:
            # crun takes the score from no description: the process inherits it from crun
            command = ["choom", "-n", str(score), "--", *command]
        if console:
            streams = await start_on_console(command, folder, stdin=stdin)
        elif tty:
            streams = start_on_terminal(command, stdin=stdin)
        else:
            streams = start_on_pipes(command, stdin=stdin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return OciExec(
        streams,
        program=argv[0] if argv else "",
        tty=tty,
        folder=folder,
        cgroup=cgroup,
        hierarchies=hierarchies,
    )


def _own_process(bundle: Path) -> dict[str, Any]:
    """Return the description of a container's first process."""
    spec: dict[str, Any] = msgspec.json.decode((bundle / "config.json").read_bytes())
    found: dict[str, Any] = spec["process"]
    return found
