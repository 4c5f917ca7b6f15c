"""Views of the core group: Service, Node, Namespace and their company; pods have ``pods``.

Fields here are the fields netlab acts on (see ``view``). Ports that may be a number or a name
(``IntOrString``) are ``int | str``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from netlab.api.meta import AnyObject, Condition, ObjectReference
from netlab.api.pods import LocalObjectReference
from netlab.api.view import ANY_VALUE, View

field = msgspec.field


class ServicePort(View, frozen=True, kw_only=True):
    """One port of a Service; target_port 0 means: the same as port."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    node_port: int = 0
    app_protocol: str | None = None


class ClientIPConfig(View, frozen=True, kw_only=True):
    """How long a client stays with one endpoint."""

    timeout_seconds: int = 10800


class SessionAffinityConfig(View, frozen=True, kw_only=True):
    """Session affinity details."""

    client_ip: ClientIPConfig | None = field(name="clientIP", default=None)


class ServiceSpec(View, frozen=True, kw_only=True):
    """What a Service shall be; type is ClusterIP, NodePort, LoadBalancer or ExternalName."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"allocateLoadBalancerNodePorts": (True,)}

    type: str = "ClusterIP"
    cluster_ip: str = field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] = field(name="clusterIPs", default=())
    external_ips: tuple[str, ...] = field(name="externalIPs", default=())
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str = "Cluster"
    health_check_node_port: int = 0
    load_balancer_source_ranges: tuple[str, ...] = ()
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] = field(name="ipFamilies", default=())
    ip_family_policy: str = ""


class LoadBalancerIngress(View, frozen=True, kw_only=True):
    """One address of a load balancer."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(View, frozen=True, kw_only=True):
    """The addresses of a load balancer."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(View, frozen=True, kw_only=True):
    """What a Service is."""

    load_balancer: LoadBalancerStatus = field(default_factory=LoadBalancerStatus)


class Service(AnyObject, frozen=True, kw_only=True):
    """One stable name and address for a set of pods."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)
    status: ServiceStatus = field(default_factory=ServiceStatus)


class EndpointAddress(View, frozen=True, kw_only=True):
    """One address of an Endpoints subset."""

    ip: str = ""
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(View, frozen=True, kw_only=True):
    """One port of an Endpoints subset."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSubset(View, frozen=True, kw_only=True):
    """Addresses that share ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(AnyObject, frozen=True, kw_only=True):
    """The old form of a Service's endpoints: one object for all of them."""

    subsets: tuple[EndpointSubset, ...] = ()


class NodeAddress(View, frozen=True, kw_only=True):
    """One address of a node; type is InternalIP or Hostname."""

    type: str = ""
    address: str = ""


class Taint(View, frozen=True, kw_only=True):
    """What keeps pods off a node; time_added is told of NoExecute taints that controllers add."""

    key: str = ""
    effect: str = ""
    value: str = ""
    time_added: datetime | None = None


class NodeSpec(View, frozen=True, kw_only=True):
    """What a node shall be."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"podCIDRs": ANY_VALUE, "providerID": ANY_VALUE}

    pod_cidr: str = field(name="podCIDR", default="")
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(View, frozen=True, kw_only=True):
    """What a node is."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[Condition, ...] = ()
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}


class Node(AnyObject, frozen=True, kw_only=True):
    """A machine that runs pods."""

    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


class NamespaceSpec(View, frozen=True, kw_only=True):
    """What holds a namespace while it is deleted."""

    finalizers: tuple[str, ...] = ()


class NamespaceStatus(View, frozen=True, kw_only=True):
    """Active or Terminating."""

    phase: str = ""


class Namespace(AnyObject, frozen=True, kw_only=True):
    """A scope of names."""

    spec: NamespaceSpec = field(default_factory=NamespaceSpec)
    status: NamespaceStatus = field(default_factory=NamespaceStatus)


class ConfigMap(AnyObject, frozen=True, kw_only=True):
    """Configuration: text and base64 values by key."""

    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool = False


class Secret(AnyObject, frozen=True, kw_only=True):
    """Confidential data: base64 values by key."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"stringData": ANY_VALUE}

    type: str = "Opaque"
    data: dict[str, str] = {}
    immutable: bool = False


class ServiceAccount(AnyObject, frozen=True, kw_only=True):
    """The identity that pods have towards the API server."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"secrets": ANY_VALUE}

    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()


class EventSource(View, frozen=True, kw_only=True):
    """Which component told an event."""

    component: str = ""
    host: str = ""


class Event(AnyObject, frozen=True, kw_only=True):
    """Something that happened to an object."""

    involved_object: ObjectReference = field(default_factory=ObjectReference)
    reason: str = ""
    message: str = ""
    type: str = "Normal"
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    source: EventSource = field(default_factory=EventSource)
    reporting_component: str = ""
    reporting_instance: str = ""
