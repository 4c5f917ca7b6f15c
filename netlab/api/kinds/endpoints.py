"""Endpoints and EndpointSlice: who answers for a Service.

Mirrors ``pkg/registry/core/endpoint`` and ``pkg/registry/discovery/endpointslice``.
"""

from __future__ import annotations

from typing import Any

from netlab.api.core import Endpoints
from netlab.api.discovery import EndpointSlice
from netlab.api.kind import Kind
from netlab.api.tables.network import ENDPOINT_SLICE_PRINTER, ENDPOINTS_PRINTER
from netlab.api.validation.endpoints import (
    validate_endpoint_slice,
    validate_endpoint_slice_update,
    validate_endpoints,
)
from netlab.api.view import Object


def _endpoints_defaults(new: Object) -> None:
    if new.get("subsets"):
        new["subsets"] = [
            {**subset, "ports": [{"protocol": "TCP", **port} for port in subset["ports"]]}
            if subset.get("ports")
            else subset
            for subset in new["subsets"]
        ]


def _slice_defaults(new: Object) -> None:
    new.setdefault("endpoints", [])
    new["ports"] = [{"name": "", "protocol": "TCP", **port} for port in new.get("ports") or ()]
    new["endpoints"] = [{"conditions": {}, **endpoint} for endpoint in new["endpoints"] or ()]


def _slice_changed(new: Object, old: Object) -> bool:
    def content(obj: Object) -> dict[str, Any]:
        return {key: value for key, value in obj.items() if key != "metadata"}

    same_labels = (new["metadata"].get("labels") or {}) == (old["metadata"].get("labels") or {})
    return content(new) != content(old) or not same_labels


ENDPOINTS = Kind(
    "",
    "v1",
    "Endpoints",
    "endpoints",
    Endpoints,
    short_names=("ep",),
    zeros=(("EndpointAddress", "hostname"),),
    defaults=_endpoints_defaults,
    validate=validate_endpoints,
    create_on_update=True,
    printer=ENDPOINTS_PRINTER,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    record=True,
)
ENDPOINT_SLICE = Kind(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    EndpointSlice,
    defaults=_slice_defaults,
    validate=validate_endpoint_slice,
    validate_update=validate_endpoint_slice_update,
    generation_changes=_slice_changed,
    printer=ENDPOINT_SLICE_PRINTER,
    record=True,
)
KINDS = (ENDPOINTS, ENDPOINT_SLICE)
