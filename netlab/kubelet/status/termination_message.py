"""Reads a container's last word: its termination message, or the end of its log.

Mirrors ``getTerminationMessage`` and ``readLastStringFromContainerLogs`` of the kubelet. Each
container gets an empty file of its own, mounted at terminationMessagePath; its last 4096 bytes are
the message. With policy FallbackToLogsOnError, a container that failed and wrote nothing there is
quoted from its log: the last 80 lines, of these the last 2048 bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

from netlab.api.containers import Container
from netlab.kubelet.streams.logs import parse_entry
from netlab.runtime.cri import ContainerState, Mount

MAX_BYTES = 4096
MAX_LOG_BYTES = 2048
MAX_LOG_LINES = 80
MAX_POD_BYTES = 12 * 1024
"""Of all messages of a pod, shared out evenly among its containers."""

NEVER_RAN = ("StartError", "ContainerCannotRun")
_LOG_PIECE_BYTES = 64 * 1024


def message_file(log: Path) -> Path:
    """Return the message file of a container: it lies beside its log."""
    return log.with_suffix(".message")


def termination_mount(container: Container, file: Path) -> Mount | None:
    """Return the mount of a fresh, empty message file; None when the container has no such path.

    Blocking. The file may be written by whatever user the container runs as.
    """
    if not container.termination_message_path:
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    file.chmod(0o666)
    target = container.termination_message_path
    return Mount(file, target if target.startswith("/") else f"/{target}")


def termination_message(container: Container, state: ContainerState, file: Path) -> str:
    """Return the message of a container that has ended; what the runtime says comes first."""
    text = ""
    if container.termination_message_path:
        text = _tail(file, MAX_BYTES).decode("utf-8", "replace")
    quotes_log = container.termination_message_policy == "FallbackToLogsOnError"
    if not text and quotes_log and state.exit_code != 0 and state.reason not in NEVER_RAN:
        text = _log_tail(state.log_path)
    return ": ".join(part for part in (state.message, text) if part)


def _tail(file: Path, limit_bytes: int) -> bytes:
    """Return the last bytes of a file of ours that a container could write; b"" without one."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - limit_bytes))
            return stream.read(limit_bytes)
    except OSError:
        return b""


def _log_tail(path: Path) -> str:
    lines = _tail(path, _LOG_PIECE_BYTES).split(b"\n")[-MAX_LOG_LINES - 1 :]
    entries = [entry for line in lines if (entry := parse_entry(line)) is not None]
    text = b"".join(entry.text for entry in entries)
    return text[-MAX_LOG_BYTES:].decode("utf-8", "replace")
