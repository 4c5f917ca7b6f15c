"""Starts one container: image, environment, mounts, create, start; and tells each step as an event.

Mirrors ``startContainer`` in ``pkg/kubelet/kuberuntime``: the same events, and the same reasons in
``state.waiting`` when it fails. The image comes from ``images.pulling``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property

from netlab.api.containers import Container
from netlab.api.kinds import CONFIG_MAP, SECRET
from netlab.api.pods import Pod
from netlab.errors import ContainerError, NetlabError
from netlab.kubelet.containers.environment import (
    ConfigError,
    PodAddresses,
    Sources,
    container_environment,
    expand_command,
    needed_objects,
    needs_allocatable,
)
from netlab.kubelet.containers.resource_fields import node_allocatable
from netlab.kubelet.containers.resources import container_resources
from netlab.kubelet.containers.security import container_security, refuse_root
from netlab.kubelet.files import pod_hostname
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.images.pulling import RETRY_S, ImagePuller, StartError
from netlab.kubelet.node.machine import read_machine
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts
from netlab.kubelet.planning.steps import Failure, StartContainer, Waiting
from netlab.kubelet.pod_state import PodState
from netlab.kubelet.status.termination_message import message_file, termination_mount
from netlab.kubelet.volumes.content import VolumeError
from netlab.kubelet.volumes.mounts import PodMounts, fetch
from netlab.runtime.cri import ContainerConfig, ContainerSecurity, ImageInfo, LinuxResources, Mount


class ContainerStarter:
    """Starts the containers of one pod."""

    def __init__(
        self, parts: NodeParts, state: PodState, folders: PodFolders, mounts: PodMounts
    ) -> None:
        self._parts = parts
        self._state = state
        self._folders = folders
        self._mounts = mounts
        self._puller = ImagePuller(parts, state)

    async def pull(self, pod: Pod, container: Container) -> ImageInfo:
        """Return the container's image once it is on this machine. May be cancelled.

        Raises: StartError.
        """
        return await self._puller.pull(pod, container)

    async def start(
        self, pod: Pod, step: StartContainer, sandbox_id: str, pod_ip: str, image: ImageInfo
    ) -> str:
        """Start a container in a sandbox; return its id.

        Raises: StartError.
        """
        config = await self._config(pod, step, pod_ip, image)
        runtime, name = self._parts.runtime, step.container.name
        try:
            config.log_path.parent.mkdir(parents=True, exist_ok=True)
            container_id = await runtime.create_container(sandbox_id, config)
        except (NetlabError, OSError) as error:
            raise self._failure(name, Waiting("CreateContainerError", str(error))) from error
        self._state.tell(NORMAL, "Created", "Container created", name)
        try:
            await runtime.start_container(container_id)
        except ContainerError as error:
            # the runtime keeps it as ended: how soon it is tried again is the crash back-off's
            waiting = Waiting("RunContainerError", str(error))
            raise self._failure(name, waiting, retry_s=0.0) from error
        self._state.tell(NORMAL, "Started", "Container started", name)
        return container_id

    def resources(self, pod: Pod, container: Container) -> LinuxResources:
        """Return the bounds of a container of the pod."""
        return container_resources(pod, container, node_memory_bytes=self._node_memory_bytes)

    @cached_property
    def _node_memory_bytes(self) -> int:
        return read_machine(self._parts.config.state_dir).memory_kib * 1024

    def _failure(self, name: str, waiting: Waiting, retry_s: float = RETRY_S) -> StartError:
        self._state.tell(WARNING, "Failed", f"Error: {waiting.message}", name)
        now = self._parts.clock.now()
        return StartError(Failure(waiting, now, now + timedelta(seconds=retry_s)))

    async def _config(
        self, pod: Pod, step: StartContainer, pod_ip: str, image: ImageInfo
    ) -> ContainerConfig:
        container = step.container
        try:
            security = self._security(pod, container, image)
            self._write_etc(pod, pod_ip)
            environment = await self._environment(pod, container, pod_ip)
            mounts = self._all_mounts(pod, step, environment)
        except (ConfigError, VolumeError) as error:
            waiting = Waiting("CreateContainerConfigError", str(error))
            raise self._failure(container.name, waiting) from error
        return ContainerConfig(
            name=container.name,
            attempt=step.attempt,
            image=container.image,
            log_path=self._folders.log(container.name, step.attempt),
            command=expand_command(container.command, environment),
            args=expand_command(container.args, environment),
            env=environment,
            working_dir=container.working_dir,
            mounts=mounts,
            stdin=container.stdin,
            stdin_once=container.stdin_once,
            tty=container.tty,
            security=security,
            resources=self.resources(pod, container),
            stop_signal=container.lifecycle.stop_signal if container.lifecycle else "",
            target_container=step.target,
        )

    def _security(self, pod: Pod, container: Container, image: ImageInfo) -> ContainerSecurity:
        security = container_security(pod, container)
        refuse_root(pod, container, security, image.user)
        return security

    def _write_etc(self, pod: Pod, pod_ip: str) -> None:
        try:
            self._mounts.write_etc(pod, pod_ip)
        except (NetlabError, OSError) as error:
            raise ConfigError(str(error)) from error

    def _all_mounts(
        self, pod: Pod, step: StartContainer, environment: Mapping[str, str]
    ) -> tuple[Mount, ...]:
        container = step.container
        mounts = self._mounts.container_mounts(pod, container, environment)
        file = message_file(self._folders.log(container.name, step.attempt))
        try:
            last_word = termination_mount(container, file)
        except OSError as error:
            raise ConfigError(f"create termination-log file {file}: {error.strerror}") from error
        return (*mounts, last_word) if last_word else mounts

    async def _environment(self, pod: Pod, container: Container, pod_ip: str) -> Mapping[str, str]:
        names = needed_objects(container)
        namespace = pod.metadata.namespace
        client = self._parts.client
        services = self._parts.services
        kubernetes = services.get("default", "kubernetes")
        sources = Sources(
            addresses=PodAddresses(pod_ip, self._parts.host_ip),
            services=[*services.list(namespace), *([kubernetes] if kubernetes else [])],
            config_maps=await fetch(
                client, CONFIG_MAP, namespace, {name for kind, name in names if kind == "configmap"}
            ),
            secrets=await fetch(
                client, SECRET, namespace, {name for kind, name in names if kind == "secret"}
            ),
            allocatable=(
                node_allocatable(self._parts.config.state_dir)
                if needs_allocatable(container)
                else {}
            ),
        )
        hostname = pod_hostname(pod, node_name=self._parts.node_name)
        return container_environment(pod, container, sources, hostname=hostname)
