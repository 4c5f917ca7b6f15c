"""Speak netlink: requests out, acknowledgements and dumps back.

Netlink is how iproute2, conntrack-tools and the CNI plugins talk to the kernel; upstream's
counterpart is ``vishvananda/netlink`` ``nl``. ``links`` uses it for routes and links,
``conntrack`` for flows, ``iptables`` for the generation of the rule set.

Rules for callers: a ``Netlink`` belongs to the network namespace of the thread that opened it
and is used by one thread at a time. It blocks, but the kernel answers within the send itself; the
timeout only guards against a broken kernel. Several requests in one call travel in one message.
``netlink_messages`` builds and reads what travels.

netlab does not use pyroute2 here: since 0.9 it runs an asyncio loop per socket and thread, which
uvloop refuses to host, needs 0.1 s and 10 MB to import, and 1 ms per request where this takes 0.1.

Source: netlink(7), rtnetlink(7), include/uapi/linux/netlink.h
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

from netlab.net.netlink_messages import (
    HEADER,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Request,
    split_messages,
)

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_ERRNO = struct.Struct("=i")

RECEIVE_BYTES = 1 << 18
TIMEOUT_S = 5.0
DUMP_ATTEMPTS = 5


class RefusedError(OSError):
    """The kernel answered a request with an errno; ``action`` tells which request."""

    def __init__(self, code: int, action: str) -> None:
        super().__init__(code, os.strerror(code))
        self.action = action


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
        length = HEADER.size + len(request.body)
        header = HEADER.pack(
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
