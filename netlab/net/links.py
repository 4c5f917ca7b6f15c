"""Set and read links, addresses, routes and neighbours of one network namespace.

What ``ip link``, ``ip address``, ``ip route`` and ``ip neighbour`` do, through rtnetlink; the CNI
plugins do the same through ``vishvananda/netlink``.

Rules for callers: a ``Links`` is opened, used and closed on one thread inside the namespace; get
one with ``call_links``. ``ensure_…`` and ``remove_…`` are idempotent; ``create_…`` fails when the
thing exists. A veth is created with its peer already inside the other namespace and its near side
already on the bridge: moving a link afterwards makes the kernel wait for an RCU grace period
(about 17 ms), creating it in place does not.

Left out: IPv6, VLANs, tunnels, traffic control.

Source: rtnetlink(7), include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import TypeVar

from netlab.errors import NetworkError
from netlab.net.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Netlink,
    RefusedError,
    Request,
    attribute,
    nested,
    parse_attributes,
    text,
    u32,
)
from netlab.net.netns import call_in_netns

T = TypeVar("T")

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

_IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, changed flags
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst/src length, tos, table, protocol, scope, type
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
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


@contextlib.contextmanager
def _doing(action: str) -> Iterator[None]:
    """Translate the kernel's refusal."""
    try:
        yield
    except RefusedError as error:
        raise NetworkError(f"{error.action or action}: {error.strerror}") from error
    except OSError as error:
        raise NetworkError(f"{action}: {error.strerror or error}") from error


class Links:
    """The links of the namespace that the opening thread is in. Use it in a ``with`` statement."""

    def __init__(self) -> None:
        with _doing("open netlink socket"):
            self._netlink = Netlink(NETLINK_ROUTE)

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        self._netlink.close()

    def _apply(self, *requests: Request) -> None:
        with _doing(requests[0].action):
            self._netlink.apply(requests)

    def index(self, name: str) -> int:
        """Return the index of a link.

        Raises: NetworkError when there is none of that name.
        """
        with _doing(f"link {name}"):
            return socket.if_nametoindex(name)

    def exists(self, name: str) -> bool:
        """True when there is a link of that name."""
        try:
            socket.if_nametoindex(name)
        except OSError:
            return False
        return True

    def links(self) -> list[Link]:
        """Return all links, in order of their index."""
        with _doing("list links"):
            bodies = self._netlink.dump(Request(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0)))
        return sorted((_parse_link(body) for body in bodies), key=lambda link: link.index)

    def link(self, name: str) -> Link | None:
        """Return the link of that name, or None."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
        with _doing(f"read link {name}"):
            try:
                return _parse_link(self._netlink.ask(Request(RTM_GETLINK, body)))
            except RefusedError as error:
                if error.errno == errno.ENODEV:
                    return None
                raise

    def ensure_bridge(self, name: str, *, mtu_bytes: int, mac: str | None = None) -> int:
        """Return the index of a bridge that is up and has the MTU.

        mac: given to a new bridge. Without one a bridge takes the lowest of its ports', and
        changes it, under everybody's ARP entries, when ports come and go.

        Raises: NetworkError when a link of another kind has the name.
        """
        link = self.link(name)
        if link is None:
            body = _link_up(0) + text(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu_bytes)
            body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
            if mac is not None:
                body += attribute(IFLA_ADDRESS, _mac(mac))
            self._apply(_create(RTM_NEWLINK, body, f"add bridge {name}"))
            return self.index(name)
        if link.kind != "bridge":
            raise NetworkError(f"add bridge {name}: a link of another kind has this name")
        if link.mtu_bytes != mtu_bytes or not link.up:
            body = _link_up(link.index) + u32(IFLA_MTU, mtu_bytes)
            self._apply(Request(RTM_NEWLINK, body, action=f"set bridge {name}"))
        return link.index

    def ensure_address(self, name: str, address: IPv4Interface) -> None:
        """Give the link an address with its prefix."""
        self._apply(_add_address(self.index(name), address, f"add address {address} to {name}"))

    def remove_address(self, name: str, address: IPv4Interface) -> None:
        """Take the address away from the link."""
        if not self.exists(name):
            return
        body = _address_body(self.index(name), address)
        action = f"remove address {address} of {name}"
        gone = (errno.EADDRNOTAVAIL, errno.ENODEV)
        self._apply(Request(RTM_DELADDR, body, ignore=gone, action=action))

    def addresses(self, name: str | None = None) -> list[IPv4Interface]:
        """Return the IPv4 addresses of a link, or of all links."""
        wanted = None if name is None else self.index(name)
        with _doing("list addresses"):
            header = _IFADDR.pack(socket.AF_INET, 0, 0, 0, 0)
            bodies = self._netlink.dump(Request(RTM_GETADDR, header))
        found = []
        for body in bodies:
            _, prefix, _, _, index = _IFADDR.unpack_from(body)
            values = parse_attributes(body[_IFADDR.size :])
            if IFA_LOCAL in values and wanted in (None, index):
                found.append(IPv4Interface((values[IFA_LOCAL], prefix)))
        return found

    def ensure_link_up(self, name: str) -> None:
        """Set the link up."""
        self._apply(_set_up(self.index(name), name))

    def create_veth(
        self,
        name: str,
        *,
        peer_name: str,
        peer_netns: Path | None,
        bridge: str | None,
        mtu_bytes: int,
        peer_mac: str | None = None,
    ) -> int:
        """Create a veth whose peer appears in another namespace; the near end is up.

        The peer stays down: the kernel opens it only once the pair is complete. peer_netns: None
        leaves the peer here. bridge: the near end becomes its port, in hairpin mode, so that a
        frame may leave through the port it came in. Return the near end's index.

        Raises: NetworkError when a name is in use or the namespace cannot be opened.
        """
        action = f"add veth {name}"
        peer = _IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, peer_name) + u32(IFLA_MTU, mtu_bytes)
        if peer_mac is not None:
            peer += attribute(IFLA_ADDRESS, _mac(peer_mac))
        body = _link_up(0) + text(IFLA_IFNAME, name) + u32(IFLA_MTU, mtu_bytes)
        if bridge is not None:
            body += u32(IFLA_MASTER, self.index(bridge))
        with contextlib.ExitStack() as stack, _doing(action):
            if peer_netns is not None:
                descriptor = os.open(peer_netns, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                peer += u32(IFLA_NET_NS_FD, descriptor)
            data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
            body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), data)
            self._netlink.apply([_create(RTM_NEWLINK, body, action)])
        index = self.index(name)
        if bridge is not None:
            port = nested(IFLA_PROTINFO, attribute(IFLA_BRPORT_MODE, b"\1"))
            header = _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
            self._apply(Request(RTM_SETLINK, header + port, action=f"set hairpin mode of {name}"))
        return index

    def configure_pod(self, name: str, address: IPv4Interface, gateway: IPv4Address) -> None:
        """Set lo and the link up, with an address and a default route, in one message."""
        lo, link = self.index("lo"), self.index(name)
        self._apply(
            _set_up(lo, "lo"),
            _set_up(link, name),
            _add_address(link, address, f"add address {address} to {name}"),
            _route_request(IPv4Network("0.0.0.0/0"), gateway, link, None),
        )

    def remove_link(self, name: str) -> None:
        """Remove the link; of a veth, both ends."""
        body = _IFINFO.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
        gone = (errno.ENODEV,)
        self._apply(Request(RTM_DELLINK, body, ignore=gone, action=f"remove link {name}"))

    def ensure_route(
        self,
        destination: IPv4Network,
        *,
        gateway: IPv4Address | None = None,
        link: str | None = None,
        source: IPv4Address | None = None,
    ) -> None:
        """Have one route to ``destination``: through a gateway, a link or both. Replaces another.

        Raises: NetworkError, for example when no link reaches the gateway.
        """
        index = None if link is None else self.index(link)
        self._apply(_route_request(destination, gateway, index, source))

    def remove_route(self, destination: IPv4Network) -> None:
        """Remove the route of the main table to ``destination``."""
        body = _route_header(destination, RT_SCOPE_NOWHERE)
        action = f"remove route to {destination}"
        self._apply(Request(RTM_DELROUTE, body, ignore=(errno.ESRCH,), action=action))

    def routes(self) -> list[Route]:
        """Return the unicast routes of the main table, most specific first."""
        header = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        with _doing("list routes"):
            bodies = self._netlink.dump(Request(RTM_GETROUTE, header))
        names = {link.index: link.name for link in self.links()}
        found = [route for body in bodies if (route := _parse_route(body, names)) is not None]
        return sorted(found, key=lambda route: (-route.destination.prefixlen, route.destination))

    def neighbours(self) -> list[Neighbour]:
        """Return the ARP entries, in order of address."""
        header = _NEIGHBOUR.pack(socket.AF_INET, 0, 0, 0, 0)
        with _doing("list neighbours"):
            bodies = self._netlink.dump(Request(RTM_GETNEIGH, header))
        names = {link.index: link.name for link in self.links()}
        found = [_parse_neighbour(body, names) for body in bodies]
        return sorted(found, key=lambda neighbour: neighbour.address)


async def call_links(netns: Path | None, function: Callable[[Links], T]) -> T:
    """Return what ``function`` returns when given the links of the namespace at ``netns``.

    It runs on a thread of its own (see ``netns``); the ``Links`` ends with it.

    Raises: NetworkError from entering the namespace or from the function.
    """

    def open_and_call() -> T:
        with Links() as links:
            return function(links)

    return await call_in_netns(netns, open_and_call)


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _link_up(index: int) -> bytes:
    return _IFINFO.pack(0, 0, index, IFF_UP, IFF_UP)


def _set_up(index: int, name: str) -> Request:
    return Request(RTM_NEWLINK, _link_up(index), action=f"set link {name} up")


def _create(kind: int, body: bytes, action: str) -> Request:
    return Request(kind, body, NLM_F_CREATE | NLM_F_EXCL, action=action)


def _address_body(index: int, address: IPv4Interface) -> bytes:
    body = _IFADDR.pack(socket.AF_INET, address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
    if address.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return body


def _add_address(index: int, address: IPv4Interface, action: str) -> Request:
    body = _address_body(index, address)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Request(RTM_NEWADDR, body, flags, ignore=(errno.EEXIST,), action=action)


def _route_header(destination: IPv4Network, scope: int) -> bytes:
    header = _ROUTE.pack(
        socket.AF_INET,
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


def _route_request(
    destination: IPv4Network,
    gateway: IPv4Address | None,
    link: int | None,
    source: IPv4Address | None,
) -> Request:
    # without a gateway the destination's hosts are on the link and are asked for by ARP
    body = _route_header(destination, RT_SCOPE_LINK if gateway is None else RT_SCOPE_UNIVERSE)
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


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    values = parse_attributes(body[_IFINFO.size :])
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


def _parse_route(body: bytes, names: dict[int, str]) -> Route | None:
    """None for routes of other tables and for local and broadcast routes."""
    _, prefix, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    values = parse_attributes(body[_ROUTE.size :])
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


def _parse_neighbour(body: bytes, names: dict[int, str]) -> Neighbour:
    _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    values = parse_attributes(body[_NEIGHBOUR.size :])
    return Neighbour(
        address=IPv4Address(values[NDA_DST]),
        mac=values.get(NDA_LLADDR, b"").hex(":"),
        link=names.get(index, ""),
        state=NEIGHBOUR_STATES.get(state, "NONE"),
    )
