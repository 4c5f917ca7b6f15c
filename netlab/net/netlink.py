"""Speak netlink: requests with attributes out, acknowledgements and dumps back.

Netlink is how iproute2, conntrack-tools and the CNI plugins talk to the kernel; upstream's
counterpart is ``vishvananda/netlink`` ``nl``. ``links`` uses it for routes and links,
``conntrack`` for flows, ``iptables`` for the generation of the rule set.

Rules for callers: a ``Netlink`` belongs to the network namespace of the thread that opened it
and is used by one thread at a time. It blocks, but the kernel answers within the send itself; the
timeout only guards against a broken kernel. Several requests in one call travel in one message.

netlab does not use pyroute2 here: since 0.9 it runs an asyncio loop per socket and thread, which
uvloop refuses to host, needs 0.1 s and 10 MB to import, and 1 ms per request where this takes 0.1.

Source: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10

NLMSG_ERROR = 2
NLMSG_DONE = 3

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERRNO = struct.Struct("=i")
_TYPE_MASK = 0x3FFF  # the two upper bits tell "nested" and "network byte order"
NESTED = 0x8000

RECEIVE_BYTES = 1 << 18
TIMEOUT_S = 5.0
DUMP_ATTEMPTS = 5

Attributes: TypeAlias = dict[int, bytes]
"""Attribute payloads by type; of repeated types the last."""


@dataclass(frozen=True, slots=True)
class Request:
    """One change: message type, flags beyond REQUEST and ACK, and the body after the header.

    ignore: errnos that mean that the wanted state is there already.
    """

    kind: int
    body: bytes
    flags: int = 0
    ignore: tuple[int, ...] = ()
    action: str = ""


class RefusedError(OSError):
    """The kernel answered a request with an errno; ``action`` tells which request."""

    def __init__(self, code: int, action: str) -> None:
        super().__init__(code, os.strerror(code))
        self.action = action


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    padding = -len(payload) % 4
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + bytes(padding)


def nested(kind: int, *members: bytes) -> bytes:
    """Return an attribute whose payload is attributes."""
    return attribute(kind | NESTED, b"".join(members))


def text(kind: int, value: str) -> bytes:
    """Return an attribute holding a string with its final zero byte."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """Return an attribute holding a 32-bit number in the machine's byte order."""
    return attribute(kind, struct.pack("=I", value))


def parse_attributes(data: bytes) -> Attributes:
    """Return the attributes in ``data``."""
    found: Attributes = {}
    position = 0
    while position + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def split_messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (type, flags, sequence, body) of each message in a received packet."""
    position = 0
    while position + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, position)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, data[position + _HEADER.size : position + length]
        position += (length + 3) & ~3


class Netlink:
    """A socket of one netlink protocol, in the namespace of the thread that makes it."""

    def __init__(self, protocol: int, *, opened: socket.socket | None = None) -> None:
        self._socket = opened or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(TIMEOUT_S)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _pack(self, request: Request, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(
            length, request.kind, request.flags | flags | NLM_F_REQUEST, self._sequence, 0
        )
        return header + request.body + bytes(-length % 4)

    def apply(self, requests: Sequence[Request]) -> None:
        """Make changes, in order, with one message to the kernel.

        All are tried; afterwards the first refusal is raised.

        Raises: RefusedError with the kernel's errno; OSError when the socket fails.
        """
        first = self._sequence + 1
        self._socket.send(b"".join(self._pack(request, NLM_F_ACK) for request in requests))
        refusals: list[RefusedError] = []
        open_answers = len(requests)
        while open_answers:
            for kind, _, sequence, body in split_messages(self._socket.recv(RECEIVE_BYTES)):
                if kind != NLMSG_ERROR or not first <= sequence < first + len(requests):
                    continue
                open_answers -= 1
                code = -_ERRNO.unpack_from(body)[0]
                request = requests[sequence - first]
                if code and code not in request.ignore:
                    refusals.append(RefusedError(code, request.action))
        if refusals:
            raise refusals[0]

    def ask(self, request: Request) -> bytes:
        """Return the body of the single answer to a request that reads.

        Raises: RefusedError with the kernel's errno; OSError when the socket fails.
        """
        self._socket.send(self._pack(request, 0))
        while True:
            for kind, _, sequence, body in split_messages(self._socket.recv(RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    raise RefusedError(-_ERRNO.unpack_from(body)[0], request.action)
                return body

    def dump(self, request: Request) -> list[bytes]:
        """Return the bodies of all answers to a request that lists.

        A list that changed while it was read is read again.

        Raises: RefusedError with the kernel's errno; OSError when the socket fails.
        """
        bodies: list[bytes] = []
        for _ in range(DUMP_ATTEMPTS):
            self._socket.send(self._pack(request, NLM_F_DUMP))
            bodies, interrupted = self._collect(request)
            if not interrupted:
                break
        return bodies

    def _collect(self, request: Request) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in split_messages(self._socket.recv(RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    return bodies, interrupted
                if kind == NLMSG_ERROR:
                    raise RefusedError(-_ERRNO.unpack_from(body)[0], request.action)
                bodies.append(body)
