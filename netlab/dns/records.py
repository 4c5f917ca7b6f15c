"""Which DNS records a Service has.

The Kubernetes DNS specification, version 1.1, as CoreDNS follows it:

    web.default.svc.cluster.local                A     the ClusterIP; headless: each ready endpoint
    _http._tcp.web.default.svc.cluster.local     SRV   port and name of the same
    web-0.web.default.svc.cluster.local          A     one endpoint, by hostname or 10-244-0-5
    20.0.96.10.in-addr.arpa                      PTR   back from a ClusterIP or a ready endpoint
    db.default.svc.cluster.local                 CNAME for type ExternalName

Pure. The names of a Service depend on the Service and its EndpointSlices only, so ``zone`` can
replace one Service's records at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import TypeAlias

from netlab.api.core import Service
from netlab.api.discovery import Endpoint, EndpointSlice
from netlab.dns import wire

Names: TypeAlias = Mapping[bytes, Mapping[int, tuple[bytes, ...]]]
"""Name in wire form, lower case -> record type -> data of each record."""

SRV_PRIORITY = 0


@dataclass(frozen=True, slots=True)
class _Target:
    """One endpoint and the ports it serves: (name, protocol, number)."""

    label: str
    address: IPv4Address
    ports: tuple[tuple[str, str, int], ...]

    @property
    def share(self) -> int:
        """How often CoreDNS counts it when weights are shared: an endpoint without ports once."""
        return max(1, len(self.ports))


class _Builder:
    """Collects records, each once."""

    def __init__(self) -> None:
        self._names: dict[bytes, dict[int, dict[bytes, None]]] = {}

    def add(self, name: str, type_: int, data: bytes) -> None:
        records = self._names.setdefault(wire.encode_name(name.lower()), {})
        records.setdefault(type_, {})[data] = None

    def names(self) -> Names:
        return {
            name: {type_: tuple(data) for type_, data in types.items()}
            for name, types in self._names.items()
        }


def service_names(service: Service, slices: Iterable[EndpointSlice], zone: str) -> Names:
    """Return all records of a Service. slices: those labelled with its name."""
    builder = _Builder()
    base = f"{service.metadata.name}.{service.metadata.namespace}.svc.{zone}"
    spec = service.spec
    if spec.type == "ExternalName":
        _add_external(builder, base, spec.external_name)
        return builder.names()
    targets = list(_targets(slices))
    _add_endpoints(builder, base, targets)
    if spec.cluster_ip == "None":
        _add_headless(builder, base, targets)
    elif spec.cluster_ip:
        address = _ipv4(spec.cluster_ip)
        if address is not None:
            _add_cluster_ip(builder, base, address, service)
    return builder.names()


def _add_external(builder: _Builder, base: str, external: str) -> None:
    try:
        target = wire.encode_name(external.lower())
    except (ValueError, UnicodeEncodeError):
        return  # the API lets names through that DNS cannot carry
    if _is_address(external):
        return  # a CNAME leads to a name; CoreDNS has no such Service either
    builder.add(base, wire.CNAME, target)
    builder.add(base, wire.SRV, _srv(1, 0, target))


def _add_cluster_ip(builder: _Builder, base: str, address: IPv4Address, service: Service) -> None:
    name = wire.encode_name(base.lower())
    builder.add(base, wire.A, address.packed)
    builder.add(_reverse(address), wire.PTR, name)
    ports = service.spec.ports
    for port in ports:
        builder.add(base, wire.SRV, _srv(len(ports), port.port, name))
        if port.name:
            label = f"_{port.name}._{port.protocol.lower()}.{base}"
            builder.add(label, wire.SRV, _srv(1, port.port, name))
            builder.add(label, wire.A, address.packed)


def _add_endpoints(builder: _Builder, base: str, targets: Iterable[_Target]) -> None:
    """Add what each endpoint has of its own, whatever the Service's type."""
    for label, parts in _by_label(targets).items():
        name = wire.encode_name(f"{label}.{base}".lower())
        total = sum(target.share for target in parts)
        for target in parts:
            builder.add(f"{label}.{base}", wire.A, target.address.packed)
            builder.add(_reverse(target.address), wire.PTR, name)
            for _, _, number in target.ports:
                builder.add(f"{label}.{base}", wire.SRV, _srv(total, number, name))


def _add_headless(builder: _Builder, base: str, targets: list[_Target]) -> None:
    total = sum(target.share for target in targets)
    serving = Counter(port[:2] for target in targets for port in target.ports)
    for target in targets:
        name = wire.encode_name(f"{target.label}.{base}".lower())
        builder.add(base, wire.A, target.address.packed)
        for port, protocol, number in target.ports:
            builder.add(base, wire.SRV, _srv(total, number, name))
            if port:
                label = f"_{port}._{protocol.lower()}.{base}"
                builder.add(label, wire.SRV, _srv(serving[port, protocol], number, name))
                builder.add(label, wire.A, target.address.packed)


def _by_label(targets: Iterable[_Target]) -> dict[str, list[_Target]]:
    groups: dict[str, list[_Target]] = {}
    for target in targets:
        groups.setdefault(target.label, []).append(target)
    return groups


def _srv(sharing: int, port: int, target: bytes) -> bytes:
    # CoreDNS shares a weight of 100 among the records of an answer, and gives each at least 1
    return wire.srv_data(SRV_PRIORITY, max(1, 100 // max(1, sharing)), port, target)


def _targets(slices: Iterable[EndpointSlice]) -> Iterator[_Target]:
    """Yield the ready endpoints; ``ready`` covers publishNotReadyAddresses."""
    for piece in sorted(slices, key=lambda s: s.metadata.name):
        if piece.address_type != "IPv4":
            continue
        ports = tuple(
            (port.name, port.protocol, port.port) for port in piece.ports if port.port is not None
        )
        for endpoint in piece.endpoints:
            if endpoint.conditions.ready is False:
                continue
            for text in endpoint.addresses:
                address = _ipv4(text)
                if address is not None:
                    yield _Target(_label(endpoint, text), address, ports)


def _label(endpoint: Endpoint, address: str) -> str:
    return endpoint.hostname or address.replace(".", "-")


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _reverse(address: IPv4Address) -> str:
    return address.reverse_pointer
