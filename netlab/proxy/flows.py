"""Find UDP connections that go to endpoints which are gone.

UDP has no end of connection: as long as a client keeps sending, the kernel keeps following the
entry of its first packet, to an endpoint that may have vanished, or to none, when the Service had
no endpoint yet. Such entries must be deleted. Mirrors kube-proxy ``pkg/proxy/conntrack``
``CleanStaleEntries``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import msgspec

from netlab.net.conntrack import Flow
from netlab.proxy.endpoints import Backend, Choice
from netlab.proxy.services import PortSpec


class UdpPort(msgspec.Struct, frozen=True, gc=False):
    """One UDP Service port: the addresses clients use, and the endpoints that may answer."""

    addresses: frozenset[IPv4Address]
    port: int
    node_port: int
    endpoints: frozenset[tuple[IPv4Address, int]]


def read_udp_port(port: PortSpec, choice: Choice) -> UdpPort | None:
    """Return the UDP part of a Service port; None for other protocols."""
    if port.protocol != "udp":
        return None
    return UdpPort(
        frozenset({port.cluster_ip, *port.external_ips, *port.balancer_ips}),
        port.port,
        port.node_port,
        frozenset(_place(backend) for backend in choice.reachable),
    )


def _place(backend: Backend) -> tuple[IPv4Address, int]:
    return backend.address, backend.port


def stale_flows(flows: Iterable[Flow], ports: Iterable[UdpPort], pods: IPv4Network) -> list[Flow]:
    """Return the flows to one of the ports that end at none of its endpoints.

    pods: the cluster's range of pods; a flow straight to a pod is nobody's node port.
    """
    by_address: dict[tuple[IPv4Address, int], UdpPort] = {}
    by_node_port: dict[int, UdpPort] = {}
    for port in ports:
        for address in port.addresses:
            by_address[address, port.port] = port
        if port.node_port:
            by_node_port[port.node_port] = port
    stale = []
    for flow in flows:
        original, answering = flow.original, (flow.reply.source, flow.reply.source_port)
        served = by_address.get((original.destination, original.destination_port))
        if served is None and original.destination not in pods:
            served = by_node_port.get(original.destination_port)
        if served is not None and answering not in served.endpoints:
            stale.append(flow)
    return stale
