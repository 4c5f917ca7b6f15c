"""Views of discovery.k8s.io and coordination.k8s.io: EndpointSlice and Lease."""

from __future__ import annotations

from datetime import datetime

import msgspec

from netlab.api.meta import AnyObject, ObjectReference
from netlab.api.view import View

field = msgspec.field

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class EndpointConditions(View, frozen=True, kw_only=True):
    """ready None counts as True; serving None counts as ready; terminating None as False."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Hint(View, frozen=True, kw_only=True):
    """One node or zone by its name."""

    name: str = ""


class EndpointHints(View, frozen=True, kw_only=True):
    """The nodes and zones that an endpoint is meant for."""

    for_nodes: tuple[Hint, ...] = ()
    for_zones: tuple[Hint, ...] = ()


class Endpoint(View, frozen=True, kw_only=True):
    """One backend; all addresses of an endpoint are the same pod."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = field(default_factory=EndpointConditions)
    hints: EndpointHints | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointSlicePort(View, frozen=True, kw_only=True):
    """One port of all endpoints of a slice."""

    name: str = ""
    port: int | None = None
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSlice(AnyObject, frozen=True, kw_only=True):
    """A part of a Service's endpoints, at most 100 of them."""

    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointSlicePort, ...] = ()

    @property
    def service_name(self) -> str:
        """The Service, in the same namespace, that the slice belongs to; "" for none."""
        return self.metadata.labels.get(SERVICE_NAME_LABEL, "")


class LeaseSpec(View, frozen=True, kw_only=True):
    """Who holds a lease and when it was last renewed."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    renew_time: datetime | None = None


class Lease(AnyObject, frozen=True, kw_only=True):
    """A heartbeat."""

    spec: LeaseSpec = field(default_factory=LeaseSpec)
