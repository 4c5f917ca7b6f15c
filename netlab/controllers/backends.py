"""What a pod is to a Service: its address, its ports, whether it is ready.

Shared by the EndpointSlice and the Endpoints controller. Mirrors ``podToEndpoint``,
``FindPort`` and ``ShouldPodBeInEndpoints`` of kube-controller-manager and its library
``k8s.io/endpointslice``.

netlab is IPv4 only: an IPv6 address family of a Service gets no endpoints. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from netlab.api.core import Service
from netlab.api.pods import Pod
from netlab.api.view import Object

Ports: TypeAlias = tuple["BackendPort", ...]

TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True, order=True)
class BackendPort:
    """A Service port as one pod serves it: the number is the container's."""

    name: str
    port: int
    protocol: str
    app_protocol: str | None = None

    def to_object(self, *, empty_name: bool) -> Object:
        """Return the JSON; empty_name keeps a ``name`` of "", as EndpointSlices do."""
        entry: Object = {"port": self.port, "protocol": self.protocol}
        if self.name or empty_name:
            entry["name"] = self.name
        if self.app_protocol is not None:
            entry["appProtocol"] = self.app_protocol
        return entry


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod behind a Service."""

    address: str
    node_name: str
    hostname: str
    ports: Ports
    ready: bool
    serving: bool
    terminating: bool
    namespace: str
    pod_name: str
    pod_uid: str

    def target_ref(self) -> Object:
        """Return the reference to the pod."""
        return {
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.pod_name,
            "uid": self.pod_uid,
        }


def is_headless(service: Service) -> bool:
    """Return whether the Service asks for no address of its own."""
    return service.spec.cluster_ip == "None"


def belongs_in_endpoints(pod: Pod) -> bool:
    """Return whether the pod has an address and has not ended for good."""
    return bool(pod.status.pod_ip) and pod.status.phase not in ("Succeeded", "Failed")


def backend(service: Service, pod: Pod) -> Backend:
    """Return what a selected pod is to the Service."""
    terminating = pod.metadata.deletion_timestamp is not None
    publish = service.spec.publish_not_ready_addresses
    return Backend(
        address=pod.status.pod_ip,
        node_name=pod.spec.node_name,
        hostname=pod.spec.hostname if pod.spec.subdomain == service.metadata.name else "",
        ports=resolve_ports(service, pod),
        # a pod that ends takes no new connections, however healthy it is
        ready=publish or (pod.ready and not terminating),
        serving=pod.ready,
        terminating=terminating,
        namespace=pod.metadata.namespace,
        pod_name=pod.metadata.name,
        pod_uid=pod.metadata.uid,
    )


def resolve_ports(service: Service, pod: Pod) -> Ports:
    """Return the Service's ports with the pod's numbers; a name the pod lacks is left out."""
    ports = []
    for port in service.spec.ports:
        target = port.target_port or port.port
        number = _named_port(pod, target, port.protocol) if isinstance(target, str) else target
        if number is not None:
            ports.append(BackendPort(port.name, number, port.protocol, port.app_protocol))
    return tuple(sorted(ports, key=lambda p: (p.name, p.port, p.protocol)))


def _named_port(pod: Pod, name: str, protocol: str) -> int | None:
    sidecars = (c for c in pod.spec.init_containers if c.restart_policy == "Always")
    for container in (*pod.spec.containers, *sidecars):
        for port in container.ports:
            if port.name == name and port.protocol == protocol:
                return port.container_port
    return int(name) if name.isdecimal() else None


def trigger_time(service: Service, pods: list[Pod]) -> datetime | None:
    """Return when the newest of the changes happened that the endpoints show."""
    times = [service.metadata.creation_timestamp]
    for pod in pods:
        condition = pod.status.condition("Ready")
        if condition is not None:
            times.append(condition.last_transition_time)
        # a grace period ends in the future; the change is its beginning
    return max((moment for moment in times if moment is not None), default=None)
