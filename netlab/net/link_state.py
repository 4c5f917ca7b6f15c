"""Decide what of the wanted links, addresses and routes is missing, and the requests that mend it.

No component of Kubernetes does this: a real node leaves a bridge that was set down as it is. Here
students break links by hand, and what netlab made must come back, whatever part of it was undone.

Rules for callers: a ``Wanted`` names only what the caller made; all else that is found, further
addresses, routes and links, is left alone. Apply the requests in order and look again: setting a
link up makes the kernel add routes, and a link that had to be created has no index before.
A fault without requests cannot be mended here, such as a veth that is gone.

Pure. Left out: neighbours, rules of policy routing, other routing tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface

from netlab.net import rtnetlink as rt
from netlab.net.addresses import Address, Interface, Network, make_network
from netlab.net.netlink_messages import Request, attribute, nested, text, u32
from netlab.net.rtnetlink import Link, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedLink:
    """One link that is up. kind: ``bridge`` is created when missing; others are only told of.

    mtu_bytes, mac: None leaves them alone. bridge: the name of the bridge whose port it is, in
    hairpin mode; "" for none. addresses: with their connected routes.
    """

    name: str
    kind: str = ""
    mtu_bytes: int | None = None
    mac: str | None = None
    bridge: str = ""
    addresses: tuple[Interface, ...] = ()


LOOPBACK = WantedLink(name="lo", addresses=(IPv4Interface("127.0.0.1/8"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRoute:
    """One route without a metric; gateway None: the destination is on the link itself."""

    destination: Network
    link: str
    gateway: Address | None = None
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one owner wants in one namespace. where: how faults call it, such as ``on the node``."""

    where: str
    links: tuple[WantedLink, ...] = ()
    routes: tuple[WantedRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What a namespace holds; addresses and local routes with the index of their link.

    local: the destinations that are the node's own; None when they were not looked at.
    """

    links: tuple[Link, ...]
    addresses: tuple[tuple[int, Interface], ...]
    routes: tuple[Route, ...]
    local: frozenset[tuple[int, Network]] | None = None

    def link(self, name: str) -> Link | None:
        """Return the link of that name, or None."""
        return next((link for link in self.links if link.name == name), None)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as wanted, in words, and the requests that mend it."""

    text: str
    requests: tuple[Request, ...] = ()


def plan_links(wanted: Wanted, observed: Observed) -> list[Fault]:
    """Return what is not as wanted, in the order to mend it; empty when all is well."""
    faults = []
    for link in wanted.links:
        held = observed.link(link.name)
        if held is None:
            faults.append(_missing(link, wanted.where))
            continue
        faults += _link_faults(link, held, wanted.where, observed)
        faults += _address_faults(link, held, wanted.where, observed)
    for route in wanted.routes:
        faults += _route_faults(route, wanted.where, observed)
    return faults


def bridge_request(link: WantedLink) -> Request:
    """Return the request that creates a bridge, up."""
    body = rt.link_up(0) + text(rt.IFLA_IFNAME, link.name)
    body += nested(rt.IFLA_LINKINFO, text(rt.IFLA_INFO_KIND, "bridge"))
    if link.mtu_bytes is not None:
        body += u32(rt.IFLA_MTU, link.mtu_bytes)
    if link.mac is not None:
        body += attribute(rt.IFLA_ADDRESS, rt.pack_mac(link.mac))
    return rt.create(rt.RTM_NEWLINK, body, f"add bridge {link.name}")


def _missing(link: WantedLink, where: str) -> Fault:
    if link.kind != "bridge":
        return Fault(f"{link.name} is missing {where}")
    return Fault(f"bridge {link.name} is missing {where}", (bridge_request(link),))


def _link_faults(link: WantedLink, held: Link, where: str, observed: Observed) -> Iterator[Fault]:
    name, index = link.name, held.index
    if link.kind and link.kind != held.kind:
        yield Fault(f"{name} is not a {link.kind}: a link of another kind has this name")
        return
    if link.bridge:
        yield from _port_faults(link, held, observed)
    if link.mtu_bytes is not None and held.mtu_bytes != link.mtu_bytes:
        action = f"set MTU of {name}"
        request = rt.change_link(index, u32(rt.IFLA_MTU, link.mtu_bytes), action=action)
        yield Fault(f"{name} has MTU {held.mtu_bytes}, not {link.mtu_bytes}, {where}", (request,))
    if link.mac is not None and held.mac != link.mac:
        mac = attribute(rt.IFLA_ADDRESS, rt.pack_mac(link.mac))
        request = rt.change_link(index, mac, action=f"set MAC of {name}")
        yield Fault(f"{name} has the MAC {held.mac}, not {link.mac}, {where}", (request,))
    if not held.arp:
        yield Fault(f"{name} does not speak ARP {where}", (rt.set_arp(index, name),))
    if not held.up:
        yield Fault(f"{name} is down {where}", (rt.set_up(index, name),))


def _port_faults(link: WantedLink, held: Link, observed: Observed) -> Iterator[Fault]:
    name, index = link.name, held.index
    bridge = observed.link(link.bridge)
    if bridge is None:
        yield Fault(f"{name} is not a port of {link.bridge}")
    elif held.master != bridge.index:
        action = f"make {name} a port of {link.bridge}"
        join = rt.change_link(index, u32(rt.IFLA_MASTER, bridge.index), action=action)
        yield Fault(f"{name} is not a port of {link.bridge}", (join, rt.set_port(index, name)))
    elif not held.hairpin:
        yield Fault(f"{name} is not in hairpin mode", (rt.set_port(index, name),))
    elif held.running and bridge.up and not held.forwarding:
        request = rt.set_port(index, name, forwarding=True)
        yield Fault(f"{name} passes no frames to {link.bridge}", (request,))


def _address_faults(
    link: WantedLink, held: Link, where: str, observed: Observed
) -> Iterator[Fault]:
    own = {address for index, address in observed.addresses if index == held.index}
    for address in link.addresses:
        connected = rt.connected_route(held.index, address)
        routed = held.name == "lo" or any(
            route.destination == address.network and route.link == held.name
            for route in observed.routes
        )
        if address not in own:
            # the kernel makes the connected route with it
            request = rt.add_address(held.index, address, f"add address {address} to {link.name}")
            yield Fault(f"{link.name} lacks the address {address} {where}", (request,))
        elif held.up and (lost := _lost_local(held, address, observed)):
            yield Fault(f"{link.name} does not take packets to {address.ip} {where}", lost)
        elif held.up and not routed:
            network = address.network
            yield Fault(f"{link.name} has no route to {network} {where}", (connected,))


def _lost_local(held: Link, address: Interface, observed: Observed) -> tuple[Request, ...]:
    """Return the requests for the local routes that the kernel made with the address and lost."""
    if observed.local is None:
        return ()
    own = make_network(address.ip.packed, address.max_prefixlen)
    # of lo all of 127.0.0.0/8 is the node's
    wanted = (own, address.network) if address.ip.is_loopback else (own,)
    return tuple(
        rt.local_route(held.index, network, address.ip)
        for network in wanted
        if (held.index, network) not in observed.local
    )


def _route_faults(wanted: WantedRoute, where: str, observed: Observed) -> Iterator[Fault]:
    link = observed.link(wanted.link)
    if any(_is_route(wanted, route) for route in observed.routes):
        return
    default = wanted.destination.prefixlen == 0
    name = "default route" if default else f"route to {wanted.destination}"
    via = f" via {wanted.gateway}" if wanted.gateway is not None else f" through {wanted.link}"
    requests: tuple[Request, ...] = ()
    if link is not None:
        requests = (
            rt.route_request(wanted.destination, wanted.gateway, link.index, wanted.source),
        )
    yield Fault(f"there is no {name}{via} {where}", requests)


def _is_route(wanted: WantedRoute, held: Route) -> bool:
    return (
        held.destination == wanted.destination
        and held.link == wanted.link
        and held.gateway == wanted.gateway
        and held.metric == 0
        and (wanted.source is None or held.source == wanted.source)
    )
