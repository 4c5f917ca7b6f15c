"""Gives Services their families, cluster addresses and node ports before they are stored.

Mirrors ``pkg/registry/core/service/storage/alloc.go``. Objects given in are changed in place.
What an update keeps of them is decided before (``api.service_update``).

netlab's clusters have one family, IPv4; a Service that insists on two is refused as a real
single-stack cluster refuses it. Left out: ``loadBalancerClass`` and service CIDRs as objects. Pure.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from netlab.api.field_errors import FieldError, invalid, invalid_value
from netlab.api.kinds import SERVICE
from netlab.api.service_update import (
    allocates_node_ports,
    has_node_ports,
    needs_cluster_ip,
    needs_health_check,
)
from netlab.api.view import Object
from netlab.apiserver.storage.allocations import Allocations, ServiceKey
from netlab.errors import ApiError

HEADLESS = "None"
FAMILY = "IPv4"
OTHER_FAMILY = "IPv6"


def allocate(
    service: Object, old: Object | None, key: ServiceKey | None, allocations: Allocations
) -> None:
    """Fill in families, cluster address and node ports, and check those the user chose.

    key: whose numbers count as free, None for a new Service (then a Service of that name that
    exists already is told of as Kubernetes does: by its numbers being taken).

    Raises: ApiError Invalid for a number that is taken or out of range, InternalError when a
    range is full.
    """
    if needs_cluster_ip(service):
        _set_families(service, old)
        _set_cluster_ip(service, key, allocations)
    if has_node_ports(service):
        _set_node_ports(service, key, allocations)
    if needs_health_check(service):
        _set_health_check_port(service, key, allocations)


def _invalid(service: Object, *errors: FieldError) -> ApiError:
    return invalid(SERVICE, service["metadata"].get("name") or "", errors)


def _set_families(service: Object, old: Object | None) -> None:
    spec = service["spec"]
    headless_without_selector = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        inherited = (old or {}).get("spec", {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or (
            "RequireDualStack" if headless_without_selector else "SingleStack"
        )
    errors = _family_errors(spec)
    if errors:
        raise _invalid(service, *errors)
    families = list(spec.get("ipFamilies") or [FAMILY])
    if headless_without_selector:
        # its endpoints may be of any family, whatever the cluster has
        if len(families) < 2 and spec["ipFamilyPolicy"] != "SingleStack":
            families.append(OTHER_FAMILY if families[0] == FAMILY else FAMILY)
    elif errors := _unserved_family_errors(spec, families):
        raise _invalid(service, *errors)
    spec["ipFamilies"] = families


def _family_errors(spec: dict[str, Any]) -> list[FieldError]:
    errors = []
    policy = spec["ipFamilyPolicy"]
    if policy == "SingleStack":
        more = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
        if len(spec.get("clusterIPs") or ()) > 1:
            errors.append(
                invalid_value("spec.ipFamilyPolicy", policy, f"{more} cluster IPs are specified")
            )
        if len(spec.get("ipFamilies") or ()) > 1:
            errors.append(
                invalid_value("spec.ipFamilyPolicy", policy, f"{more} IP families are specified")
            )
    for index, ip in enumerate(spec.get("clusterIPs") or ()):
        if ip != HEADLESS and _family_of(ip) == OTHER_FAMILY:
            errors.append(
                invalid_value(
                    f"spec.clusterIPs[{index}]",
                    spec["clusterIPs"],
                    f"{OTHER_FAMILY} is not configured on this cluster",
                )
            )
    return errors


def _unserved_family_errors(spec: dict[str, Any], families: list[str]) -> list[FieldError]:
    errors = []
    if spec["ipFamilyPolicy"] == "RequireDualStack":
        errors.append(
            invalid_value(
                "spec.ipFamilyPolicy",
                spec["ipFamilyPolicy"],
                "this cluster is not configured for dual-stack services",
            )
        )
    errors += [
        invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(families)
        if family != FAMILY
    ]
    return errors


def _family_of(ip: str) -> str:
    return FAMILY if ip_address(ip).version == 4 else OTHER_FAMILY


def _set_cluster_ip(service: Object, key: ServiceKey | None, allocations: Allocations) -> None:
    spec = service["spec"]
    wanted = spec.get("clusterIP") or ""
    if wanted == HEADLESS:
        return
    if wanted:
        refusal = allocations.refuse_ip(wanted, key)
        if refusal:
            detail = f"failed to allocate IP {wanted}: {refusal}"
            raise _invalid(service, invalid_value("spec.clusterIPs", spec["clusterIPs"], detail))
        return
    given = allocations.free_ip()
    if given is None:
        raise ApiError(500, "InternalError", "failed to allocate a serviceIP: range is full")
    spec["clusterIP"] = given
    spec["clusterIPs"] = [given]


def _set_node_ports(service: Object, key: ServiceKey | None, allocations: Allocations) -> None:
    """Give each port a node port; TCP and UDP of the same port share one."""
    ports: list[dict[str, Any]] = service["spec"].get("ports") or []
    chosen: dict[int, int] = {}
    for index, port in enumerate(ports):
        number = port.get("nodePort") or 0
        if not number:
            continue
        refusal = allocations.refuse_port(number, key)
        if refusal:
            raise _invalid(service, invalid_value(f"spec.ports[{index}].nodePort", number, refusal))
        chosen.setdefault(port["port"], number)
    if not allocates_node_ports(service):
        return
    used = {(port.get("nodePort"), port.get("protocol")) for port in ports if port.get("nodePort")}
    for port in ports:
        if port.get("nodePort"):
            continue
        shared = chosen.get(port["port"])
        if shared is None or (shared, port.get("protocol")) in used:
            shared = allocations.free_port(number for number, _ in used if number)
            if shared is None:
                raise ApiError(500, "InternalError", "failed to allocate a nodePort: range is full")
        port["nodePort"] = shared
        chosen.setdefault(port["port"], shared)
        used.add((shared, port.get("protocol")))


def _set_health_check_port(
    service: Object, key: ServiceKey | None, allocations: Allocations
) -> None:
    spec = service["spec"]
    wanted = spec.get("healthCheckNodePort") or 0
    if not wanted:
        own = [port.get("nodePort") or 0 for port in spec.get("ports") or ()]
        free = allocations.free_port(own)
        if free is None:
            raise ApiError(
                500, "InternalError", "failed to allocate a HealthCheck NodePort: range is full"
            )
        spec["healthCheckNodePort"] = free
        return
    refusal = allocations.refuse_port(wanted, key)
    if refusal:
        raise ApiError(
            500,
            "InternalError",
            "Internal error occurred: failed to allocate requested HealthCheck NodePort"
            f" {wanted}: {refusal}",
        )
