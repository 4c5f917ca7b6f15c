"""Service: a stable address for a changing set of pods.

Mirrors ``pkg/registry/core/service/strategy.go`` and ``pkg/apis/core/v1/defaults.go``. Which
address and which ports it gets depends on the others (``apiserver.storage.services``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from netlab.api import names
from netlab.api.core import Service
from netlab.api.field_selectors import paths
from netlab.api.kind import Counting, Kind
from netlab.api.kinds.counted import ONE
from netlab.api.pod_resources import Amounts
from netlab.api.quantities import Quantity
from netlab.api.service_update import agree_on_addresses, carry_over
from netlab.api.subresources import STATUS, proxied
from netlab.api.tables.network import SERVICE_PRINTER
from netlab.api.validation.service import validate_service, validate_service_update
from netlab.api.view import Object


def _defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("type", "ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = dict(spec.get("sessionAffinityConfig") or {})
        config["clientIP"] = {"timeoutSeconds": 10800, **(config.get("clientIP") or {})}
        spec["sessionAffinityConfig"] = config
    if spec.get("ports"):
        spec["ports"] = [_port(port) for port in spec["ports"]]
    _default_traffic(spec)
    new["spec"] = spec
    new["status"] = {"loadBalancer": {}, **(new.get("status") or {})}


def _port(port: Mapping[str, Any]) -> Object:
    filled = {"protocol": "TCP", **port}
    if filled.get("targetPort") in (None, 0, ""):
        filled["targetPort"] = port.get("port", 0)
    return filled


def _default_traffic(spec: Object) -> None:
    kind = spec["type"]
    reachable_from_outside = kind in ("NodePort", "LoadBalancer") or (
        kind == "ClusterIP" and spec.get("externalIPs")
    )
    if reachable_from_outside:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _prepare_create(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj["status"] = {"loadBalancer": {}}
    agree_on_addresses(obj)


def _prepare_update(new: Object, old: Object) -> None:
    new.setdefault("spec", {})
    carry_over(new, old)


def _amounts(service: Object) -> Amounts:
    spec = service.get("spec") or {}
    usage: Amounts = {"services": ONE}
    ports = spec.get("ports") or ()
    count = len(ports)
    if spec.get("type") == "LoadBalancer":
        usage["services.loadbalancers"] = ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            count = sum(1 for port in ports if port.get("nodePort"))
    elif spec.get("type") != "NodePort":
        return usage
    return usage | {"services.nodeports": Quantity(Decimal(count))}


def _advice(service: Object) -> Iterable[str]:
    """Mirrors ``pkg/api/service/warnings.go``."""
    spec = service.get("spec") or {}
    if spec.get("clusterIP") != "None":
        return
    if spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.clusterIP is "None"'
    if spec.get("sessionAffinity") not in (None, "", "None"):
        yield "spec.SessionAffinity is ignored for headless services"


SERVICE = Kind(
    "",
    "v1",
    "Service",
    "services",
    Service,
    short_names=("svc",),
    categories=("all",),
    subresources=(proxied("ServiceProxyOptions"), STATUS),
    zeros=(
        (
            "ServiceSpec",
            "clusterIP type sessionAffinity loadBalancerIP externalName"
            " externalTrafficPolicy healthCheckNodePort publishNotReadyAddresses",
        ),
        ("ServicePort", "name protocol nodePort"),
        ("LoadBalancerIngress", "ip hostname"),
    ),
    defaults=_defaults,
    name_rule=names.dns1035_label,
    validate=validate_service,
    validate_update=validate_service_update,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    returns_deleted=True,
    printer=SERVICE_PRINTER,
    selectable=paths("spec.clusterIP", "spec.type"),
    counting=Counting(_amounts),
    advice=_advice,
)
KINDS = (SERVICE,)
