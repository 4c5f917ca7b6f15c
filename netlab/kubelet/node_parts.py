"""What the parts of the node agent share: the doors to the rest of the world.

One ``NodeParts`` is built per agent and handed to everything that acts on pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol

from netlab.api.core import Service
from netlab.api.pods import Pod
from netlab.client.events import EventRecorder
from netlab.client.informer import Informer
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.cni.host_ports import HostPort
from netlab.config import NodeConfig
from netlab.kubelet.folders import NodeFolders
from netlab.kubelet.inventory import Inventory
from netlab.kubelet.node.etc import NodeEtc
from netlab.kubelet.volumes.watch import MountedObjects
from netlab.runtime.cri import ContainerRuntime

NORMAL, WARNING = "Normal", "Warning"


class PodAddress(Protocol):
    """What the network says of a pod it has added."""

    @property
    def ip(self) -> object:
        """The pod's address; its text is the one to report."""
        ...


class PodNetwork(Protocol):
    """The pod network as the agent needs it; ``cni.plugin.PodNetwork`` is the real one."""

    async def setup(self, pod_cidr: IPv4Network) -> None: ...

    async def add(
        self,
        *,
        container_id: str,
        pod_netns: Path,
        namespace: str,
        name: str,
        host_ports: Sequence[HostPort] = (),
    ) -> PodAddress: ...

    async def delete(self, *, container_id: str, pod_netns: Path | None = None) -> None: ...

    async def check(self, *, container_id: str, pod_netns: Path) -> list[str]: ...

    async def repair(
        self, *, container_id: str, pod_netns: Path, namespace: str, name: str
    ) -> PodAddress: ...

    async def addresses(self) -> Mapping[IPv4Address, str]: ...


class NetnsTable(Protocol):
    """Named network namespaces; ``net.netns`` is the real one."""

    async def create_netns(self, name: str) -> Path: ...

    async def remove_netns(self, name: str) -> None: ...

    def list_netns(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The doors; see each type.

    etc: the node's own resolv.conf and hosts file. mounted: watches what pods show.
    probe_counts: of probes by container, namespace, pod, kind and result.
    """

    client: Client
    runtime: ContainerRuntime
    network: PodNetwork
    netns: NetnsTable
    clock: Clock
    config: NodeConfig
    events: EventRecorder
    services: Informer[Service]
    folders: NodeFolders
    inventory: Inventory
    etc: NodeEtc
    mounted: MountedObjects
    probe_counts: dict[tuple[str, str, str, str, str], int] = field(default_factory=dict)

    @property
    def node_name(self) -> str:
        """The node's name."""
        return self.config.name

    @property
    def host_ip(self) -> str:
        """The node's address."""
        return str(self.config.ip)


def container_field(name: str, pod: Pod | None = None) -> str:
    """Return the field path by which events name a container.

    pod: tells the list in which the container is; None means the ordinary ones.
    """
    field = "containers"
    if pod is not None and any(c.name == name for c in pod.spec.init_containers):
        field = "initContainers"
    elif pod is not None and any(c.name == name for c in pod.spec.ephemeral_containers):
        field = "ephemeralContainers"
    return f"spec.{field}{{{name}}}"
