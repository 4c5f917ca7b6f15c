"""The frames of remote command streams over WebSocket: one byte of channel, then data.

``v4.channel.k8s.io`` and ``v5.channel.k8s.io``: a binary message begins with the number of its
channel (0 stdin, 1 stdout, 2 stderr, 3 a JSON Status at the end, 4 terminal sizes); v5 adds 255,
whose second byte names a channel that is closed. Pure.

Source: k8s.io/apimachinery pkg/util/remotecommand, KEP-4006.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from netlab.api.streams import ERROR, RESIZE, STDIN
from netlab.api.view import Object
from netlab.errors import ApiError

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
PROTOCOLS = (V5, V4)
CLOSE = 255


@dataclass(frozen=True, slots=True)
class StdinData:
    """Bytes for the process."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StdinClosed:
    """The caller has no more input."""


@dataclass(frozen=True, slots=True)
class Resized:
    """The caller's terminal has a new size."""

    columns: int
    rows: int


def choose_protocol(offered: Iterable[str]) -> str:
    """Return the newest protocol that the caller offers, or ""."""
    names = set(offered)
    return next((name for name in PROTOCOLS if name in names), "")


def parse_frame(message: bytes, protocol: str) -> StdinData | StdinClosed | Resized | None:
    """Return what the caller says; None for what has no meaning for a process."""
    if not message:
        return None
    channel, data = message[0], message[1:]
    if channel == STDIN:
        return StdinData(data)
    if channel == RESIZE:
        return _size(data)
    if channel == CLOSE and protocol == V5 and data[:1] == bytes((STDIN,)):
        return StdinClosed()
    return None


def _size(data: bytes) -> Resized | None:
    try:
        size = msgspec.json.decode(data)
        columns, rows = int(size["Width"]), int(size["Height"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None
    return Resized(columns, rows) if columns > 0 and rows > 0 else None


def frame(channel: int, data: bytes) -> bytes:
    """Return a message for the caller."""
    return bytes((channel,)) + data


def exit_frame(code: int) -> bytes:
    """Return the last message: the process has ended with ``code``."""
    if code == 0:
        return _status_frame({"metadata": {}, "status": "Success"})
    return _status_frame(
        {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: "
            f"command terminated with exit code {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


def error_frame(error: ApiError) -> bytes:
    """Return the last message: the process could not be started or was lost."""
    return _status_frame(error.status())


def _status_frame(status: Object) -> bytes:
    return frame(ERROR, msgspec.json.encode(status))
