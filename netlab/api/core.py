"""Views of the core group: Pod, Service, Node, Namespace and their company.

Fields here are the fields netlab acts on (see ``view``). Ports that may be a number or a name
(``IntOrString``) are ``int | str``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from netlab.api.meta import AnyObject, Condition, ObjectReference
from netlab.api.view import View

field = msgspec.field


class ObjectFieldSelector(View, frozen=True, kw_only=True):
    """A field of the pod itself, such as ``status.podIP``."""

    field_path: str
    api_version: str = "v1"


class KeySelector(View, frozen=True, kw_only=True):
    """One key of a ConfigMap or Secret."""

    key: str
    name: str = ""
    optional: bool = False


class EnvVarSource(View, frozen=True, kw_only=True):
    """Where an environment variable's value comes from; exactly one is set."""

    field_ref: ObjectFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(View, frozen=True, kw_only=True):
    """One environment variable; ``$(OTHER)`` in value is expanded."""

    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvFromTarget(View, frozen=True, kw_only=True):
    """The ConfigMap or Secret whose keys become variables."""

    name: str = ""
    optional: bool = False


class EnvFromSource(View, frozen=True, kw_only=True):
    """All keys of a ConfigMap or Secret, each behind a prefix."""

    prefix: str = ""
    config_map_ref: EnvFromTarget | None = None
    secret_ref: EnvFromTarget | None = None


class ContainerPort(View, frozen=True, kw_only=True):
    """A port the container listens on; names it for Services."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class VolumeMount(View, frozen=True, kw_only=True):
    """Where a volume appears in a container."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class Container(View, frozen=True, kw_only=True):
    """One container of a pod."""

    name: str
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    stdin: bool = False
    tty: bool = False


class EmptyDirVolume(View, frozen=True, kw_only=True):
    """A folder that lives as long as the pod."""


class KeyToPath(View, frozen=True, kw_only=True):
    """Which file one key of a ConfigMap or Secret becomes; mode None means the volume's."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapProjection(View, frozen=True, kw_only=True):
    """The keys of a ConfigMap as files; no items means all keys."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class SecretProjection(View, frozen=True, kw_only=True):
    """The keys of a Secret as files; no items means all keys."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardApiFile(View, frozen=True, kw_only=True):
    """One field of the pod as a file."""

    path: str
    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None


class DownwardApiProjection(View, frozen=True, kw_only=True):
    """Fields of the pod as files."""

    items: tuple[DownwardApiFile, ...] = ()


class ServiceAccountTokenProjection(View, frozen=True, kw_only=True):
    """A token of the pod's service account; it is renewed before it expires."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class VolumeProjection(View, frozen=True, kw_only=True):
    """One source of a projected volume; exactly one member is set."""

    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardApiProjection | None = field(name="downwardAPI", default=None)
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolume(View, frozen=True, kw_only=True):
    """Several sources in one folder."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int = 0o644


class ConfigMapVolume(ConfigMapProjection, frozen=True, kw_only=True):
    """A ConfigMap as a folder."""

    default_mode: int = 0o644


class SecretVolume(View, frozen=True, kw_only=True):
    """A Secret as a folder."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False
    default_mode: int = 0o644


class DownwardApiVolume(DownwardApiProjection, frozen=True, kw_only=True):
    """Fields of the pod as a folder."""

    default_mode: int = 0o644


class Volume(View, frozen=True, kw_only=True):
    """One volume of a pod; none of the members set means a kind that netlab cannot mount."""

    name: str
    empty_dir: EmptyDirVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardApiVolume | None = field(name="downwardAPI", default=None)
    projected: ProjectedVolume | None = None


class PodDnsOption(View, frozen=True, kw_only=True):
    """One resolver option, such as ndots."""

    name: str = ""
    value: str | None = None


class PodDnsConfig(View, frozen=True, kw_only=True):
    """Resolver settings added to those of the pod's dnsPolicy."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDnsOption, ...] = ()


class Toleration(View, frozen=True, kw_only=True):
    """A taint the pod puts up with; empty key with Exists: any taint; no effect: all effects."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodSpec(View, frozen=True, kw_only=True):
    """What a pod shall be."""

    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    node_name: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    share_process_namespace: bool = False
    enable_service_links: bool = True
    hostname: str = ""
    subdomain: str = ""
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    scheduler_name: str = "default-scheduler"
    tolerations: tuple[Toleration, ...] = ()


class ContainerStateRunning(View, frozen=True, kw_only=True):
    """The container's process runs."""

    started_at: datetime | None = None


class ContainerStateTerminated(View, frozen=True, kw_only=True):
    """The container's process has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = field(name="containerID", default="")


class ContainerStateWaiting(View, frozen=True, kw_only=True):
    """The container does not run yet, or waits to run again."""

    reason: str = ""
    message: str = ""


class ContainerState(View, frozen=True, kw_only=True):
    """Exactly one member is set."""

    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class ContainerStatus(View, frozen=True, kw_only=True):
    """What became of one container."""

    name: str
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = field(name="imageID", default="")
    container_id: str = field(name="containerID", default="")
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)


class PodStatus(View, frozen=True, kw_only=True):
    """What a pod is; phase is Pending, Running, Succeeded, Failed or Unknown."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = field(name="podIP", default="")
    host_ip: str = field(name="hostIP", default="")
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, if there is one."""
        return next((c for c in self.conditions if c.type == kind), None)


class Pod(AnyObject, frozen=True, kw_only=True):
    """A set of containers that share namespaces."""

    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)

    @property
    def ready(self) -> bool:
        """True when the Ready condition is True."""
        condition = self.status.condition("Ready")
        return condition is not None and condition.status == "True"


class PodTemplateSpec(View, frozen=True, kw_only=True):
    """The part of a pod template that controllers read; ``spec`` stays as written."""

    metadata: dict[str, Any] = {}
    spec: dict[str, Any] = {}


class ServicePort(View, frozen=True, kw_only=True):
    """One port of a Service; target_port 0 means: the same as port."""

    port: int
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

    ip: str
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(View, frozen=True, kw_only=True):
    """One port of an Endpoints subset."""

    port: int
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

    type: str
    address: str


class Taint(View, frozen=True, kw_only=True):
    """What keeps pods off a node."""

    key: str
    effect: str
    value: str = ""


class NodeSpec(View, frozen=True, kw_only=True):
    """What a node shall be."""

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

    type: str = "Opaque"
    data: dict[str, str] = {}
    immutable: bool = False


class ServiceAccount(AnyObject, frozen=True, kw_only=True):
    """The identity that pods have towards the API server."""

    automount_service_account_token: bool | None = None


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
