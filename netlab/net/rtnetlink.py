"""The messages of rtnetlink: how links, addresses, routes and neighbours look on the wire.

Pure: builds the requests that ``links`` sends and reads the answers. No Kubernetes component stands
behind it.

Source: rtnetlink(7), include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from netlab.net.netlink_messages import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    parse_attributes,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_GETNEIGH = 30

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_PROTINFO, IFLA_LINKINFO, IFLA_NET_NS_FD = 12, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
NDA_DST, NDA_LLADDR = 1, 2

IFF_UP = 1
AF_INET = 2
RT_TABLE_MAIN = 254
RTPROT_STATIC = 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTN_UNICAST = 1

NEIGHBOUR_STATES = {
    0x01: "INCOMPLETE",
    0x02: "REACHABLE",
    0x04: "STALE",
    0x08: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
    0x40: "NOARP",
    0x80: "PERMANENT",
}

IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, changed flags
IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst/src length, tos, table, protocol, scope, type
NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_U32 = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Link:
    """One link; kind is "" for physical links and lo; master is the index of its bridge or 0."""

    index: int
    name: str
    kind: str
    up: bool
    mtu_bytes: int
    mac: str
    master: int


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the main table; destination 0.0.0.0/0 is the default route."""

    destination: IPv4Network
    gateway: IPv4Address | None
    link: str
    source: IPv4Address | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One ARP entry; state is a word of ip-neighbour(8)."""

    address: IPv4Address
    mac: str
    link: str
    state: str


def pack_mac(mac: str) -> bytes:
    """Return the six bytes of a hardware address such as ``0a:58:0a:f4:00:01``."""
    return bytes.fromhex(mac.replace(":", ""))


def link_up(index: int) -> bytes:
    """Return the head of a link message that sets the link up; index 0 is a new link."""
    return IFINFO.pack(0, 0, index, IFF_UP, IFF_UP)


def set_up(index: int, name: str) -> Request:
    """Return the request that sets a link up."""
    return Request(RTM_NEWLINK, link_up(index), action=f"set link {name} up")


def create(kind: int, body: bytes, action: str) -> Request:
    """Return a request that fails when the thing exists."""
    return Request(kind, body, NLM_F_CREATE | NLM_F_EXCL, action=action)


def address_body(index: int, address: IPv4Interface) -> bytes:
    """Return the body of a message about one address of a link."""
    body = IFADDR.pack(AF_INET, address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
    if address.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return body


def add_address(index: int, address: IPv4Interface, action: str) -> Request:
    """Return the request that has the address on the link. Idempotent."""
    body = address_body(index, address)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(RTM_NEWADDR, body, flags, ignore=(errno.EEXIST,), action=action)


def route_header(destination: IPv4Network, scope: int) -> bytes:
    """Return the start of a message about a route of the main table.

    scope: RT_SCOPE_NOWHERE in a deletion matches any route to the destination.
    """
    header = ROUTE.pack(
        AF_INET,
        destination.prefixlen,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC if scope != RT_SCOPE_NOWHERE else 0,
        scope,
        RTN_UNICAST if scope != RT_SCOPE_NOWHERE else 0,
        0,
    )
    if destination.prefixlen == 0:
        return header
    return header + attribute(RTA_DST, destination.network_address.packed)


def route_request(
    destination: IPv4Network,
    gateway: IPv4Address | None,
    link: int | None,
    source: IPv4Address | None,
) -> Request:
    """Return the request that has this route to the destination and no other; link: an index."""
    # without a gateway the destination's hosts are on the link and are asked for by ARP
    body = route_header(destination, RT_SCOPE_LINK if gateway is None else RT_SCOPE_UNIVERSE)
    if gateway is not None:
        body += attribute(RTA_GATEWAY, gateway.packed)
    if link is not None:
        body += u32(RTA_OIF, link)
    if source is not None:
        body += attribute(RTA_PREFSRC, source.packed)
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Request(RTM_NEWROUTE, body, flags, action=f"set route to {destination}")


def _number(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0


def _string(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode() if value else ""


def parse_link(body: bytes) -> Link:
    """Return the link that a message tells of."""
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    values = parse_attributes(body[IFINFO.size :])
    info = parse_attributes(values.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_string(values.get(IFLA_IFNAME)),
        kind=_string(info.get(IFLA_INFO_KIND)),
        up=bool(flags & IFF_UP),
        mtu_bytes=_number(values.get(IFLA_MTU)),
        mac=values.get(IFLA_ADDRESS, b"").hex(":"),
        master=_number(values.get(IFLA_MASTER)),
    )


def _optional_address(value: bytes | None) -> IPv4Address | None:
    return IPv4Address(value) if value else None


def parse_route(body: bytes, names: dict[int, str]) -> Route | None:
    """Return the route that a message tells of; names: link names by index.

    None for routes of other tables and for local and broadcast routes.
    """
    _, prefix, _, _, table, _, _, kind, _ = ROUTE.unpack_from(body)
    values = parse_attributes(body[ROUTE.size :])
    if _number(values.get(RTA_TABLE)) not in (0, RT_TABLE_MAIN) or table != RT_TABLE_MAIN:
        return None
    if kind != RTN_UNICAST:
        return None
    return Route(
        destination=IPv4Network((values.get(RTA_DST, bytes(4)), prefix)),
        gateway=_optional_address(values.get(RTA_GATEWAY)),
        link=names.get(_number(values.get(RTA_OIF)), ""),
        source=_optional_address(values.get(RTA_PREFSRC)),
    )


def parse_neighbour(body: bytes, names: dict[int, str]) -> Neighbour:
    """Return the ARP entry that a message tells of; names: link names by index."""
    _, index, state, _, _ = NEIGHBOUR.unpack_from(body)
    values = parse_attributes(body[NEIGHBOUR.size :])
    return Neighbour(
        address=IPv4Address(values[NDA_DST]),
        mac=values.get(NDA_LLADDR, b"").hex(":"),
        link=names.get(index, ""),
        state=NEIGHBOUR_STATES.get(state, "NONE"),
    )
