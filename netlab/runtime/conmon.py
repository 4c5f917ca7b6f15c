"""conmon: the small process that stays with each container when the daemon goes.

conmon launches the OCI runtime, holds the container's output, writes it to the log in the CRI
format (``<time> stdout|stderr P|F <line>``), waits for the end and writes the exit code to a
file. It forks twice, so the container is nobody's child but init's, and it is moved to a control
group of the lab before that, so that a service manager that stops the daemon does not stop pods.

Caller: open the conmon pidfd (``conmon.pid``) after ``launch`` and before the container starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from netlab.command import Child, spawn
from netlab.errors import ContainerError, HostError
from netlab.runtime.recipe import DEFAULT_PATH
from netlab.runtime.runtime_errors import runtime_message

# Creating a container takes 40 ms; a hundred at once on one processor a few seconds.
_CREATE_TIMEOUT_S = 120.0
_REPORT_BYTES_MAX = 1 << 20
_REOPEN_TIMEOUT_S = 5.0
_REOPEN_POLL_S = 0.01
_TERMINAL_SIZE_MAX = 1000
# What a line in conmon's control fifo asks for: kind, rows, columns.
_RESIZE, _REOPEN_LOG = 1, 2


@dataclass(frozen=True, slots=True)
class ConmonJob:
    """One container to supervise. folder: its bundle, in which all files are made.

    stdin_ends_with_client: its input ends with the first connection that ends (``attach.py``).
    """

    container_id: str
    name: str
    folder: Path
    log_path: Path
    oci_runtime: Path
    oci_root: Path
    stdin: bool = False
    stdin_ends_with_client: bool = False
    tty: bool = False


class _Report(msgspec.Struct):
    """What conmon says on its pipe: the container's pid, or -1 and why not."""

    data: int = -1
    message: str = ""


class _Process(msgspec.Struct):
    args: list[str] = []


class _Spec(msgspec.Struct):
    """The part of an OCI spec that names the program."""

    process: _Process


def conmon_argv(job: ConmonJob) -> list[str]:
    """Return conmon's command line.

    ``--no-sync-log``: otherwise each exit syncs the whole file system of the log.
    ``--exit-dir``: not ``exit``, for conmon writes a file of that name into the persist folder.
    ``--full-attach``: the socket lies in the bundle, under its full path.
    """
    argv = ["conmon", "--api-version", "1"]
    argv += ["--cid", job.container_id, "--cuuid", job.container_id, "--name", job.name]
    argv += ["--runtime", str(job.oci_runtime), "--runtime-arg", f"--root={job.oci_root}"]
    argv += ["--bundle", str(job.folder), "--persist-dir", str(job.folder)]
    argv += ["--container-pidfile", str(job.folder / "pid")]
    argv += ["--conmon-pidfile", str(job.folder / "conmon.pid")]
    argv += ["--exit-dir", str(job.folder / "exits")]
    argv += ["--socket-dir-path", str(job.folder), "--full-attach"]
    argv += ["--log-path", f"k8s-file:{job.log_path}", "--log-level", "error", "--no-sync-log"]
    if job.stdin:
        argv.append("--stdin")
        if not job.stdin_ends_with_client:
            argv.append("--leave-stdin-open")
    if job.tty:
        argv.append("--terminal")
    return argv


async def launch(job: ConmonJob, *, settle: Callable[[int], None]) -> int:
    """Create (not start) a container under a new conmon; return the container's pid.

    settle: called with conmon's pid while it still waits, to move it to its control group.
    Raises: ContainerError with the OCI runtime's reason; HostError when conmon is missing.
    """
    report_read, report_write = os.pipe()
    start_read, start_write = os.pipe()
    try:
        process = _spawn(job, report_write, start_read)
        os.close(report_write)
        report_write = -1
        settle(process.pid)
        os.write(start_write, b"\0")
        async with asyncio.timeout(_CREATE_TIMEOUT_S):
            text = await _read_all(report_read)
            await process.wait()
    except TimeoutError as error:
        raise ContainerError(f"conmon: no answer within {_CREATE_TIMEOUT_S:g} s") from error
    finally:
        for descriptor in (report_read, report_write, start_read, start_write):
            if descriptor >= 0:
                os.close(descriptor)
    return _pid_of(text, job.folder)


def resize_terminal(folder: Path, columns: int, rows: int) -> None:
    """Set the size of the terminal of a container, whose bundle is given; gone already is fine.

    Sizes below 1 are ignored, as by the kubelet; conmon takes none above 1000.
    Raises: ContainerError.
    """
    if columns >= 1 and rows >= 1:
        largest = _TERMINAL_SIZE_MAX
        _control(folder, _RESIZE, min(largest, rows), min(largest, columns))


async def reopen_log(folder: Path, log_path: Path) -> None:
    """Have a container's conmon open its log path anew; return when the file is there.

    Raises: ContainerError when it does not appear.
    """
    before = _inode(log_path)
    if not _control(folder, _REOPEN_LOG, 0, 0):
        raise ContainerError(f"log {log_path}: its conmon has ended")
    try:
        async with asyncio.timeout(_REOPEN_TIMEOUT_S):
            while _inode(log_path) in (None, before):  # noqa: ASYNC110 another process makes it
                await asyncio.sleep(_REOPEN_POLL_S)
    except TimeoutError as error:
        raise ContainerError(
            f"log {log_path}: conmon does not open it within {_REOPEN_TIMEOUT_S:g} s"
        ) from error


def _control(folder: Path, kind: int, rows: int, columns: int) -> bool:
    """Send a line to the conmon of a container; tell whether it is there to take it."""
    fifo = folder / "ctl"
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # ENXIO: nobody reads, so conmon has ended
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise ContainerError(f"{fifo}: {error.strerror}") from error
    try:
        os.write(descriptor, f"{kind} {rows} {columns}\n".encode())
    except OSError as error:
        raise ContainerError(f"{fifo}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return True


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _spawn(job: ConmonJob, report: int, start: int) -> Child:
    (job.folder / "exits").mkdir(exist_ok=True)
    environment = {
        "PATH": DEFAULT_PATH,
        "_OCI_SYNCPIPE": str(report),
        "_OCI_STARTPIPE": str(start),
    }
    # A file, not a pipe: conmon keeps it open for as long as the container lives.
    with (job.folder / "conmon.err").open("wb") as errors:
        try:
            # It also writes a file ``oom`` where it stands.
            return spawn(
                conmon_argv(job),
                stderr=errors,
                pass_fds=(report, start),
                env=environment,
                cwd=job.folder,
            )
        except FileNotFoundError as error:
            raise HostError("conmon: not installed; run: sudo apt-get install conmon") from error


async def _read_all(descriptor: int) -> bytes:
    """Return what conmon writes up to its first newline, or up to the end of the pipe."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    text = b""
    while not text.endswith(b"\n") and len(text) < _REPORT_BYTES_MAX:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _wake, readable)
        try:
            await readable
        finally:
            loop.remove_reader(descriptor)
        with contextlib.suppress(BlockingIOError):
            piece = os.read(descriptor, 65536)
            if not piece:
                break
            text += piece
    return text


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _pid_of(text: bytes, folder: Path) -> int:
    try:
        report = msgspec.json.decode(text, type=_Report)
    except msgspec.MsgspecError:
        report = _Report()
    if report.data > 0:
        return report.data
    said = report.message or (folder / "conmon.err").read_text(errors="replace")
    message = runtime_message(said, program=_program(folder))
    raise ContainerError(f"OCI runtime create failed: {message}")


def _program(bundle: Path) -> str:
    """Return what a container was to run, as far as its spec tells."""
    try:
        spec = msgspec.json.decode((bundle / "config.json").read_bytes(), type=_Spec)
    except (OSError, msgspec.MsgspecError):
        return ""
    return next(iter(spec.process.args), "")
