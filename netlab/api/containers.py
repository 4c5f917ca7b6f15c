"""Views of one container of a pod: what runs in it, with which variables, probes and rights.

Fields here are the fields netlab acts on (see ``view``). Ports that may be a number or a name
(``IntOrString``) are ``int | str``. Amounts are canonical quantities (``api.quantities``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from netlab.api.view import View

field = msgspec.field


class ObjectFieldSelector(View, frozen=True, kw_only=True):
    """A field of the pod itself, such as ``status.podIP``."""

    HARMLESS: ClassVar[Mapping[str, Any]] = {"apiVersion": ("v1",)}

    field_path: str = ""
    api_version: str = "v1"


class ResourceFieldSelector(View, frozen=True, kw_only=True):
    """A resource of a container, such as ``limits.memory``, divided by divisor and rounded up.

    container_name: needed in a volume; in a variable it means the container itself.
    """

    resource: str = ""
    container_name: str = ""
    divisor: str = ""


class KeySelector(View, frozen=True, kw_only=True):
    """One key of a ConfigMap or Secret."""

    key: str = ""
    name: str = ""
    optional: bool = False


class EnvVarSource(View, frozen=True, kw_only=True):
    """Where an environment variable's value comes from; exactly one is set."""

    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(View, frozen=True, kw_only=True):
    """One environment variable; ``$(OTHER)`` in value is expanded."""

    name: str = ""
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
    """A port the container listens on; names it for Services and probes.

    host_port: the port of the node that leads here, at host_ip or all addresses; 0 for none.
    """

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = field(name="hostIP", default="")


class VolumeMount(View, frozen=True, kw_only=True):
    """Where a volume appears in a container; at most one of sub_path and sub_path_expr is set."""

    name: str = ""
    mount_path: str = ""
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = "None"


class HttpHeader(View, frozen=True, kw_only=True):
    """One header of a request."""

    name: str = ""
    value: str = ""


class HttpGetAction(View, frozen=True, kw_only=True):
    """A GET request; a host other than the pod's address only when host is set."""

    port: int | str = 0
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketAction(View, frozen=True, kw_only=True):
    """A connection that must be taken."""

    port: int | str = 0
    host: str = ""


class ExecAction(View, frozen=True, kw_only=True):
    """A command in the container; exit code 0 is success."""

    command: tuple[str, ...] = ()


class GrpcAction(View, frozen=True, kw_only=True):
    """A call of grpc.health.v1.Health/Check."""

    port: int = 0
    service: str = ""


class SleepAction(View, frozen=True, kw_only=True):
    """A pause."""

    seconds: int = 0


class Probe(View, frozen=True, kw_only=True):
    """One probe: how, when and how often; exactly one action is set.

    termination_grace_period_seconds: instead of the pod's when this probe has a container killed.
    """

    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    exec: ExecAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True, kw_only=True):
    """What is done after the start or before the stop; exactly one action is set."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True, kw_only=True):
    """The hooks of a container; stop_signal replaces the image's."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class ResourceRequirements(View, frozen=True, kw_only=True):
    """Amounts of cpu, memory and others by name: at most (limits) and reserved (requests)."""

    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class ContainerResizePolicy(View, frozen=True, kw_only=True):
    """Whether a change of a resource needs a new start: NotRequired or RestartContainer."""

    resource_name: str = ""
    restart_policy: str = "NotRequired"


class Capabilities(View, frozen=True, kw_only=True):
    """Capabilities without ``CAP_``; ALL stands for all of them."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(View, frozen=True, kw_only=True):
    """type is RuntimeDefault, Unconfined or Localhost (then localhost_profile is a file)."""

    type: str = ""
    localhost_profile: str = ""


class SecurityContext(View, frozen=True, kw_only=True):
    """The rights of one container; None means: as the pod or the image says."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool = False
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool = False
    capabilities: Capabilities | None = None
    seccomp_profile: SeccompProfile | None = None
    proc_mount: str = "Default"


class ExitCodesRequirement(View, frozen=True, kw_only=True):
    """Exit codes a restart rule is about; operator is In or NotIn."""

    operator: str = ""
    values: tuple[int, ...] = ()


class ContainerRestartRule(View, frozen=True, kw_only=True):
    """A restart rule of one container; action is Restart."""

    action: str = ""
    exit_codes: ExitCodesRequirement | None = None


class Container(View, frozen=True, kw_only=True):
    """One container of a pod.

    restart_policy: "" means the pod's; Always makes an init container a sidecar.
    """

    name: str = ""
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    resources: ResourceRequirements = field(default_factory=ResourceRequirements)
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    restart_policy: str = ""
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    security_context: SecurityContext | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


class EphemeralContainer(Container, frozen=True, kw_only=True):
    """A container added to a running pod (``kubectl debug``); it is never restarted.

    target_container_name: whose processes it sees; "" for none but its own.
    """

    target_container_name: str = ""
