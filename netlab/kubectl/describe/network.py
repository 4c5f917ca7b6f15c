"""``describe service``, ``describe endpoints`` and ``describe endpointslice``."""

from __future__ import annotations

from netlab.kubectl.describe.lines import NONE, boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from netlab.kubectl.describe.context import Context
    from netlab.kubectl.describe.lines import Lines

SHOWN_ENDPOINTS = 3


def describe_service(lines: Lines, service: dict[str, Any], context: Context) -> None:
    """Add the description of a Service."""
    spec = service.get("spec") or {}
    metadata = service["metadata"]
    slices = context.list(
        "endpointslices.discovery.k8s.io",
        metadata.get("namespace"),
        labels=f"kubernetes.io/service-name={metadata['name']}",
    )
    lines.add_head(service)
    selector = spec.get("selector") or {}
    pairs = ",".join(f"{key}={selector[key]}" for key in sorted(selector))
    lines.add(f"Selector:\t{pairs or NONE}")
    lines.add(f"Type:\t{spec.get('type', '')}")
    _add_addresses(lines, service, spec)
    for port in spec.get("ports") or ():
        _add_port(lines, port, slices)
    lines.add(f"Session Affinity:\t{spec.get('sessionAffinity', '')}")
    if spec.get("externalTrafficPolicy"):
        lines.add(f"External Traffic Policy:\t{spec['externalTrafficPolicy']}")
    if spec.get("internalTrafficPolicy"):
        lines.add(f"Internal Traffic Policy:\t{spec['internalTrafficPolicy']}")
    if spec.get("trafficDistribution"):
        lines.add(f"Traffic Distribution:\t{spec['trafficDistribution']}")
    if spec.get("healthCheckNodePort"):
        lines.add(f"HealthCheck NodePort:\t{spec['healthCheckNodePort']}")
    if spec.get("loadBalancerSourceRanges"):
        lines.add(f"LoadBalancer Source Ranges:\t{','.join(spec['loadBalancerSourceRanges'])}")
    context.add_events(lines, service, "Service")


def _add_addresses(lines: Lines, service: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    if spec.get("ipFamilyPolicy"):
        lines.add(f"IP Family Policy:\t{spec['ipFamilyPolicy']}")
    lines.add(f"IP Families:\t{','.join(spec.get('ipFamilies') or ()) or NONE}")
    lines.add(f"IP:\t{spec.get('clusterIP', '')}")
    lines.add(f"IPs:\t{','.join(spec.get('clusterIPs') or ()) or NONE}")
    if spec.get("externalIPs"):
        lines.add(f"External IPs:\t{','.join(spec['externalIPs'])}")
    if spec.get("loadBalancerIP"):
        lines.add(f"Desired LoadBalancer IP:\t{spec['loadBalancerIP']}")
    if spec.get("externalName"):
        lines.add(f"External Name:\t{spec['externalName']}")
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if ingress:
        shown = ", ".join(_format_ingress(entry) for entry in ingress)
        lines.add(f"LoadBalancer Ingress:\t{shown}")


def _format_ingress(entry: Mapping[str, Any]) -> str:
    if not entry.get("ip"):
        return str(entry.get("hostname", ""))
    return f"{entry['ip']} ({entry['ipMode']})" if entry.get("ipMode") else str(entry["ip"])


def _add_port(lines: Lines, port: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> None:
    name = port.get("name") or "<unset>"
    protocol = port.get("protocol", "TCP")
    lines.add(f"Port:\t{name}\t{port.get('port')}/{protocol}")
    lines.add(f"TargetPort:\t{port.get('targetPort', 0)}/{protocol}")
    if port.get("nodePort"):
        lines.add(f"NodePort:\t{name}\t{port['nodePort']}/{protocol}")
    lines.add(f"Endpoints:\t{format_slices(slices, port.get('name') or '')}")


def format_slices(slices: Iterable[Mapping[str, Any]], port_name: str) -> str:
    """Return the ready endpoints of a Service's port: ``a:p,b:p,c:p + 1 more...``."""
    slices = list(slices)
    if not slices:
        return NONE
    texts: list[str] = []
    for each in slices:
        ready = [
            endpoint
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        ports = each.get("ports") or ()
        if not ports:
            texts += [address for e in ready for address in e.get("addresses") or ()]
        for port in ports:
            if (port.get("name") or "") == port_name:
                texts += [
                    _join_host_port(address, port.get("port"))
                    for endpoint in ready
                    for address in endpoint.get("addresses") or ()
                ]
    more = len(texts) - SHOWN_ENDPOINTS
    text = ",".join(texts[:SHOWN_ENDPOINTS])
    return f"{text} + {more} more..." if more > 0 else text


def _join_host_port(host: str, port: object) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def describe_endpoints(lines: Lines, endpoints: dict[str, Any], context: Context) -> None:
    """Add the description of an Endpoints object."""
    lines.add_head(endpoints)
    lines.add("Subsets:")
    for subset in endpoints.get("subsets") or ():
        for title, field in (
            ("Addresses", "addresses"),
            ("NotReadyAddresses", "notReadyAddresses"),
        ):
            addresses = [entry.get("ip", "") for entry in subset.get(field) or ()]
            lines.add(f"{title}:\t{','.join(addresses) or NONE}", 1)
        ports = subset.get("ports") or ()
        if ports:
            lines.add("Ports:", 1)
            rows = [["Name", "Port", "Protocol"]]
            rows += [
                [p.get("name") or "<unset>", str(p.get("port")), p.get("protocol", "TCP")]
                for p in ports
            ]
            lines.add_table(rows, 2)
        lines.add("")
    context.add_events(lines, endpoints, "Endpoints")


def describe_endpoint_slice(lines: Lines, each: dict[str, Any], context: Context) -> None:
    """Add the description of an EndpointSlice."""
    lines.add_head(each)
    lines.add(f"AddressType:\t{each.get('addressType', '')}")
    ports = each.get("ports") or ()
    if not ports:
        lines.add("Ports: <unset>")
    else:
        lines.add("Ports:")
        rows = [["Name", "Port", "Protocol"]]
        rows += [
            [
                p.get("name") or "<unset>",
                str(p["port"]) if p.get("port") is not None else "<unset>",
                p.get("protocol", "TCP"),
            ]
            for p in ports
        ]
        lines.add_table(rows, 1)
    endpoints = each.get("endpoints") or ()
    if not endpoints:
        lines.add("Endpoints: <none>")
    else:
        lines.add("Endpoints:")
        for endpoint in endpoints:
            _add_endpoint(lines, endpoint)
    context.add_events(lines, each, "EndpointSlice")


def _add_endpoint(lines: Lines, endpoint: Mapping[str, Any]) -> None:
    lines.add(f"- Addresses:\t{', '.join(endpoint.get('addresses') or ()) or NONE}", 1)
    lines.add("  Conditions:", 1)
    ready = (endpoint.get("conditions") or {}).get("ready")
    lines.add(f"  Ready:\t{'<unset>' if ready is None else boolean(ready).lower()}", 2)
    lines.add(f"  Hostname:\t{endpoint.get('hostname', '<unset>')}", 1)
    target = endpoint.get("targetRef")
    if target:
        lines.add(f"  TargetRef:\t{target.get('kind', '')}/{target.get('name', '')}", 1)
    lines.add(f"  NodeName:\t{endpoint.get('nodeName') or '<unset>'}", 1)
    lines.add(f"  Zone:\t{endpoint.get('zone') or '<unset>'}", 1)
