"""What the node shall have for the Services of now: lines, UDP ports, health check ports.

Takes one Service at a time and keeps the results until that Service changes. Plain data, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.net.ruleset import RuleSet
from netlab.proxy.book import NOTHING, RuleBook, ServiceKey, spell_service
from netlab.proxy.endpoints import Backend, Choice, choose_backends, read_backends
from netlab.proxy.flows import UdpPort, read_udp_port
from netlab.proxy.frame import compose
from netlab.proxy.health import ServiceHealth
from netlab.proxy.rules import NodeView, PortRules, render_port
from netlab.proxy.services import PortSpec, read_ports


def choose_endpoints(
    service: Service, slices: Sequence[EndpointSlice], node_name: str
) -> list[tuple[PortSpec, tuple[Backend, ...], Choice]]:
    """Return each served port of the Service with all its endpoints and those to use."""
    found = []
    for port in read_ports(service):
        backends = read_backends(slices, port, node_name)
        found.append((port, backends, choose_backends(backends, port)))
    return found


def render_service(
    service: Service, slices: Sequence[EndpointSlice], node_name: str, node: NodeView
) -> list[PortRules]:
    """Return the rules of each port of a Service; empty when the proxy does not serve it."""
    chosen = choose_endpoints(service, slices, node_name)
    return [render_port(port, choice, node) for port, _, choice in chosen]


def render_node(
    services: Iterable[tuple[Service, Sequence[EndpointSlice]]], node_name: str, node: NodeView
) -> RuleSet:
    """Return the whole rule set of the node; Services in order of namespace and name."""
    ordered = sorted(services, key=lambda one: (one[0].metadata.namespace, one[0].metadata.name))
    return compose(
        rules
        for service, slices in ordered
        for rules in render_service(service, slices, node_name, node)
    )


class Desired:
    """The wanted state, Service by Service. ``refresh`` one after each change of it."""

    def __init__(self, node_name: str, node: NodeView) -> None:
        self._node_name = node_name
        self.node = node
        self.book = RuleBook()
        self._udp: dict[ServiceKey, tuple[UdpPort, ...]] = {}
        self._health: dict[ServiceKey, dict[int, ServiceHealth]] = {}
        self._udp_changed = False

    def refresh(
        self, key: ServiceKey, service: Service | None, slices: Sequence[EndpointSlice]
    ) -> None:
        """Bring one Service up to date; None when it is gone."""
        chosen = [] if service is None else choose_endpoints(service, slices, self._node_name)
        rules = [render_port(port, choice, self.node) for port, _, choice in chosen]
        self.book.put(key, spell_service(rules) if rules else NOTHING)
        self._note_udp(
            key, [udp for port, _, choice in chosen if (udp := read_udp_port(port, choice))]
        )
        self._note_health(key, chosen)

    def _note_udp(self, key: ServiceKey, ports: list[UdpPort]) -> None:
        new = tuple(ports)
        if self._udp.get(key, ()) == new:
            return
        self._udp_changed = True
        if new:
            self._udp[key] = new
        else:
            del self._udp[key]

    def _note_health(
        self, key: ServiceKey, chosen: list[tuple[PortSpec, tuple[Backend, ...], Choice]]
    ) -> None:
        self._health.pop(key, None)
        asked = [(port, backends) for port, backends, _ in chosen if port.health_port]
        if not asked:
            return
        # ready ones of all ports count, each address once
        local = {
            one.address for _, backends in asked for one in backends if one.local and one.ready
        }
        health = ServiceHealth(key[0], key[1], len(local))
        self._health[key] = {asked[0][0].health_port: health}

    def health(self) -> dict[int, ServiceHealth]:
        """Return what each health check port answers."""
        return {port: one for ports in self._health.values() for port, one in ports.items()}

    def take_changed_udp(self) -> list[UdpPort] | None:
        """Return all UDP ports if one changed since the last call, else None."""
        if not self._udp_changed:
            return None
        self._udp_changed = False
        return [port for ports in self._udp.values() for port in ports]

    def keep_changed_udp(self) -> None:
        """Have the next ``take_changed_udp`` tell again what the last one told."""
        self._udp_changed = True
