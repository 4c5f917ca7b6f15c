"""Rows of Service, Endpoints, EndpointSlice, Ingress, IngressClass and NetworkPolicy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netlab.api.durations import age
from netlab.api.printing import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    format_label_selector,
    format_labels,
    join_with_more,
    metadata,
    part,
    wide,
)
from netlab.api.view import Object

SHOWN_ENDPOINTS = 3
"""How many addresses or ports a cell lists before it says how many more there are."""

SERVICE_COLUMNS = (
    NAME,
    Column("Type", description="How the service is reached."),
    Column("Cluster-IP", description="The service's virtual address."),
    Column("External-IP", description="Addresses that reach the service from outside."),
    Column("Port(s)", description="Ports, with their node ports, and protocols."),
    AGE,
    wide("Selector", description="Labels of the pods behind the service."),
)
ENDPOINTS_COLUMNS = (NAME, Column("Endpoints", description="Addresses that are ready."), AGE)
ENDPOINT_SLICE_COLUMNS = (
    NAME,
    Column("AddressType", description="IPv4, IPv6 or FQDN."),
    Column("Ports", description="Ports of all endpoints."),
    Column("Endpoints", description="Addresses, ready or not."),
    AGE,
)
INGRESS_COLUMNS = (
    NAME,
    Column("Class", description="The ingress class."),
    Column("Hosts", description="Host names the ingress answers to."),
    Column("Address", description="Where the ingress is reached."),
    Column("Ports", description="Ports of the ingress: 443 too when it has TLS."),
    AGE,
)
INGRESS_CLASS_COLUMNS = (
    NAME,
    Column("Controller", description="Who acts on ingresses of this class."),
    Column("Parameters", description="The object that configures the controller."),
    AGE,
)
NETWORK_POLICY_COLUMNS = (
    NAME,
    Column("Pod-Selector", description="The pods the policy isolates."),
    AGE,
)


def service_cells(service: Object, now: datetime) -> Cells:
    """Return the cells of ``SERVICE_COLUMNS``."""
    spec = part(service, "spec")
    cluster_ips = spec.get("clusterIPs") or ()
    return [
        metadata(service).get("name", ""),
        spec.get("type") or "",
        cluster_ips[0] if cluster_ips else NONE,
        external_ip(service),
        format_service_ports(spec.get("ports") or ()) or NONE,
        age(metadata(service).get("creationTimestamp"), now),
        format_labels(spec.get("selector")),
    ]


def external_ip(service: Object) -> str:
    """Return the EXTERNAL-IP cell: external IPs, load balancer addresses, or a name."""
    spec = part(service, "spec")
    external = list(spec.get("externalIPs") or ())
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            return ",".join(load_balancer_addresses(service) + external) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return "<unknown>"


def load_balancer_addresses(obj: Object) -> list[str]:
    """Return the addresses or host names of ``status.loadBalancer``, sorted, each once."""
    ingress = part(obj, "status", "loadBalancer", "ingress") or ()
    return sorted({entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""})


def format_service_ports(ports: Iterable[Mapping[str, Any]]) -> str:
    """Return ``80/TCP,443:30443/TCP``."""
    return ",".join(
        f"{port.get('port')}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
        if port.get("nodePort")
        else f"{port.get('port')}/{port.get('protocol', 'TCP')}"
        for port in ports
    )


def endpoints_cells(endpoints: Object, now: datetime) -> Cells:
    """Return the cells of ``ENDPOINTS_COLUMNS``."""
    return [
        metadata(endpoints).get("name", ""),
        format_endpoints(endpoints.get("subsets") or ()),
        age(metadata(endpoints).get("creationTimestamp"), now),
    ]


def format_endpoints(subsets: Iterable[Mapping[str, Any]]) -> str:
    """Return ``a:p,b:p,c:p + 3 more...``, ``<none>`` without subsets, "" without addresses."""
    subsets = list(subsets)
    if not subsets:
        return NONE
    texts: list[str] = []
    for subset in subsets:
        addresses = [entry.get("ip", "") for entry in subset.get("addresses") or ()]
        if not subset.get("ports"):
            texts += addresses
        for port in subset.get("ports") or ():
            texts += [join_host_port(address, port.get("port")) for address in addresses]
    return join_with_more(texts[:SHOWN_ENDPOINTS], len(texts), empty="")


def join_host_port(host: str, port: object) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint_slice_cells(endpoint_slice: Object, now: datetime) -> Cells:
    """Return the cells of ``ENDPOINT_SLICE_COLUMNS``."""
    ports = [_slice_port(port) for port in endpoint_slice.get("ports") or ()]
    addresses = [
        address
        for endpoint in endpoint_slice.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    ]
    return [
        metadata(endpoint_slice).get("name", ""),
        endpoint_slice.get("addressType") or "",
        join_with_more(ports[:SHOWN_ENDPOINTS], len(ports), empty="<unset>"),
        join_with_more(addresses[:SHOWN_ENDPOINTS], len(addresses), empty="<unset>"),
        age(metadata(endpoint_slice).get("creationTimestamp"), now),
    ]


def _slice_port(port: Mapping[str, Any]) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return str(port["name"]) if port.get("name") is not None else "*"


def ingress_cells(ingress: Object, now: datetime) -> Cells:
    """Return the cells of ``INGRESS_COLUMNS``."""
    spec = part(ingress, "spec")
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        metadata(ingress).get("name", ""),
        spec.get("ingressClassName") or NONE,
        join_with_more(hosts[:SHOWN_ENDPOINTS], len(hosts), empty="*"),
        ",".join(load_balancer_addresses(ingress)),
        "80, 443" if spec.get("tls") else "80",
        age(metadata(ingress).get("creationTimestamp"), now),
    ]


def ingress_class_cells(ingress_class: Object, now: datetime) -> Cells:
    """Return the cells of ``INGRESS_CLASS_COLUMNS``."""
    spec = part(ingress_class, "spec")
    parameters = spec.get("parameters") or {}
    kind = parameters.get("kind", "")
    if parameters.get("apiGroup"):
        kind = f"{kind}.{parameters['apiGroup']}"
    return [
        metadata(ingress_class).get("name", ""),
        spec.get("controller") or "",
        f"{kind}/{parameters.get('name', '')}" if parameters else NONE,
        age(metadata(ingress_class).get("creationTimestamp"), now),
    ]


def network_policy_cells(policy: Object, now: datetime) -> Cells:
    """Return the cells of ``NETWORK_POLICY_COLUMNS``."""
    return [
        metadata(policy).get("name", ""),
        format_label_selector(part(policy, "spec").get("podSelector")),
        age(metadata(policy).get("creationTimestamp"), now),
    ]


SERVICE_PRINTER = Printer(SERVICE_COLUMNS, service_cells)
ENDPOINTS_PRINTER = Printer(ENDPOINTS_COLUMNS, endpoints_cells)
ENDPOINT_SLICE_PRINTER = Printer(ENDPOINT_SLICE_COLUMNS, endpoint_slice_cells)
INGRESS_PRINTER = Printer(INGRESS_COLUMNS, ingress_cells)
INGRESS_CLASS_PRINTER = Printer(INGRESS_CLASS_COLUMNS, ingress_class_cells)
NETWORK_POLICY_PRINTER = Printer(NETWORK_POLICY_COLUMNS, network_policy_cells)
