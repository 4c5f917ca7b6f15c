"""What the kubelet asks of the container runtime: the Container Runtime Interface, in Python.

Mirrors ``k8s.io/cri-api`` ``RuntimeService`` and ``ImageService``, with only the fields netlab
acts on. A *sandbox* is the pause container that holds the pod's namespaces; a *container* joins
them. The network namespace is made by the caller before the sandbox and outlives it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from netlab.api.streams import ExecProcess


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The pod a sandbox belongs to."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class LinuxResources:
    """Bounds of a control group; 0 (and None) means: none.

    cpu_shares: 2 to 262144, the weight among neighbours (converted for cgroup v2).
    cpu_quota_us: of each cpu_period_us. memory_limit_bytes: including page cache; there is no
    swap. memory_request_bytes: told to the kernel where it has a use for it. oom_score_adj:
    -999 to 1000, who is killed first. pids_limit: processes and threads.
    """

    cpu_shares: int = 0
    cpu_period_us: int = 100_000
    cpu_quota_us: int = 0
    memory_limit_bytes: int = 0
    memory_request_bytes: int = 0
    oom_score_adj: int | None = None
    pids_limit: int = 0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """The pause container. netns: path of the network namespace it joins (never made here); None
    means the network of the process that runs netlab (a pod with hostNetwork on the machine
    itself).

    dns/hosts files are mounts of each container, not of the sandbox. sysctls: of the pod's
    namespaces. resources: of the pod's control group, which holds all its containers. uid, gid:
    whom pause runs as.
    """

    pod: PodIdentity
    attempt: int
    hostname: str
    netns: Path | None
    share_process_namespace: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    resources: LinuxResources = LinuxResources()
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount from the host into a container.

    propagation: rprivate, rslave (HostToContainer) or rshared (Bidirectional).
    """

    source: Path
    target: str
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True)
class ContainerSecurity:
    """The rights of a container's processes.

    uid, gid: None means as the image says (0 where it says nothing). groups: supplementary ones
    besides those that the image's /etc/group gives the user (which are left out when
    strict_groups). run_as_non_root: refuse to start as uid 0. capabilities: without ``CAP_``;
    ALL stands for all. seccomp: "" or Unconfined for none, RuntimeDefault, or the path of a
    profile. unmasked_proc: procMount Unmasked.
    """

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    strict_groups: bool = False
    run_as_non_root: bool = False
    privileged: bool = False
    no_new_privileges: bool = False
    read_only_root: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = ""
    unmasked_proc: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """One container. command/args replace the image's entrypoint/cmd as in Kubernetes; env is
    complete but for the image's own variables, which it overrides; log_path is written by conmon
    in the CRI log format.

    stdin_once: the container's input ends with the first attached client's. stop_signal: "" means
    the image's. target_container: id of the container whose pid namespace it joins; "" for the
    sandbox's own rule.
    """

    name: str
    attempt: int
    image: str
    log_path: Path
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    mounts: Sequence[Mount] = ()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    security: ContainerSecurity = ContainerSecurity()
    resources: LinuxResources = LinuxResources()
    stop_signal: str = ""
    target_container: str = ""


class ContainerPhase(Enum):
    """Where a container or sandbox is in its life."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """A sandbox that exists; pid is 0 when pause has ended."""

    id: str
    config: SandboxConfig
    phase: ContainerPhase
    pid: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container that exists. exit_code is meaningful when EXITED (128 + n for signal n);
    reason is Completed, Error, OOMKilled or StartError (128: it could not be run at all).
    """

    id: str
    sandbox_id: str
    pod: PodIdentity
    name: str
    attempt: int
    image: str
    image_id: str
    phase: ContainerPhase
    pid: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: Path = Path("/dev/null")


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What a control group uses at a moment. cpu_ns: since it was made; memory_bytes: the working
    set (usage less inactive page cache), as ``kubectl top`` tells it.
    """

    at: datetime
    cpu_ns: int
    memory_bytes: int
    pids: int = 0


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that can be run here; id is its digest, ``sha256:…``.

    present: False for a built-in image whose parts still have to be fetched. user: whom it runs
    as by its own config, as written there (``1000``, ``www-data``, ``1000:1000``); "" means root.
    tags: of a built-in image that stands for many, which they are, in words, for each of names.
    pinned: never removed to free disk, for no registry could bring it again.
    """

    id: str
    names: tuple[str, ...]
    size_bytes: int
    built_in: bool
    description: str = ""
    present: bool = True
    user: str = ""
    pinned: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryCredentials:
    """A user and password for a registry, from an image pull secret."""

    username: str
    password: str


class ContainerRuntime(Protocol):
    """Everything the kubelet asks. Raises ContainerError; ImageError for an unknown image.

    ``stop_…`` and ``remove_…`` succeed when the thing is already gone. All state is on disk
    (below the lab's run folder), so that a new instance adopts what an earlier one started.
    """

    async def run_sandbox(self, config: SandboxConfig) -> str: ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None: ...

    async def list_sandboxes(self) -> list[SandboxStatus]: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, *, grace_period_s: float) -> None:
        """Send the image's stop signal, wait, then SIGKILL."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(self) -> list[ContainerState]: ...

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecProcess: ...

    async def attach(self, container_id: str, *, stdin: bool) -> ExecProcess:
        """Return the streams of a running container's own process, from now on.

        ``wait`` gives the container's exit code; ``close`` detaches and ends nothing.
        """
        ...

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        """Change the bounds of a running container, or of a whole pod by its sandbox's id."""
        ...

    async def usage(self) -> Mapping[str, GroupUsage]:
        """Return what each running container and sandbox uses, by id. The entry of a sandbox is
        the usage of its whole pod.
        """
        ...

    async def rotate_log(self, container_id: str) -> None:
        """Have conmon open the log path anew, after the file was moved away."""
        ...

    def exits(self) -> AsyncIterator[str]:
        """Yield the id of each container or sandbox soon after its process ended (level-
        triggered: an id may come twice; read the state with ``list_…``).
        """
        ...

    async def pull_image(
        self,
        reference: str,
        *,
        policy: str,
        credentials: Sequence[RegistryCredentials] = (),
    ) -> ImageInfo:
        """Return the image, fetching it when policy (Always, IfNotPresent, Never) asks for it.

        credentials: tried in order, none last; those that fit the reference's registry.

        Raises: ImageError worded for the event, e.g. why a reference cannot be resolved.
        """
        ...

    async def list_images(self) -> list[ImageInfo]: ...

    async def remove_image(self, image_id: str) -> None:
        """Remove an image that no container uses; gone already is fine.

        Raises: ImageError when a container uses it, maybe one of another lab.
        """
        ...
