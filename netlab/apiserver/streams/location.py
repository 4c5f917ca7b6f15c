"""Where a proxied request goes: ``pods/web``, ``services/https:web:443``, ``nodes/node0:10250``.

Mirrors the ``ResourceLocation`` functions of ``pkg/registry/core/{pod,service,node}``. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netlab.api.field_errors import bad_request
from netlab.api.names import int64, routed_address
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
    if not is_proxyable(address):
        raise bad_request("address not allowed")
    return Location(address, _port_number(port), name.tls, spec.get("nodeName") or "")


def is_proxyable(text: str) -> bool:
    """True for an address that is somebody's, and not the server's own or its network's."""
    try:
        address = routed_address(text)
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that an endpoint names, if the pod of that name in the namespace has its address.

    Anybody who writes endpoints could otherwise have the API server connect to anything.
    """

    location: Location
    pod: str

    def is_of(self, pod: Mapping[str, Any]) -> bool:
        """True when the pod has the address, and a server may be reached there."""
        status = pod.get("status") or {}
        addresses = [each.get("ip") for each in status.get("podIPs") or []]
        address = self.location.address
        return address in (*addresses, status.get("podIP")) and is_proxyable(address)


def service_candidates(
    name: ProxyName,
    service: Mapping[str, Any],
    slices: Sequence[Mapping[str, Any]],
    chooser: random.Random,
) -> list[Candidate]:
    """Return a service's ready endpoints that name a pod of its namespace, in any order.

    Raises: ApiError ServiceUnavailable when there is none, or no such port.
    """
    wanted = _port_name(name, service)
    namespace = service["metadata"].get("namespace")
    found = [
        Candidate(
            Location(address, port["port"], name.tls, endpoint.get("nodeName") or ""), pod["name"]
        )
        for each in slices
        for port in each.get("ports") or []
        if (port.get("name") or "") == wanted and port.get("protocol", "TCP") == "TCP"
        for endpoint in each.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready", True)
        for pod in [endpoint.get("targetRef") or {}]
        if pod.get("name") and pod.get("namespace") == namespace
        for address in (endpoint.get("addresses") or [])[:1]
    ]
    if not found:
        raise no_endpoints(name)
    chooser.shuffle(found)
    return found


def no_endpoints(name: ProxyName) -> ApiError:
    """Return the 503 for a service without a server."""
    message = f'no endpoints available for service "{name.name}"'
    return ApiError(503, "ServiceUnavailable", message)


def _port_name(name: ProxyName, service: Mapping[str, Any]) -> str:
    """The name of the port that a number or name means; "" for a port without name."""
    if not (name.port.isascii() and name.port.isdigit()):
        return name.port
    number = int64(name.port)
    ports = (service.get("spec") or {}).get("ports") or []
    for port in ports:
        if port.get("port") == number:
            return str(port.get("name") or "")
    wanted = name.port if number is None else number
    message = f'no service port {wanted} found for service "{name.name}"'
    raise ApiError(503, "ServiceUnavailable", message)


def node_location(name: ProxyName, node: Mapping[str, Any]) -> Location | None:
    """Return the server on a node; None for its kubelet.

    Raises: ApiError BadRequest.
    """
    if name.port in ("", str(KUBELET_PORT)):
        return None
    addresses = (node.get("status") or {}).get("addresses") or []
    found = [each["address"] for each in addresses if each.get("type") == "InternalIP"]
    if not found or not is_proxyable(found[0]):
        raise bad_request("address not allowed")
    return Location(found[0], _port_number(name.port), name.tls, node["metadata"]["name"])
