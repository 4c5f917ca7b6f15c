"""The bytes of one grpc.health.v1.Health/Check call: request, answer, status.

Two messages of protobuf with one field each, in gRPC's five-byte frames. Mirrors the generated
``grpc_health_v1`` and grpc-go's codes.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md,
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from netlab.api.names import int64
from netlab.api.release import KUBERNETES_MINOR
from netlab.kubelet.probes.dialing import join_host_port

PATH = "/grpc.health.v1.Health/Check"
SERVING = "SERVING"
STATUSES = ("UNKNOWN", SERVING, "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
# what a plain HTTP server's status means to a gRPC client
HTTP_CODES = {
    400: "Internal",
    401: "Unauthenticated",
    403: "PermissionDenied",
    404: "Unimplemented",
    429: "Unavailable",
    502: "Unavailable",
    503: "Unavailable",
    504: "Unavailable",
}
_FRAME = struct.Struct(">BI")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """How a call ended: code is one of CODES."""

    code: str
    message: str = ""


def request_headers(host: str, port: int) -> list[tuple[str, str]]:
    """Return the headers of the call, the pseudo ones first."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", join_host_port(host, port)),
        ("content-type", "application/grpc"),
        ("user-agent", f"kube-probe/1.{KUBERNETES_MINOR}"),
        ("te", "trailers"),
    ]


def encode_request(service: str) -> bytes:
    """Return the framed HealthCheckRequest; an empty service is the server as a whole."""
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return _FRAME.pack(0, len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_response(data: bytes) -> str:
    """Return the status of a framed HealthCheckResponse: one of STATUSES, or its number.

    Raises: ValueError when the bytes are no such message.
    """
    if len(data) < _FRAME.size:
        raise ValueError("the answer holds no message")
    compressed, length = _FRAME.unpack_from(data)
    body = data[_FRAME.size : _FRAME.size + length]
    if compressed or len(body) != length:
        raise ValueError("the answer's message is cut short or compressed")
    number = _status_number(body)
    return STATUSES[number] if number < len(STATUSES) else str(number)


def _status_number(body: bytes) -> int:
    number, at = 0, 0
    while at < len(body):
        key, at = _read_varint(body, at)
        value, at = _read_field(body, at, key & 7)
        if key == 1 << 3 | _VARINT:
            number = value
    return number


def _read_field(body: bytes, at: int, wire_type: int) -> tuple[int, int]:
    """Return the number of a varint field (0 for any other) and where the next begins."""
    if wire_type == _VARINT:
        return _read_varint(body, at)
    if wire_type == _BYTES:
        length, at = _read_varint(body, at)
        at += length
    elif wire_type in (_FIXED64, _FIXED32):
        at += 8 if wire_type == _FIXED64 else 4
    else:
        raise ValueError(f"unknown wire type {wire_type}")
    if at > len(body):
        raise ValueError("the answer's message is cut short")
    return 0, at


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(body):
            raise ValueError("the answer's message is cut short")
        value |= (body[at] & 0x7F) << shift
        at += 1
        if not body[at - 1] & 0x80:
            return value, at
    raise ValueError("a number in the answer is too long")


def rpc_status(headers: Mapping[str, str]) -> RpcStatus:
    """Return how the call ended, from the answer's headers and trailers together."""
    number = int64(headers.get("grpc-status", ""))
    if number is not None:
        known = CODES[number] if number < len(CODES) else f"Code({number})"
        return RpcStatus(known, unquote(headers.get("grpc-message", "")))
    status = headers.get(":status", "")
    if status and status != "200":
        known = HTTP_CODES.get(int64(status) or 0, "Unknown")
        return RpcStatus(known, f"unexpected HTTP status code received from server: {status}")
    return RpcStatus("Internal", "server closed the stream without sending trailers")


def failure_text(status: RpcStatus, timeout: str) -> str:
    """Return what the event says of a call that did not end well."""
    if status.code == "Unimplemented":
        return (
            "error: this server does not implement the grpc health protocol "
            f"(grpc.health.v1.Health): {status.message}"
        )
    if status.code == "DeadlineExceeded":
        return f"timeout: health rpc did not complete within {timeout}"
    described = f"rpc error: code = {status.code} desc = {status.message}"
    return f"error: health rpc probe failed: {described}"
