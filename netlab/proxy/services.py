"""Read Services: which of them the proxy serves, and what each of their ports asks for.

Mirrors kube-proxy ``pkg/proxy/serviceport.go``. Left out: IPv6 addresses (skipped).
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

import msgspec

from netlab.api.core import Service, ServicePort

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
DEFAULT_AFFINITY_S = 10800


class PortSpec(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One port of one Service, as the rules need it.

    text: ``namespace/name:port``, as comments and hashes spell it. protocol in lower case.
    affinity_s: how long a client stays with an endpoint, None for no affinity. balancer_ips: the
    load balancer's addresses that this node answers itself. node_port, health_port: 0 for none.
    """

    namespace: str
    service: str
    port_name: str
    text: str
    protocol: str
    cluster_ip: IPv4Address
    port: int
    node_port: int = 0
    external_ips: tuple[IPv4Address, ...] = ()
    balancer_ips: tuple[IPv4Address, ...] = ()
    source_ranges: tuple[IPv4Network, ...] = ()
    affinity_s: int | None = None
    internal_local: bool = False
    external_local: bool = False
    health_port: int = 0

    @property
    def externally_accessible(self) -> bool:
        """True when traffic may come to other addresses than the cluster IP."""
        return bool(self.node_port or self.external_ips or self.balancer_ips)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """True when endpoints on any node are used.

        Also for policy Local, if there is external traffic: pods and the node itself are sent
        to all endpoints, wherever their traffic enters.
        """
        return not self.internal_local or self.externally_accessible

    @property
    def uses_local_endpoints(self) -> bool:
        """True when endpoints of this node alone are used for some traffic."""
        return self.internal_local or (self.external_local and self.externally_accessible)


def parse_address(text: str) -> IPv4Address | None:
    """Return the IPv4 address, or None for IPv6, host names and ``None``."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def _addresses(texts: Iterable[str]) -> tuple[IPv4Address, ...]:
    return tuple(address for text in texts if (address := parse_address(text)) is not None)


def _ranges(texts: Iterable[str]) -> tuple[IPv4Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(IPv4Network(text.strip(), strict=False))
        except (AddressValueError, NetmaskValueError, ValueError):
            continue
    return tuple(found)


def is_watched(labels: Mapping[str, str]) -> bool:
    """False for a Service or EndpointSlice that kube-proxy does not look at.

    One that is left to another proxy, and one that is marked as headless whatever its address:
    kube-proxy asks the API server for neither.
    """
    return PROXY_NAME_LABEL not in labels and HEADLESS_LABEL not in labels


def is_served(service: Service) -> bool:
    """False for headless and ExternalName Services and those left to another proxy."""
    if service.spec.type == "ExternalName" or not is_watched(service.metadata.labels):
        return False
    return _cluster_ip(service) is not None


def _cluster_ip(service: Service) -> IPv4Address | None:
    """The IPv4 one of the Service's addresses; of a Service of both families maybe the second."""
    spec = service.spec
    return next(iter(_addresses((spec.cluster_ip, *spec.cluster_ips))), None)


def port_text(namespace: str, service: str, port_name: str) -> str:
    """Return ``namespace/name:port``, or ``namespace/name`` for the one nameless port."""
    return f"{namespace}/{service}:{port_name}" if port_name else f"{namespace}/{service}"


def _affinity_s(service: Service) -> int | None:
    if service.spec.session_affinity != "ClientIP":
        return None
    config = service.spec.session_affinity_config
    if config is None or config.client_ip is None:
        return DEFAULT_AFFINITY_S
    return config.client_ip.timeout_seconds


def _balancer_ips(service: Service) -> tuple[IPv4Address, ...]:
    ingress = service.status.load_balancer.ingress
    # mode Proxy: the balancer wants to see the traffic itself, so the node must not answer it
    return _addresses(entry.ip for entry in ingress if entry.ip_mode in (None, "VIP"))


def read_ports(service: Service) -> tuple[PortSpec, ...]:
    """Return the Service's ports, in its own order; none when the proxy does not serve it."""
    address = _cluster_ip(service)
    if address is None or not is_served(service):
        return ()
    return tuple(_read_port(service, address, port) for port in service.spec.ports)


def _read_port(service: Service, cluster_ip: IPv4Address, port: ServicePort) -> PortSpec:
    meta, spec = service.metadata, service.spec
    external = spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)
    local = external and spec.external_traffic_policy == "Local"
    return PortSpec(
        namespace=meta.namespace,
        service=meta.name,
        port_name=port.name,
        text=port_text(meta.namespace, meta.name, port.name),
        protocol=port.protocol.lower(),
        cluster_ip=cluster_ip,
        port=port.port,
        node_port=port.node_port,
        external_ips=_addresses(spec.external_ips),
        balancer_ips=_balancer_ips(service),
        source_ranges=_ranges(spec.load_balancer_source_ranges),
        affinity_s=_affinity_s(service),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=local,
        health_port=spec.health_check_node_port if local and spec.type == "LoadBalancer" else 0,
    )
