"""Where a proxied request goes: ``pods/web``, ``services/https:web:443``, ``nodes/node0:10250``.

Mirrors the ``ResourceLocation`` functions of ``pkg/registry/core/{pod,service,node}``. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from netlab.api.field_errors import bad_request
from netlab.errors import ApiError

KUBELET_PORT = 10250


@dataclass(frozen=True, slots=True)
class ProxyName:
    """``NAME``, ``NAME:PORT`` or ``SCHEME:NAME:PORT``. scheme, port: "" when not given."""

    scheme: str
    name: str
    port: str

    @property
    def tls(self) -> bool:
        """True when the server is to be spoken to over TLS."""
        return self.scheme == "https"


@dataclass(frozen=True, slots=True)
class Location:
    """A server. node: whose network reaches it, "" for any."""

    address: str
    port: int
    tls: bool
    node: str = ""

    @property
    def host(self) -> str:
        """``address:port``."""
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


def parse_name(resource: str, text: str) -> ProxyName:
    """Return what the path names. resource: pod, service or node.

    Raises: ApiError BadRequest.
    """
    parts = text.split(":")
    scheme, name, port = "", text, ""
    if len(parts) == 2:
        name, port = parts
    elif len(parts) == 3:
        scheme, name, port = parts
    if len(parts) > 3 or not name or scheme not in ("", "http", "https"):
        raise bad_request(f'invalid {resource} request "{text}"')
    return ProxyName(scheme, name, port)


def pod_location(name: ProxyName, pod: Mapping[str, Any]) -> Location:
    """Return the server in a pod: the port asked for, its first container port, or 80.

    Raises: ApiError BadRequest.
    """
    spec = pod.get("spec") or {}
    port = name.port
    if not port:
        containers = spec.get("containers") or []
        declared = [c["ports"][0]["containerPort"] for c in containers if c.get("ports")]
        port = str(declared[0]) if declared else "443" if name.tls else "80"
    address = (pod.get("status") or {}).get("podIP") or ""
    if not _is_proxyable(address):
        raise bad_request("address not allowed")
    return Location(address, _port_number(port), name.tls, spec.get("nodeName") or "")


def _is_proxyable(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_unspecified
    )  # fmt: skip


def _port_number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 1 << 16:
        return int(text)
    reason = f"error trying to reach service: dial tcp: address {text}: invalid port"
    raise ApiError(503, "ServiceUnavailable", reason)


def service_location(
    name: ProxyName,
    service: Mapping[str, Any],
    slices: Sequence[Mapping[str, Any]],
    chooser: random.Random,
) -> Location:
    """Return one of a service's ready endpoints.

    Raises: ApiError ServiceUnavailable when there is none, or no such port.
    """
    wanted = _port_name(name, service)
    found = [
        Location(address, port["port"], name.tls, endpoint.get("nodeName") or "")
        for each in slices
        for port in each.get("ports") or []
        if (port.get("name") or "") == wanted and port.get("protocol", "TCP") == "TCP"
        for endpoint in each.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True)
        for address in (endpoint.get("addresses") or [])[:1]
    ]
    if not found:
        message = f'no endpoints available for service "{name.name}"'
        raise ApiError(503, "ServiceUnavailable", message)
    return chooser.choice(found)


def _port_name(name: ProxyName, service: Mapping[str, Any]) -> str:
    """The name of the port that a number or name means; "" for a port without name."""
    if not (name.port.isascii() and name.port.isdigit()):
        return name.port
    ports = (service.get("spec") or {}).get("ports") or []
    for port in ports:
        if port.get("port") == int(name.port):
            return str(port.get("name") or "")
    message = f'no service port {int(name.port)} found for service "{name.name}"'
    raise ApiError(503, "ServiceUnavailable", message)


def node_location(name: ProxyName, node: Mapping[str, Any]) -> Location | None:
    """Return the server on a node; None for its kubelet.

    Raises: ApiError BadRequest.
    """
    if name.port in ("", str(KUBELET_PORT)):
        return None
    addresses = (node.get("status") or {}).get("addresses") or []
    found = [each["address"] for each in addresses if each.get("type") == "InternalIP"]
    if not found:
        raise bad_request("address not allowed")
    return Location(found[0], _port_number(name.port), name.tls, node["metadata"]["name"])
