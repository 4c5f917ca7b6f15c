"""Endpoints and EndpointSlice: who answers for a Service.

Mirrors ``pkg/registry/core/endpoint`` and ``pkg/registry/discovery/endpointslice``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from netlab.api import names
from netlab.api.core import Endpoints
from netlab.api.discovery import EndpointSlice
from netlab.api.field_errors import (
    FieldError,
    duplicate,
    invalid_value,
    required,
    too_many,
)
from netlab.api.kind import Kind
from netlab.api.tables.network import ENDPOINT_SLICE_PRINTER, ENDPOINTS_PRINTER
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.validation.numbers import one_of
from netlab.api.validation.service import PROTOCOLS, validate_plain_address
from netlab.api.view import Object

ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS: Final = 1000
MAX_ADDRESSES: Final = 100
MAX_PORTS: Final = 20000


def validate_endpoints(endpoints: Object) -> list[FieldError]:
    """Return what is wrong with an Endpoints object, metadata aside."""
    errors = []
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            detail = "must specify `addresses` or `notReadyAddresses`"
            errors.append(required(path, detail))
        for field in ("addresses", "notReadyAddresses"):
            for address_index, address in enumerate(subset.get(field) or ()):
                here = f"{path}.{field}[{address_index}]"
                errors += _validate_ip(address.get("ip") or "", f"{here}.ip")
                host = address.get("hostname")
                if host:
                    messages = names.dns1123_label(host)
                    errors += [invalid_value(f"{here}.hostname", host, m) for m in messages]
        errors += _validate_ports(subset, path)
    return errors


def _validate_ip(address: str, path: str) -> list[FieldError]:
    messages = names.ip_address(address)
    if messages:
        return [invalid_value(path, address, message) for message in messages]
    return validate_plain_address(address, path)


def _validate_ports(subset: Mapping[str, Any], path: str) -> list[FieldError]:
    ports = subset.get("ports") or ()
    errors = []
    for index, port in enumerate(ports):
        here = f"{path}.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errors.append(required(f"{here}.name"))
        elif name:
            errors += [invalid_value(f"{here}.name", name, m) for m in names.dns1123_label(name)]
        number = port.get("port", 0)
        errors += [invalid_value(f"{here}.port", number, m) for m in names.port_number(number)]
        errors += one_of(port.get("protocol"), f"{here}.protocol", PROTOCOLS)
    return errors


def validate_endpoint_slice(endpoint_slice: Object) -> list[FieldError]:
    """Return what is wrong with an EndpointSlice, metadata aside."""
    kind = endpoint_slice.get("addressType") or ""
    errors = one_of(kind, "addressType", ADDRESS_TYPES)
    endpoints = endpoint_slice.get("endpoints") or ()
    if len(endpoints) > MAX_ENDPOINTS:
        return [*errors, too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
    for index, endpoint in enumerate(endpoints):
        errors += _validate_endpoint(endpoint, f"endpoints[{index}]", kind)
    return errors + _validate_slice_ports(endpoint_slice)


def _validate_endpoint(endpoint: Mapping[str, Any], path: str, kind: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or ()
    errors = []
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for index, address in enumerate(addresses):
        errors += _validate_address(address, f"{path}.addresses[{index}]", kind)
    host = endpoint.get("hostname")
    if host is not None:
        messages = names.dns1123_label(host)
        errors += [invalid_value(f"{path}.hostname", host, message) for message in messages]
    return errors


def _validate_address(address: str, path: str, kind: str) -> list[FieldError]:
    if kind == "FQDN":
        messages = names.dns1123_subdomain(address)
        return [invalid_value(path, address, message) for message in messages]
    errors = _validate_ip(address, path)
    if not errors and (":" in address) is not (kind == "IPv6"):
        errors.append(invalid_value(path, address, f"must be a valid {kind} address"))
    return errors


def _validate_slice_ports(endpoint_slice: Object) -> list[FieldError]:
    ports = endpoint_slice.get("ports") or ()
    if len(ports) > MAX_PORTS:
        return [too_many("ports", len(ports), MAX_PORTS)]
    errors = []
    used: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name = port.get("name") or ""
        if name:
            errors += [invalid_value(f"{path}.name", name, m) for m in names.dns1123_label(name)]
        if name in used:
            errors.append(duplicate(f"{path}.name", name))
        used.add(name)
        errors += one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
        number = port.get("port")
        if number is not None:
            errors += [invalid_value(f"{path}.port", number, m) for m in names.port_number(number)]
    return errors


def validate_endpoint_slice_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse a change of the address type."""
    if old.get("addressType") == new.get("addressType"):
        return []
    return [invalid_value("addressType", new.get("addressType"), IMMUTABLE)]


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
