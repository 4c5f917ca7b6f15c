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
class SandboxConfig:
    """The pause container. netns: path of the network namespace it joins (never made here).

    dns/hosts files are mounts of each container, not of the sandbox.
    """

    pod: PodIdentity
    attempt: int
    hostname: str
    netns: Path
    share_process_namespace: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount from the host into a container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """One container. command/args replace the image's entrypoint/cmd as in Kubernetes; env is
    complete but for the image's own variables, which it overrides; log_path is written by conmon
    in the CRI log format.
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
    tty: bool = False


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
    reason is Completed, Error, OOMKilled or ContainerCannotRun.
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
class ImageInfo:
    """An image that can be run here; id is its digest, ``sha256:…``."""

    id: str
    names: tuple[str, ...]
    size_bytes: int
    built_in: bool
    description: str = ""


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

    def exits(self) -> AsyncIterator[str]:
        """Yield the id of each container or sandbox soon after its process ended (level-
        triggered: an id may come twice; read the state with ``list_…``).
        """
        ...

    async def pull_image(self, reference: str, *, policy: str) -> ImageInfo:
        """Return the image, fetching it when policy (Always, IfNotPresent, Never) asks for it.

        Raises: ImageError worded for the event, e.g. why a reference cannot be resolved.
        """
        ...

    async def list_images(self) -> list[ImageInfo]: ...
