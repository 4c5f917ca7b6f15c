"""Rules for Services and for changes of Services.

Mirrors ``ValidateService`` and ``ValidateServiceUpdate``. Whether an address or node port is free
is the allocator's matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.validation.metadata import validate_labels
from netlab.api.validation.numbers import one_of, port_or_name
from netlab.api.view import Object

SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
MAX_AFFINITY_S: Final = 86400
KUBELET_PORT: Final = 10250
HEADLESS: Final = "None"
_TRAFFIC_POLICIES: Final = ("Cluster", "Local")


def validate_service(service: Object) -> list[FieldError]:
    """Return what is wrong with a Service, metadata aside."""
    spec = service.get("spec") or {}
    errors = _validate_type(spec)
    errors += _validate_ports(spec)
    errors += validate_labels(spec.get("selector") or {}, "spec.selector")
    errors += _validate_affinity(spec)
    errors += _validate_cluster_ips(spec)
    errors += _validate_external_ips(spec.get("externalIPs") or ())
    errors += _validate_traffic_policies(spec)
    errors += _validate_load_balancer(spec)
    return errors


def _addresses(spec: Mapping[str, Any]) -> Sequence[str]:
    """The cluster addresses; the old single field counts when the list is not there."""
    listed: Sequence[str] = spec.get("clusterIPs") or ()
    return listed or ([spec["clusterIP"]] if spec.get("clusterIP") else ())


def is_headless(spec: Mapping[str, Any]) -> bool:
    """True when the Service has no virtual address on purpose."""
    return tuple(_addresses(spec)[:1]) == (HEADLESS,)


def _validate_type(spec: Mapping[str, Any]) -> list[FieldError]:
    kind = spec.get("type")
    errors = one_of(kind, "spec.type", SERVICE_TYPES)
    path = "spec.clusterIPs[0]"
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        detail = f"may not be set to 'None' for {kind} services"
        errors.append(invalid_value(path, HEADLESS, detail))
    if kind == "LoadBalancer":
        errors += [
            invalid_value(
                f"spec.ports[{index}]",
                port["port"],
                f"may not expose port {KUBELET_PORT} externally since it is used by kubelet",
            )
            for index, port in enumerate(spec.get("ports") or ())
            if port.get("port") == KUBELET_PORT
        ]
    if kind == "ExternalName":
        if _addresses(spec):
            detail = "may not be set for ExternalName services"
            errors.append(forbidden_field("spec.clusterIPs", detail))
        errors += _validate_external_name(spec.get("externalName") or "")
    return errors


def _validate_external_name(name: str) -> list[FieldError]:
    if not name:
        return [required("spec.externalName")]
    messages = names.dns1123_subdomain(name.removesuffix("."))
    return [invalid_value("spec.externalName", name, message) for message in messages]


def _validate_ports(spec: Mapping[str, Any]) -> list[FieldError]:
    ports = spec.get("ports") or ()
    if not ports and not is_headless(spec) and spec.get("type") != "ExternalName":
        return [required("spec.ports")]
    errors = []
    used: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        errors += _validate_port_name(port.get("name") or "", path, len(ports) > 1, used)
        errors += _validate_port(port, path)
        if port.get("nodePort") and spec.get("type") == "ClusterIP":
            detail = "may not be used when `type` is 'ClusterIP'"
            errors.append(forbidden_field(f"{path}.nodePort", detail))
    return errors + _repeated_ports(ports)


def _validate_port_name(name: str, path: str, needed: bool, used: set[str]) -> list[FieldError]:
    if not name:
        return [required(f"{path}.name")] if needed else []
    errors = [invalid_value(f"{path}.name", name, m) for m in names.dns1123_label(name)]
    if name in used:
        errors.append(duplicate(f"{path}.name", name))
    used.add(name)
    return errors


def _validate_port(port: Mapping[str, Any], path: str) -> list[FieldError]:
    number = port.get("port", 0)
    errors = [invalid_value(f"{path}.port", number, m) for m in names.port_number(number)]
    errors += one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    if port.get("targetPort") is not None:
        errors += port_or_name(port["targetPort"], f"{path}.targetPort")
    protocol = port.get("appProtocol")
    if protocol:
        messages = names.qualified_name(protocol)
        errors += [invalid_value(f"{path}.appProtocol", protocol, m) for m in messages]
    return errors


def _repeated_ports(ports: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    errors = []
    used: set[tuple[Any, Any]] = set()
    used_node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        key = (port.get("protocol"), port.get("port"))
        if key in used:
            # printed as the server's own type, whose fields have capital letters
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(duplicate(path, shown))
        used.add(key)
        node_key = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort"):
            if node_key in used_node_ports:
                errors.append(duplicate(f"{path}.nodePort", port["nodePort"]))
            used_node_ports.add(node_key)
    return errors


def _validate_affinity(spec: Mapping[str, Any]) -> list[FieldError]:
    affinity = spec.get("sessionAffinity")
    errors = one_of(affinity, "spec.sessionAffinity", ("ClientIP", "None"))
    config = spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if affinity == "ClientIP":
        timeout = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if timeout is None:
            errors.append(required(f"{path}.clientIP.timeoutSeconds"))
        elif not 0 < timeout <= MAX_AFFINITY_S:
            detail = f"must be greater than 0 and less than {MAX_AFFINITY_S}"
            errors.append(invalid_value(f"{path}.clientIP.timeoutSeconds", timeout, detail))
    elif affinity == "None" and config is not None:
        detail = "must not be set when session affinity is None"
        errors.append(forbidden_field(path, detail))
    return errors


def _validate_cluster_ips(spec: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    addresses = list(_addresses(spec))
    single = spec.get("clusterIP")
    if single and addresses and single != addresses[0]:
        detail = "first value must match `clusterIP`"
        errors.append(invalid_value("spec.clusterIPs", addresses, detail))
    for index, address in enumerate(addresses):
        path = f"spec.clusterIPs[{index}]"
        if address == HEADLESS:
            if len(addresses) > 1:
                detail = "'None' must be the first and only value"
                errors.append(invalid_value("spec.clusterIPs", addresses, detail))
        else:
            errors += [invalid_value(path, address, m) for m in names.ip_address(address)]
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
    return errors


def _validate_external_ips(addresses: Sequence[str]) -> list[FieldError]:
    errors = []
    for index, address in enumerate(addresses):
        path = f"spec.externalIPs[{index}]"
        messages = names.ip_address(address)
        errors += [invalid_value(path, address, message) for message in messages]
        if not messages:
            errors += validate_plain_address(address, path)
    return errors


def validate_plain_address(address: str, path: str) -> list[FieldError]:
    """Refuse addresses that can be nobody's endpoint: unspecified, loopback, link-local."""
    ip = names.routed_address(address)
    rules = (
        (ip.is_unspecified, f"may not be unspecified ({address})"),
        (ip.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (ip.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (
            ip.is_multicast and str(ip).startswith(("224.0.0.", "ff02:")),
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    )
    return [invalid_value(path, address, detail) for broken, detail in rules if broken]


def _externally_reachable(spec: Mapping[str, Any]) -> bool:
    kind = spec.get("type")
    outside = kind == "ClusterIP" and bool(spec.get("externalIPs"))
    return kind in ("LoadBalancer", "NodePort") or outside


def _validate_traffic_policies(spec: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    path = "spec.externalTrafficPolicy"
    if _externally_reachable(spec):
        errors += one_of(external, path, _TRAFFIC_POLICIES)
    elif external:
        detail = "may only be set for externally-accessible services"
        errors.append(invalid_value(path, external, detail))
    if internal and internal not in _TRAFFIC_POLICIES:
        errors.append(not_supported("spec.internalTrafficPolicy", internal, _TRAFFIC_POLICIES))
    health = spec.get("healthCheckNodePort", 0)
    if health and not (spec.get("type") == "LoadBalancer" and external == "Local"):
        detail = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        errors.append(invalid_value("spec.healthCheckNodePort", health, detail))
    return errors


def _validate_load_balancer(spec: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    is_balancer = spec.get("type") == "LoadBalancer"
    detail = "may only be used when `type` is 'LoadBalancer'"
    for field in ("loadBalancerSourceRanges", "loadBalancerClass", "allocateLoadBalancerNodePorts"):
        if spec.get(field) is not None and not is_balancer:
            errors.append(forbidden_field(f"spec.{field}", detail))
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        path = f"spec.loadBalancerSourceRanges[{index}]"
        messages = names.ip_network(network.strip())
        errors += [invalid_value(path, network, message) for message in messages]
    return errors


def validate_service_update(old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with changing a Service: its first cluster address stays.

    It may change when the Service is, or was, an ExternalName, which has none.
    """
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if "ExternalName" in (before.get("type"), after.get("type")):
        return []
    errors = []
    old_addresses, new_addresses = list(_addresses(before)), list(_addresses(after))
    if old_addresses and new_addresses[:1] != old_addresses[:1]:
        detail = "may not change once set"
        errors.append(invalid_value("spec.clusterIPs[0]", new_addresses, detail))
    if before.get("type") == after.get("type") == "LoadBalancer":
        path, now = "spec.loadBalancerClass", after.get("loadBalancerClass")
        if before.get("loadBalancerClass") != now:
            errors.append(invalid_value(path, now, "may not change once set"))
    return errors
