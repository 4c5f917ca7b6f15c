"""What follows from the Services of now besides rules: UDP ports to watch, health check ports.

Takes one Service at a time, chooses its endpoints for the proxy mode, and keeps what every mode
needs of it until the Service changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.proxy.endpoints import Place, choose_backends, read_backends
from netlab.proxy.flows import UdpPort, read_udp_port
from netlab.proxy.health import ServiceHealth
from netlab.proxy.provider import ServedPort, ServiceKey
from netlab.proxy.services import is_watched, read_ports


def choose_endpoints(
    service: Service, slices: Sequence[EndpointSlice], place: Place
) -> tuple[ServedPort, ...]:
    """Return each served port of the Service with all its endpoints and those to use."""
    found = []
    watched = [one for one in slices if is_watched(one.metadata.labels)]
    for port in read_ports(service):
        backends = read_backends(watched, port, place)
        found.append(ServedPort(port, backends, choose_backends(backends, port, place)))
    return tuple(found)


class Desired:
    """The wanted state, Service by Service. ``refresh`` one after each change of it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._udp: dict[ServiceKey, tuple[UdpPort, ...]] = {}
        self._health: dict[ServiceKey, dict[int, ServiceHealth]] = {}
        self._udp_changed = False

    def refresh(
        self, key: ServiceKey, service: Service | None, slices: Sequence[EndpointSlice]
    ) -> tuple[ServedPort, ...]:
        """Bring one Service up to date, None when it is gone; return its ports."""
        ports = () if service is None else choose_endpoints(service, slices, self.place)
        self._note_udp(key, [udp for one in ports if (udp := read_udp_port(one.spec, one.choice))])
        self._note_health(key, ports)
        return ports

    def _note_udp(self, key: ServiceKey, ports: list[UdpPort]) -> None:
        new = tuple(ports)
        if self._udp.get(key, ()) == new:
            return
        self._udp_changed = True
        if new:
            self._udp[key] = new
        else:
            del self._udp[key]

    def _note_health(self, key: ServiceKey, ports: Sequence[ServedPort]) -> None:
        self._health.pop(key, None)
        asked = [one for one in ports if one.spec.health_port]
        if not asked:
            return
        # ready ones of all ports count, each address once
        local = {
            backend.address
            for one in asked
            for backend in one.backends
            if backend.local and backend.ready
        }
        health = ServiceHealth(key[0], key[1], len(local))
        self._health[key] = {asked[0].spec.health_port: health}

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
