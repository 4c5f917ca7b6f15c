"""Choose endpoints: which of a Service's endpoints may get traffic, from where.

Mirrors kube-proxy ``pkg/proxy/endpointslicecache.go`` and ``topology.go``
``CategorizeEndpoints``. Ready endpoints are used; when there is none, those that are shutting
down but still serve. Hints of the EndpointSlice controller (same node, same zone) are followed when
every ready endpoint has one and some endpoint is meant for this node. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

import msgspec

from netlab.api.discovery import EndpointHints, EndpointSlice
from netlab.proxy.services import PortSpec, parse_address


class Hints(msgspec.Struct, frozen=True, gc=False):
    """Whom an endpoint is meant for; empty for no preference."""

    nodes: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()


NO_HINTS = Hints()


class Place(msgspec.Struct, frozen=True):
    """Where the proxy is: the node's name, and its zone, "" for none."""

    node_name: str
    zone: str = ""


class Backend(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of one Service port.

    text: ``ip:port``, as comments and hashes spell it; local: on this node; slice: the name of the
    EndpointSlice it is written in. hints: the nodes and zones that it is meant for.
    """

    text: str
    address: IPv4Address
    port: int
    local: bool
    ready: bool
    serving: bool
    terminating: bool
    slice: str
    hints: Hints = NO_HINTS

    @property
    def draining(self) -> bool:
        """True when it is shutting down but still answers."""
        return self.serving and self.terminating


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The endpoints to use.

    cluster: for traffic that may go to any node; local: for traffic that must stay; reachable:
    those that get a chain, in order of their text; usable: there is any, here or elsewhere.
    """

    cluster: tuple[Backend, ...] = ()
    local: tuple[Backend, ...] = ()
    reachable: tuple[Backend, ...] = ()
    usable: bool = False


def read_backends(
    slices: Iterable[EndpointSlice], port: PortSpec, place: Place
) -> tuple[Backend, ...]:
    """Return the endpoints of a Service port, in order of their text, each address once.

    An address in two slices (as when it moves between them) is taken from the slice whose name
    comes last, but one that is of this node from the slice that says so.
    """
    found: dict[str, Backend] = {}
    for endpoint_slice in sorted(slices, key=lambda one: one.metadata.name):
        if endpoint_slice.address_type != "IPv4":
            continue
        for backend in _slice_backends(endpoint_slice, port, place.node_name):
            before = found.get(backend.text)
            if before is None or backend.local or not before.local:
                found[backend.text] = backend
    return tuple(found[text] for text in sorted(found))


def _slice_backends(
    endpoint_slice: EndpointSlice, port: PortSpec, node_name: str
) -> Iterable[Backend]:
    numbers = [
        entry.port
        for entry in endpoint_slice.ports
        if entry.name == port.port_name and entry.protocol.lower() == port.protocol and entry.port
    ]
    for number in numbers:
        for endpoint in endpoint_slice.endpoints:
            address = parse_address(endpoint.addresses[0]) if endpoint.addresses else None
            if address is None:
                continue
            conditions = endpoint.conditions
            ready = conditions.ready is not False
            yield Backend(
                text=f"{address}:{number}",
                address=address,
                port=number,
                local=endpoint.node_name == node_name,
                ready=ready,
                serving=conditions.serving is not False,
                terminating=bool(conditions.terminating),
                slice=endpoint_slice.metadata.name,
                hints=_read_hints(endpoint.hints),
            )


def _read_hints(hints: EndpointHints | None) -> Hints:
    if hints is None:
        return NO_HINTS
    return Hints(
        frozenset(one.name for one in hints.for_nodes),
        frozenset(one.name for one in hints.for_zones),
    )


def _ready_or_draining(
    backends: tuple[Backend, ...], belongs: Callable[[Backend], bool]
) -> tuple[tuple[Backend, ...], bool]:
    """Return the ready ones, or else the draining ones and True."""
    ready = tuple(one for one in backends if belongs(one) and one.ready)
    if ready:
        return ready, False
    return tuple(one for one in backends if belongs(one) and one.draining), True


def _follow_hints(backends: tuple[Backend, ...], place: Place) -> tuple[Backend, ...]:
    """Return the ready ones that are meant for this node or zone; all when hints are not whole."""
    ready = [one for one in backends if one.ready]
    if all(one.hints.nodes for one in ready):
        mine = tuple(one for one in ready if place.node_name in one.hints.nodes)
        if mine:
            return mine
    if all(one.hints.zones for one in ready):
        mine = tuple(one for one in ready if place.zone in one.hints.zones)
        if mine:
            return mine
    return tuple(ready)


def choose_backends(backends: tuple[Backend, ...], port: PortSpec, place: Place) -> Choice:
    """Return which endpoints to use for a Service port."""
    cluster: tuple[Backend, ...] = ()
    local: tuple[Backend, ...] = ()
    draining = False
    if port.uses_cluster_endpoints:
        cluster, draining = _ready_or_draining(backends, lambda _: True)
        if not draining:
            cluster = _follow_hints(cluster, place)
    if not port.uses_local_endpoints:
        return Choice(cluster, (), cluster, bool(cluster))
    local, local_draining = _ready_or_draining(backends, lambda one: one.local)
    usable = any(one.ready or one.draining for one in backends)
    every = {one.text for one in cluster}
    if not draining and not local_draining and every.issuperset(one.text for one in local):
        reachable = cluster
    else:
        merged = {one.text: one for one in (*cluster, *local)}
        reachable = tuple(merged[text] for text in sorted(merged))
    return Choice(cluster, local, reachable, usable)
