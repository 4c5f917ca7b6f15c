"""Which addresses and ports of a Service an update keeps or drops, by the Service's type.

Mirrors ``pkg/registry/core/service/strategy.go`` (``PrepareForUpdate`` and what
it calls). Objects given in are changed in place. Pure.
"""

from __future__ import annotations

from typing import Any

from netlab.api.view import Object


def _type(service: Object) -> str:
    return str((service.get("spec") or {}).get("type") or "ClusterIP")


def needs_cluster_ip(service: Object) -> bool:
    """True when the Service gets a cluster address (or none, being headless)."""
    return _type(service) != "ExternalName"


def allocates_node_ports(service: Object) -> bool:
    """True when ports without a node port get one."""
    if _type(service) == "LoadBalancer":
        return service["spec"].get("allocateLoadBalancerNodePorts") is not False
    return _type(service) == "NodePort"


def has_node_ports(service: Object) -> bool:
    """True when its ports may have node ports."""
    return _type(service) in ("NodePort", "LoadBalancer")


def needs_health_check(service: Object) -> bool:
    """True when it has a node port for health checks."""
    return (
        _type(service) == "LoadBalancer" and service["spec"].get("externalTrafficPolicy") == "Local"
    )


def _needs_external_policy(service: Object) -> bool:
    spec = service["spec"]
    return has_node_ports(service) or (
        _type(service) == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def agree_on_addresses(service: Object) -> None:
    """Make ``clusterIP`` and ``clusterIPs`` agree."""
    spec = service["spec"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def carry_over(new: Object, old: Object) -> None:
    """Keep the allocated values that a client left out, and drop those of another type."""
    _keep_allocated(new, old)
    _agree_on_cluster_ips(new, old)
    _drop_foreign_to_type(new, old)


def _keep_allocated(new: Object, old: Object) -> None:
    fresh, kept = new["spec"], old["spec"]
    if needs_cluster_ip(new) and needs_cluster_ip(old):
        if not fresh.get("clusterIP"):
            _take(fresh, kept, "clusterIP")
        if not fresh.get("clusterIPs") and fresh.get("clusterIP") == kept.get("clusterIP"):
            _take(fresh, kept, "clusterIPs")
    if allocates_node_ports(new) and allocates_node_ports(old):
        _keep_node_ports(fresh.get("ports") or [], kept.get("ports") or [])
    if needs_health_check(new) and needs_health_check(old) and not fresh.get("healthCheckNodePort"):
        _take(fresh, kept, "healthCheckNodePort")


def _take(fresh: dict[str, Any], kept: dict[str, Any], field: str) -> None:
    if field in kept:
        value = kept[field]
        fresh[field] = list(value) if isinstance(value, list) else value


def _keep_node_ports(fresh: list[dict[str, Any]], kept: list[dict[str, Any]]) -> None:
    """Ports are recognised by their names: the user may have changed everything else."""
    by_name = {port.get("name") or "": port.get("nodePort") or 0 for port in kept}
    used = {port.get("nodePort") or 0 for port in fresh} - {0}
    for port in fresh:
        known = by_name.get(port.get("name") or "", 0)
        if not port.get("nodePort") and known and known not in used:
            port["nodePort"] = known
            used.add(known)


def _agree_on_cluster_ips(new: Object, old: Object) -> None:
    """A client that knows only one of the two fields has changed only that one."""
    fresh, kept = new["spec"], old["spec"]
    same_one = (fresh.get("clusterIP") or "") == (kept.get("clusterIP") or "")
    same_all = list(fresh.get("clusterIPs") or ()) == list(kept.get("clusterIPs") or ())
    if not same_one and same_all:
        if fresh.get("clusterIP"):
            fresh["clusterIPs"] = [fresh["clusterIP"]]
        else:
            fresh.pop("clusterIPs", None)
    elif same_one and not same_all and not fresh.get("clusterIPs"):
        fresh.pop("clusterIP", None)


def _drop_foreign_to_type(new: Object, old: Object) -> None:
    """On a change of type, drop what the new type does not know, unless the user set it anew."""
    fresh, kept = new["spec"], old["spec"]

    def drop(*fields: str) -> None:
        for field in fields:
            if fresh.get(field) == kept.get(field):
                fresh.pop(field, None)

    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if fresh.get("clusterIP") == kept.get("clusterIP"):
            drop("clusterIP", "clusterIPs")
        drop("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if has_node_ports(old) and not has_node_ports(new):
        _drop_node_ports(fresh.get("ports") or [], kept.get("ports") or [])
    if needs_health_check(old) and not needs_health_check(new):
        drop("healthCheckNodePort")
    if _type(old) == "LoadBalancer" != _type(new):
        drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if _needs_external_policy(old) and not _needs_external_policy(new):
        drop("externalTrafficPolicy")


def _drop_node_ports(fresh: list[dict[str, Any]], kept: list[dict[str, Any]]) -> None:
    numbers = [port.get("nodePort") or 0 for port in fresh]
    if sorted(numbers) == sorted(port.get("nodePort") or 0 for port in kept):
        for port in fresh:
            port.pop("nodePort", None)
