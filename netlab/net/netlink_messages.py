"""What travels over netlink: headers, requests, attributes, and messages cut out of a packet.

Pure. ``netlink`` sends and receives it; ``rtnetlink`` builds the bodies for links and routes.

Source: netlink(7), include/uapi/linux/netlink.h
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10

NLMSG_ERROR = 2
NLMSG_DONE = 3

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TYPE_MASK = 0x3FFF  # the two upper bits tell "nested" and "network byte order"
NESTED = 0x8000

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
    while position + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, position)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, data[position + HEADER.size : position + length]
        position += (length + 3) & ~3
