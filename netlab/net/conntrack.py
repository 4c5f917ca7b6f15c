"""Read and delete the kernel's connection tracking entries.

An entry remembers how the first packet of a connection was translated, and later packets follow
it without looking at any rule. Upstream's counterpart is kube-proxy's ``pkg/proxy/conntrack``.
Works through ctnetlink; conntrack(8) is not needed.

Left out: IPv6, zones, ICMP entries (they hold no ports).

Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from netlab.errors import NetworkError
from netlab.net.netlink import NETLINK_NETFILTER, Netlink, RefusedError
from netlab.net.netlink_messages import Request, attribute, nested, parse_attributes
from netlab.net.netns import call_in_netns

IPCTNL_MSG_CT_GET = 1 << 8 | 1  # subsystem 1 is NFNL_SUBSYS_CTNETLINK
IPCTNL_MSG_CT_DELETE = 1 << 8 | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST = 1, 2
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_HEADER = struct.pack(">BBH", socket.AF_INET, 0, 0)


@dataclass(frozen=True, slots=True)
class Direction:
    """Source and destination of the packets of one direction."""

    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int


@dataclass(frozen=True, slots=True)
class Flow:
    """One connection: as the client sends it, and as the answers come back before translation.

    With DNAT, ``reply.source`` is where the connection really goes.
    """

    protocol: str
    original: Direction
    reply: Direction


async def list_flows(netns: Path | None, protocol: str) -> list[Flow]:
    """Return the tracked connections of a protocol: tcp, udp or sctp.

    Raises: NetworkError when they cannot be read.
    """
    wanted = PROTOCOLS[protocol]

    def read() -> list[Flow]:
        with Netlink(NETLINK_NETFILTER) as netlink:
            bodies = netlink.dump(Request(IPCTNL_MSG_CT_GET, _HEADER))
        flows = (_parse_flow(body) for body in bodies)
        return [flow for flow in flows if flow and PROTOCOLS[flow.protocol] == wanted]

    try:
        return await call_in_netns(netns, read)
    except OSError as error:
        raise NetworkError(f"list connections: {error.strerror}") from error


async def delete_flows(netns: Path | None, flows: Iterable[Flow]) -> int:
    """Delete connections; return how many were still there.

    Raises: NetworkError when one cannot be deleted.
    """
    wanted = list(flows)

    def delete() -> int:
        deleted = 0
        with Netlink(NETLINK_NETFILTER) as netlink:
            for flow in wanted:
                body = _HEADER + _tuple(CTA_TUPLE_ORIG, flow.protocol, flow.original)
                try:
                    netlink.apply([Request(IPCTNL_MSG_CT_DELETE, body)])
                    deleted += 1
                except RefusedError as error:
                    if error.errno != errno.ENOENT:  # it ended meanwhile
                        raise
        return deleted

    if not wanted:
        return 0
    try:
        return await call_in_netns(netns, delete)
    except OSError as error:
        raise NetworkError(f"delete connections: {error.strerror}") from error


def _port(kind: int, port: int) -> bytes:
    return attribute(kind, struct.pack(">H", port))


def _tuple(kind: int, protocol: str, direction: Direction) -> bytes:
    return nested(
        kind,
        nested(
            CTA_TUPLE_IP,
            attribute(CTA_IP_V4_SRC, direction.source.packed),
            attribute(CTA_IP_V4_DST, direction.destination.packed),
        ),
        nested(
            CTA_TUPLE_PROTO,
            attribute(CTA_PROTO_NUM, bytes([PROTOCOLS[protocol]])),
            _port(CTA_PROTO_SRC_PORT, direction.source_port),
            _port(CTA_PROTO_DST_PORT, direction.destination_port),
        ),
    )


def _parse_direction(data: bytes) -> tuple[int, Direction] | None:
    parts = parse_attributes(data)
    addresses = parse_attributes(parts.get(CTA_TUPLE_IP, b""))
    protocol = parse_attributes(parts.get(CTA_TUPLE_PROTO, b""))
    if CTA_IP_V4_SRC not in addresses or CTA_PROTO_SRC_PORT not in protocol:
        return None
    direction = Direction(
        IPv4Address(addresses[CTA_IP_V4_SRC]),
        int.from_bytes(protocol[CTA_PROTO_SRC_PORT], "big"),
        IPv4Address(addresses[CTA_IP_V4_DST]),
        int.from_bytes(protocol[CTA_PROTO_DST_PORT], "big"),
    )
    return protocol[CTA_PROTO_NUM][0], direction


def _parse_flow(body: bytes) -> Flow | None:
    parts = parse_attributes(body[len(_HEADER) :])
    original = _parse_direction(parts.get(CTA_TUPLE_ORIG, b""))
    reply = _parse_direction(parts.get(CTA_TUPLE_REPLY, b""))
    if original is None or reply is None or original[0] not in _NAMES:
        return None
    return Flow(_NAMES[original[0]], original[1], reply[1])
