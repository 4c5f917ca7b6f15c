"""The messages of rtnetlink: how links, addresses, routes and neighbours look on the wire.

Pure: builds the requests that ``links`` sends and reads the answers. No Kubernetes component stands
behind it.

Source: rtnetlink(7), include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from netlab.net.addresses import (
    AF_INET,
    Address,
    Interface,
    Network,
    family_of,
    make_address,
    make_interface,
    make_network,
)
from netlab.net.netlink_messages import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    nested,
    parse_attributes,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_GETNEIGH = 30
RTM_GETNSID = 90

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_PROTINFO, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_NET_NS_FD = 12, 16, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA = 1, 2, 5
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE = 1, 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15
NDA_DST, NDA_LLADDR = 1, 2
NETNSA_NSID, NETNSA_FD = 1, 3

AF_BRIDGE = 7
IFF_UP, IFF_NOARP = 0x1, 0x80
IF_OPER_UP = 6
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RTPROT_KERNEL, RTPROT_STATIC = 2, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST, RT_SCOPE_NOWHERE = 0, 253, 254, 255
RTN_UNICAST, RTN_LOCAL = 1, 2
PORT_FORWARDING = 3

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
    """One link; kind is "" for physical links and lo; master is the index of its bridge or 0.

    arp: it asks and answers for addresses. running: so is its other end. hairpin, forwarding: of a
    bridge's port, False of others.
    """

    index: int
    name: str
    kind: str
    up: bool
    mtu_bytes: int
    mac: str
    master: int
    arp: bool = True
    running: bool = False
    hairpin: bool = False
    forwarding: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the main table; destination 0.0.0.0/0 or ::/0 is the default route."""

    destination: Network
    gateway: Address | None
    link: str
    source: Address | None
    metric: int = 0


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


def change_link(index: int, *attributes: bytes, action: str) -> Request:
    """Return the request that sets attributes of a link, leaving it up or down."""
    head = IFINFO.pack(0, 0, index, 0, 0)
    return Request(RTM_NEWLINK, head + b"".join(attributes), action=action)


def set_arp(index: int, name: str) -> Request:
    """Return the request that has a link ask and answer for addresses again."""
    head = IFINFO.pack(0, 0, index, 0, IFF_NOARP)
    return Request(RTM_NEWLINK, head, action=f"set link {name} arp on")


def set_port(index: int, name: str, *, forwarding: bool = False) -> Request:
    """Return the request that puts a bridge's port into hairpin mode.

    forwarding: also let it pass frames; the kernel refuses that for a link that is down.
    """
    members = [attribute(IFLA_BRPORT_MODE, b"\1")]
    if forwarding:
        members.append(attribute(IFLA_BRPORT_STATE, bytes([PORT_FORWARDING])))
    body = IFINFO.pack(AF_BRIDGE, 0, index, 0, 0) + nested(IFLA_PROTINFO, *members)
    return Request(RTM_SETLINK, body, action=f"set hairpin mode of {name}")


def address_body(index: int, address: Interface) -> bytes:
    """Return the body of a message about one address of a link."""
    scope = RT_SCOPE_HOST if address.ip.is_loopback else RT_SCOPE_UNIVERSE
    body = IFADDR.pack(family_of(address.ip), address.network.prefixlen, 0, scope, index)
    body += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
    broadcasts = address.version == 4 and address.network.prefixlen < 31
    if broadcasts and not address.ip.is_loopback:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return body


def add_address(index: int, address: Interface, action: str) -> Request:
    """Return the request that has the address on the link. Idempotent."""
    body = address_body(index, address)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(RTM_NEWADDR, body, flags, ignore=(errno.EEXIST,), action=action)


def route_header(destination: Network, scope: int, protocol: int = RTPROT_STATIC) -> bytes:
    """Return the start of a message about a route of the main table.

    scope: RT_SCOPE_NOWHERE in a deletion matches any route to the destination.
    """
    header = ROUTE.pack(
        family_of(destination.network_address),
        destination.prefixlen,
        0,
        0,
        RT_TABLE_MAIN,
        protocol if scope != RT_SCOPE_NOWHERE else 0,
        scope,
        RTN_UNICAST if scope != RT_SCOPE_NOWHERE else 0,
        0,
    )
    if destination.prefixlen == 0:
        return header
    return header + attribute(RTA_DST, destination.network_address.packed)


def route_request(
    destination: Network, gateway: Address | None, link: int | None, source: Address | None
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


def local_route(index: int, network: Network, source: Address) -> Request:
    """Return the request for the route by which a link's own address is the node's. Idempotent."""
    body = ROUTE.pack(
        family_of(source),
        network.prefixlen,
        0,
        0,
        RT_TABLE_LOCAL,
        RTPROT_KERNEL,
        RT_SCOPE_HOST,
        RTN_LOCAL,
        0,
    )
    body += attribute(RTA_DST, network.network_address.packed)
    body += u32(RTA_OIF, index) + attribute(RTA_PREFSRC, source.packed)
    flags = NLM_F_CREATE | NLM_F_EXCL
    action = f"set local route to {network}"
    return Request(RTM_NEWROUTE, body, flags, ignore=(errno.EEXIST,), action=action)


def connected_route(index: int, address: Interface) -> Request:
    """Return the request for the route that the kernel makes with an address. Idempotent."""
    body = route_header(address.network, RT_SCOPE_LINK, RTPROT_KERNEL)
    body += u32(RTA_OIF, index) + attribute(RTA_PREFSRC, address.ip.packed)
    flags = NLM_F_CREATE | NLM_F_EXCL
    action = f"set route to {address.network}"
    return Request(RTM_NEWROUTE, body, flags, ignore=(errno.EEXIST,), action=action)


def _number(value: bytes | None) -> int:
    return int(_U32.unpack(value)[0]) if value else 0


def _string(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode() if value else ""


def parse_link(body: bytes) -> Link:
    """Return the link that a message tells of."""
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    values = parse_attributes(body[IFINFO.size :])
    info = parse_attributes(values.get(IFLA_LINKINFO, b""))
    port = parse_attributes(info.get(IFLA_INFO_SLAVE_DATA, b""))
    return Link(
        index=index,
        name=_string(values.get(IFLA_IFNAME)),
        kind=_string(info.get(IFLA_INFO_KIND)),
        up=bool(flags & IFF_UP),
        mtu_bytes=_number(values.get(IFLA_MTU)),
        mac=values.get(IFLA_ADDRESS, b"").hex(":"),
        master=_number(values.get(IFLA_MASTER)),
        arp=not flags & IFF_NOARP,
        running=values.get(IFLA_OPERSTATE, b"\0")[0] == IF_OPER_UP,
        hairpin=port.get(IFLA_BRPORT_MODE, b"\0") == b"\1",
        forwarding=port.get(IFLA_BRPORT_STATE, b"\0")[0] == PORT_FORWARDING,
    )


def _optional_address(value: bytes | None) -> Address | None:
    return make_address(value) if value else None


def parse_address(body: bytes) -> tuple[int, Interface] | None:
    """Return (index of the link, address) that a message tells of; None for a peer's address."""
    _, prefix, _, _, index = IFADDR.unpack_from(body)
    values = parse_attributes(body[IFADDR.size :])
    packed = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
    return (index, make_interface(packed, prefix)) if packed else None


def parse_route(body: bytes, names: dict[int, str]) -> Route | None:
    """Return the route that a message tells of; names: link names by index.

    None for routes of other tables and for local and broadcast routes.
    """
    family, prefix, _, _, table, _, _, kind, _ = ROUTE.unpack_from(body)
    if table != RT_TABLE_MAIN or kind != RTN_UNICAST:
        return None
    values = parse_attributes(body[ROUTE.size :])
    if _number(values.get(RTA_TABLE)) not in (0, RT_TABLE_MAIN):
        return None
    zeros = bytes(4 if family == AF_INET else 16)
    return Route(
        destination=make_network(values.get(RTA_DST, zeros), prefix),
        gateway=_optional_address(values.get(RTA_GATEWAY)),
        link=names.get(_number(values.get(RTA_OIF)), ""),
        source=_optional_address(values.get(RTA_PREFSRC)),
        metric=_number(values.get(RTA_PRIORITY)),
    )


def parse_local(body: bytes) -> tuple[int, Network] | None:
    """Return (index of the link, destination) of a local route; None for others."""
    _, prefix, _, _, table, _, _, kind, _ = ROUTE.unpack_from(body)
    if table != RT_TABLE_LOCAL or kind != RTN_LOCAL:
        return None
    values = parse_attributes(body[ROUTE.size :])
    packed = values.get(RTA_DST)
    return None if packed is None else (_number(values.get(RTA_OIF)), make_network(packed, prefix))


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
