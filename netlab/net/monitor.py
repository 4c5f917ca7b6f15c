"""Wake when the kernel tells of a change: of links, addresses and routes, or of the rule set.

Netlink sockets that joined a group are sent a message per change. What the message says is not
read: whoever is woken looks at the whole state, so that a message that was lost costs nothing.
Upstream's counterparts are ``ip monitor``, ``nft monitor`` and vishvananda's ``LinkSubscribe``.

Rules for callers: open a monitor and use it on one event loop; close it. A socket with
``everywhere`` is told of other namespaces too, namely those that a link of its own leads into,
with the number by which its namespace knows them (``Links.netns_id``).

Source: netlink(7) NETLINK_LISTEN_ALL_NSID, NETLINK_ADD_MEMBERSHIP
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from netlab.errors import NetworkError
from netlab.net.netns import call_in_netns

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP = 1, 2
NETLINK_LISTEN_ALL_NSID = 8
SO_ATTACH_FILTER = 26
# of a message only its head would matter; longer ones are cut off
READ_BYTES = 64
QUEUE_BYTES = 1 << 20

HERE = -1
"""Stands for the monitor's own namespace."""

MISSED = -2
"""Messages were lost: anything may have changed."""


class Monitor:
    """A socket in the groups of one netlink protocol. Made by ``open_monitor``."""

    def __init__(self, opened: socket.socket, groups: Sequence[int]) -> None:
        self._socket = opened
        self._groups = tuple(groups)
        self._changed: set[int] = set()
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(opened.fileno(), self._drain)

    async def wait(self) -> frozenset[int]:
        """Return, once there is a change, where: HERE, MISSED or a namespace's number."""
        await self._event.wait()
        return self.take()

    def take(self) -> frozenset[int]:
        """Return what changed and was not told yet; empty when nothing did."""
        self._event.clear()
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def pause(self) -> None:
        """Hear nothing until ``resume``; the kernel then writes no messages for us either."""
        for group in self._groups:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, group)

    def resume(self) -> None:
        """Hear again."""
        for group in self._groups:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drain(self) -> None:
        # bounded: a storm of changes must not keep the event loop from everything else
        for _ in range(1000):
            try:
                _, ancillary, _, _ = self._socket.recvmsg(READ_BYTES, 64)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._changed.add(MISSED)
                continue
            self._changed.add(_namespace(ancillary))
        if self._changed:
            self._event.set()


def _namespace(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == SOL_NETLINK and kind == NETLINK_LISTEN_ALL_NSID:
            return int(struct.unpack("=i", data)[0])
    return HERE


async def open_monitor(
    netns: Path | None,
    protocol: int,
    *,
    groups: Sequence[int],
    everywhere: bool = False,
    only_kind: int | None = None,
) -> Monitor:
    """Return a monitor of the namespace.

    groups: numbers of the protocol's groups. only_kind: the one message type to be woken by; the
    kernel throws the others away.

    Raises: NetworkError when the socket cannot be opened or may not join.
    """

    def open_here() -> socket.socket:
        opened = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            protocol,
        )
        try:
            opened.bind((0, 0))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
            if only_kind is not None:
                _attach_filter(opened, only_kind)
            if everywhere:
                with contextlib.suppress(OSError):  # without CAP_NET_BROADCAST: only here
                    opened.setsockopt(SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
            for group in groups:
                opened.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except BaseException:
            opened.close()
            raise
        return opened

    try:
        return Monitor(await call_in_netns(netns, open_here), groups)
    except OSError as error:
        raise NetworkError(f"watch netlink groups {groups}: {error.strerror}") from error


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _attach_filter(opened: socket.socket, kind: int) -> None:
    """Let only messages of one type into the socket, by a program of classic BPF.

    Source: Documentation/networking/filter.rst
    """
    # the type is the 16 bits at offset 4; the filter reads them as big-endian
    wanted = struct.unpack(">H", struct.pack("=H", kind))[0]
    steps = (
        (0x28, 0, 0, 4),  # load the half-word at 4
        (0x15, 0, 1, wanted),  # equal? go on : skip one
        (0x06, 0, 0, 0xFFFFFFFF),  # take it whole
        (0x06, 0, 0, 0),  # throw it away
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))
