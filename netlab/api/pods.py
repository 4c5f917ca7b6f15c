"""Views of a Pod: what it shall be, and what it is.

Fields here are the fields netlab acts on (see ``view``); containers and volumes have modules of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import msgspec

from netlab.api.containers import (
    Container,
    EphemeralContainer,
    ResourceRequirements,
    SeccompProfile,
)
from netlab.api.meta import AnyObject, Condition
from netlab.api.view import ANY_VALUE, View
from netlab.api.volumes import Volume

field = msgspec.field


class PodDnsOption(View, frozen=True, kw_only=True):
    """One resolver option, such as ndots."""

    name: str = ""
    value: str | None = None


class PodDnsConfig(View, frozen=True, kw_only=True):
    """Resolver settings added to those of the pod's dnsPolicy."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDnsOption, ...] = ()


class HostAlias(View, frozen=True, kw_only=True):
    """A line added to the pod's /etc/hosts."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


class Toleration(View, frozen=True, kw_only=True):
    """A taint the pod puts up with; empty key with Exists: any taint; no effect: all effects.

    toleration_seconds: how long it stays where such a NoExecute taint is; None: for ever.
    """

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class PodSchedulingGate(View, frozen=True, kw_only=True):
    """Something that must be settled before the pod is scheduled."""

    name: str = ""


class Sysctl(View, frozen=True, kw_only=True):
    """A kernel parameter of the pod's namespaces."""

    name: str = ""
    value: str = ""


class PodSecurityContext(View, frozen=True, kw_only=True):
    """What holds for all containers that do not say otherwise.

    fs_group: owns the volumes, and all processes are in it. fs_group_change_policy: Always, or
    OnRootMismatch (only when the volume's root is not owned yet).
    """

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"
    fs_group: int | None = None
    fs_group_change_policy: str = "Always"
    seccomp_profile: SeccompProfile | None = None
    sysctls: tuple[Sysctl, ...] = ()


class PodReadinessGate(View, frozen=True, kw_only=True):
    """A condition that must be True before the pod is Ready; somebody else sets it."""

    condition_type: str = ""


class LocalObjectReference(View, frozen=True, kw_only=True):
    """An object of the same namespace."""

    name: str = ""


class PodOs(View, frozen=True, kw_only=True):
    """The operating system that a pod needs."""

    name: str = ""


class PodSpec(View, frozen=True, kw_only=True):
    """What a pod shall be. resources: of all containers together; None means no such bound."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {
        "serviceAccount": ANY_VALUE,  # the old name of serviceAccountName
        "priority": ANY_VALUE,
        "preemptionPolicy": ("PreemptLowerPriority",),
        "os": ({"name": "linux"},),
    }

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    node_name: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    security_context: PodSecurityContext | None = None
    resources: ResourceRequirements | None = None
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    share_process_namespace: bool = False
    host_network: bool = False
    host_pid: bool = field(name="hostPID", default=False)
    host_ipc: bool = field(name="hostIPC", default=False)
    host_aliases: tuple[HostAlias, ...] = ()
    enable_service_links: bool = True
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool = field(name="setHostnameAsFQDN", default=False)
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    scheduler_name: str = "default-scheduler"
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    overhead: dict[str, str] = {}
    os: PodOs | None = None

    @property
    def grace_s(self) -> float:
        """How long the pod has to end; a negative number counts as 1."""
        written_s = self.termination_grace_period_seconds
        return float(written_s if written_s >= 0 else 1)

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers, containers, then ephemeral containers."""
        return (*self.init_containers, *self.containers, *self.ephemeral_containers)


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
    """What became of one container. resources: what it has got; None when that was not told."""

    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = field(name="imageID", default="")
    container_id: str = field(name="containerID", default="")
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)
    resources: ResourceRequirements | None = None


class PodStatus(View, frozen=True, kw_only=True):
    """What a pod is; phase is Pending, Running, Succeeded, Failed or Unknown."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = field(name="podIP", default="")
    host_ip: str = field(name="hostIP", default="")
    start_time: datetime | None = None
    qos_class: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, if there is one."""
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def all_container_statuses(self) -> tuple[ContainerStatus, ...]:
        """Those of init containers, containers, then ephemeral containers."""
        return (
            *self.init_container_statuses,
            *self.container_statuses,
            *self.ephemeral_container_statuses,
        )


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

    OPAQUE: ClassVar[Mapping[str, type[View]]] = {"spec": PodSpec}

    metadata: dict[str, Any] = {}
    spec: dict[str, Any] = {}
