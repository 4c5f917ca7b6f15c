"""The channels of remote command streams: what they are called, and their frames over WebSocket.

A WebSocket message begins with the number of its channel (0 stdin, 1 stdout, 2 stderr, 3 the
outcome, 4 terminal sizes): as a byte of a binary message, or in the ``base64`` protocols as a digit
of a text message, whose data is then base64. v4 and v5 tell the outcome as a JSON Status, earlier
ones as a line of text, and only when it is an error; v5 adds channel 255, whose data names a
channel that is closed. Pure.

Source: k8s.io/apimachinery pkg/util/remotecommand and pkg/util/httpstream/wsstream, KEP-4006.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from netlab.api.streams import RESIZE, STDIN
from netlab.api.view import Object
from netlab.errors import ApiError

V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, V4, V4_BASE64, V1, V1_BASE64)
"""Over WebSocket, newest first."""

SPDY_PROTOCOLS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", V1)
"""Over SPDY, newest first; v3 added terminal sizes, v4 the JSON Status."""

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


def choose_protocol(offered: Iterable[str], served: Iterable[str] = PROTOCOLS) -> str:
    """Return the newest served protocol that the caller offers, or ""."""
    names = set(offered)
    return next((name for name in served if name in names), "")


def is_base64(protocol: str) -> bool:
    """True when messages are text."""
    return protocol in (V1_BASE64, V4_BASE64)


def split_message(message: bytes | str, protocol: str) -> tuple[int, bytes] | None:
    """Return (channel, data) of a message; None for one that the protocol does not know."""
    # the Python client puts bytes into text messages, as any str that it is given
    text = message.encode() if isinstance(message, str) else message
    if is_base64(protocol):
        if not text[:1].isdigit():
            return None
        try:
            return int(text[:1]), base64.b64decode(text[1:], validate=True)
        except binascii.Error:
            return None
    return (text[0], text[1:]) if text else None


def join_message(channel: int, data: bytes, protocol: str) -> bytes | str:
    """Return a message for the caller: text in the base64 protocols."""
    if is_base64(protocol):
        return f"{channel}{base64.b64encode(data).decode()}"
    return bytes((channel,)) + data


def parse_frame(message: bytes | str, protocol: str) -> StdinData | StdinClosed | Resized | None:
    """Return what the caller says; None for what has no meaning for a process."""
    split = split_message(message, protocol)
    if split is None:
        return None
    channel, data = split
    if channel == STDIN:
        return StdinData(data)
    if channel == RESIZE:
        return parse_size(data)
    if channel == CLOSE and protocol == V5 and data[:1] == bytes((STDIN,)):
        return StdinClosed()
    return None


def parse_size(data: bytes) -> Resized | None:
    """Return the size of a terminal, as ``{"Width":80,"Height":24}`` tells it."""
    try:
        size = msgspec.json.decode(data)
        columns, rows = int(size["Width"]), int(size["Height"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return Resized(columns, rows) if 0 < columns < 1 << 16 and 0 < rows < 1 << 16 else None


def exit_status(code: int) -> Object:
    """Return the outcome of a process that has ended with ``code``."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: "
        f"command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def encode_outcome(outcome: int | ApiError, protocol: str) -> bytes:
    """Return what the error channel says at the end; b"" for nothing.

    outcome: the exit code, or why there is none.
    """
    status = outcome.status() if isinstance(outcome, ApiError) else exit_status(outcome)
    if protocol in (V4, V4_BASE64, V5):
        return msgspec.json.encode(status)
    return str(status.get("message", "")).encode()
