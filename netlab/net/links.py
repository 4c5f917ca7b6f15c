"""Set and read links, addresses, routes and neighbours of one network namespace.

What ``ip link``, ``ip address``, ``ip route`` and ``ip neighbour`` do, through rtnetlink; the CNI
plugins do the same through ``vishvananda/netlink``.

Rules for callers: a ``Links`` is opened, used and closed on one thread inside the namespace; get
one with ``call_links``. ``ensure_…`` and ``remove_…`` are idempotent; ``create_…`` fails when the
thing exists. A veth is created with its peer already inside the other namespace and its near side
already on the bridge: moving a link afterwards makes the kernel wait for an RCU grace period
(about 17 ms), creating it in place does not.

Left out: VLANs, tunnels, traffic control.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from netlab.errors import NetworkError
from netlab.net import rtnetlink as rt
from netlab.net.addresses import Address, Family, Interface, Network, default_range
from netlab.net.link_state import Fault, Observed, Wanted, WantedLink, bridge_request, plan_links
from netlab.net.netlink import NETLINK_ROUTE, Netlink, RefusedError
from netlab.net.netlink_messages import Request, attribute, nested, parse_attributes, text, u32
from netlab.net.netns import call_in_netns
from netlab.net.rtnetlink import Link, Neighbour, Route

T = TypeVar("T")

MEND_ROUNDS = 3
_NUMBERS = {4: socket.AF_INET, 6: socket.AF_INET6}


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
        try:
            return socket.if_nametoindex(name)
        except OSError as error:
            raise NetworkError(f"link {name}: no such link") from error

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
            bodies = self._netlink.dump(Request(rt.RTM_GETLINK, rt.IFINFO.pack(0, 0, 0, 0, 0)))
        return sorted((rt.parse_link(body) for body in bodies), key=lambda link: link.index)

    def link(self, name: str) -> Link | None:
        """Return the link of that name, or None."""
        body = rt.IFINFO.pack(0, 0, 0, 0, 0) + text(rt.IFLA_IFNAME, name)
        with _doing(f"read link {name}"):
            try:
                return rt.parse_link(self._netlink.ask(Request(rt.RTM_GETLINK, body)))
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
            wanted = WantedLink(name=name, kind="bridge", mtu_bytes=mtu_bytes, mac=mac)
            self._apply(bridge_request(wanted))
            return self.index(name)
        if link.kind != "bridge":
            raise NetworkError(f"add bridge {name}: a link of another kind has this name")
        if link.mtu_bytes != mtu_bytes or not link.up:
            body = rt.link_up(link.index) + u32(rt.IFLA_MTU, mtu_bytes)
            self._apply(Request(rt.RTM_NEWLINK, body, action=f"set bridge {name}"))
        return link.index

    def ensure_address(self, name: str, address: Interface) -> None:
        """Give the link an address with its prefix."""
        self._apply(rt.add_address(self.index(name), address, f"add address {address} to {name}"))

    def remove_address(self, name: str, address: Interface) -> None:
        """Take the address away from the link."""
        if not self.exists(name):
            return
        body = rt.address_body(self.index(name), address)
        action = f"remove address {address} of {name}"
        gone = (errno.EADDRNOTAVAIL, errno.ENODEV)
        self._apply(Request(rt.RTM_DELADDR, body, ignore=gone, action=action))

    def addresses(self, name: str | None = None, *, family: Family = 4) -> list[Interface]:
        """Return the addresses of one family of a link, or of all links."""
        wanted = None if name is None else self.index(name)
        return [one for index, one in self._addresses(family) if wanted in (None, index)]

    def _addresses(self, family: Family) -> list[tuple[int, Interface]]:
        with _doing("list addresses"):
            header = rt.IFADDR.pack(_NUMBERS[family], 0, 0, 0, 0)
            bodies = self._netlink.dump(Request(rt.RTM_GETADDR, header))
        return [found for body in bodies if (found := rt.parse_address(body)) is not None]

    def ensure_link_up(self, name: str) -> None:
        """Set the link up."""
        self._apply(rt.set_up(self.index(name), name))

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
        peer = (
            rt.IFINFO.pack(0, 0, 0, 0, 0)
            + text(rt.IFLA_IFNAME, peer_name)
            + u32(rt.IFLA_MTU, mtu_bytes)
        )
        if peer_mac is not None:
            peer += attribute(rt.IFLA_ADDRESS, rt.pack_mac(peer_mac))
        body = rt.link_up(0) + text(rt.IFLA_IFNAME, name) + u32(rt.IFLA_MTU, mtu_bytes)
        if bridge is not None:
            body += u32(rt.IFLA_MASTER, self.index(bridge))
        with contextlib.ExitStack() as stack, _doing(action):
            if peer_netns is not None:
                descriptor = os.open(peer_netns, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                peer += u32(rt.IFLA_NET_NS_FD, descriptor)
            data = nested(rt.IFLA_INFO_DATA, attribute(rt.VETH_INFO_PEER, peer))
            body += nested(rt.IFLA_LINKINFO, text(rt.IFLA_INFO_KIND, "veth"), data)
            self._netlink.apply([rt.create(rt.RTM_NEWLINK, body, action)])
        index = self.index(name)
        if bridge is not None:
            self._apply(rt.set_port(index, name))
        return index

    def configure_pod(self, name: str, address: Interface, gateway: Address) -> None:
        """Set lo and the link up, with an address and a default route, in one message."""
        lo, link = self.index("lo"), self.index(name)
        self._apply(
            rt.set_up(lo, "lo"),
            rt.set_up(link, name),
            rt.add_address(link, address, f"add address {address} to {name}"),
            rt.route_request(default_range(gateway), gateway, link, None),
        )

    def remove_link(self, name: str) -> None:
        """Remove the link; of a veth, both ends."""
        body = rt.IFINFO.pack(0, 0, 0, 0, 0) + text(rt.IFLA_IFNAME, name)
        gone = (errno.ENODEV,)
        self._apply(Request(rt.RTM_DELLINK, body, ignore=gone, action=f"remove link {name}"))

    def ensure_route(
        self,
        destination: Network,
        *,
        gateway: Address | None = None,
        link: str | None = None,
        source: Address | None = None,
    ) -> None:
        """Have one route to ``destination``: through a gateway, a link or both. Replaces another.

        Raises: NetworkError, for example when no link reaches the gateway.
        """
        index = None if link is None else self.index(link)
        self._apply(rt.route_request(destination, gateway, index, source))

    def remove_route(self, destination: Network) -> None:
        """Remove the route of the main table to ``destination``."""
        body = rt.route_header(destination, rt.RT_SCOPE_NOWHERE)
        action = f"remove route to {destination}"
        self._apply(Request(rt.RTM_DELROUTE, body, ignore=(errno.ESRCH,), action=action))

    def routes(self, *, family: Family = 4) -> list[Route]:
        """Return the unicast routes of the main table, most specific first."""
        names = {link.index: link.name for link in self.links()}
        return self._routes(family, names)

    def _routes(self, family: Family, names: dict[int, str]) -> list[Route]:
        bodies = self._dump_routes(family)
        found = [route for body in bodies if (route := rt.parse_route(body, names)) is not None]
        return sorted(found, key=_specific_first)

    def _dump_routes(self, family: Family) -> list[bytes]:
        header = rt.ROUTE.pack(_NUMBERS[family], 0, 0, 0, 0, 0, 0, 0, 0)
        with _doing("list routes"):
            return self._netlink.dump(Request(rt.RTM_GETROUTE, header))

    def observe(
        self, families: Iterable[Family] = (4,), *, only: Sequence[str] | None = None
    ) -> Observed:
        """Return the links, with the addresses and routes of the families.

        only: the names of the links to look at; None for all of them.
        """
        if only is None:
            links = self.links()
        else:
            links = [link for name in only if (link := self.link(name)) is not None]
        names = {link.index: link.name for link in links}
        addresses = [one for family in families for one in self._addresses(family)]
        bodies = [body for family in families for body in self._dump_routes(family)]
        routes = [route for body in bodies if (route := rt.parse_route(body, names)) is not None]
        local = [one for body in bodies if (one := rt.parse_local(body)) is not None]
        return Observed(tuple(links), tuple(addresses), tuple(routes), frozenset(local))

    def mend(self, wanted: Wanted, *, only: Sequence[str] | None = None) -> list[Fault]:
        """Have what is wanted; return what was not so, mended or not.

        only: the links to look at, which saves listing all of them; None for all.

        Raises: NetworkError with the first refusal, after all was tried.
        """
        told: dict[str, Fault] = {}
        # once more: a link that was made or set up changes what else is there
        for _ in range(MEND_ROUNDS):
            faults = plan_links(wanted, self.observe(only=only))
            told |= {fault.text: fault for fault in faults}
            requests = [request for fault in faults for request in fault.requests]
            if not requests:
                break
            self._apply(*requests)
        return list(told.values())

    def netns_id(self, netns: Path) -> int | None:
        """Return the number by which this namespace knows another; None when it has none yet.

        The kernel gives one to a namespace that a link of this one leads into.
        """
        with _doing(f"number of {netns}"):
            descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                body = bytes(4) + u32(rt.NETNSA_FD, descriptor)
                answer = self._netlink.ask(Request(rt.RTM_GETNSID, body))
            finally:
                os.close(descriptor)
        packed = parse_attributes(answer[4:]).get(rt.NETNSA_NSID)
        number = struct.unpack("=i", packed)[0] if packed else -1
        return None if number < 0 else number

    def neighbours(self) -> list[Neighbour]:
        """Return the ARP entries, in order of address."""
        header = rt.NEIGHBOUR.pack(socket.AF_INET, 0, 0, 0, 0)
        with _doing("list neighbours"):
            bodies = self._netlink.dump(Request(rt.RTM_GETNEIGH, header))
        names = {link.index: link.name for link in self.links()}
        found = [rt.parse_neighbour(body, names) for body in bodies]
        return sorted(found, key=lambda neighbour: neighbour.address)


def _specific_first(route: Route) -> tuple[int, bytes]:
    return -route.destination.prefixlen, route.destination.network_address.packed


async def call_links(netns: Path | None, function: Callable[[Links], T]) -> T:
    """Return what ``function`` returns when given the links of the namespace at ``netns``.

    It runs on a thread of its own (see ``netns``); the ``Links`` ends with it.

    Raises: NetworkError from entering the namespace or from the function.
    """

    def open_and_call() -> T:
        with Links() as links:
            return function(links)

    return await call_in_netns(netns, open_and_call)
