"""Starts one container: image, environment, mounts, create, start; and tells each step as an event.

Mirrors ``startContainer`` in ``pkg/kubelet/kuberuntime`` and the image manager in
``pkg/kubelet/images``: the same events, and the same reasons in ``state.waiting`` when it fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NoReturn

from netlab.api.core import Container, Pod
from netlab.api.kinds import CONFIG_MAP, POD, SECRET
from netlab.errors import ContainerError, ImageError, NetlabError
from netlab.kubelet.backoff import BackOff, next_back_off
from netlab.kubelet.environment import (
    ConfigError,
    PodAddresses,
    Sources,
    container_environment,
    expand_command,
    needed_objects,
)
from netlab.kubelet.files import pod_hostname
from netlab.kubelet.folders import PodFolders
from netlab.kubelet.mounts import PodMounts, fetch
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts, container_field
from netlab.kubelet.steps import Failure, StartContainer, Waiting
from netlab.kubelet.volumes import VolumeError
from netlab.runtime.cri import ContainerConfig

RETRY_S = 10.0
"""When a container that cannot be configured or created is tried again (kubelet: backOffPeriod)."""


class StartError(Exception):
    """A container could not be started; ``failure`` says why and when to try again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.shown.message)
        self.failure = failure


class ContainerStarter:
    """Starts the containers of one pod; remembers the back-off of its images."""

    def __init__(self, parts: NodeParts, folders: PodFolders, mounts: PodMounts) -> None:
        self._parts = parts
        self._folders = folders
        self._mounts = mounts
        self._pulls: dict[str, BackOff] = {}

    async def start(self, pod: Pod, step: StartContainer, sandbox_id: str, pod_ip: str) -> None:
        """Start a container in a sandbox.

        Raises: StartError.
        """
        await self._pull(pod, step.container)
        config = await self._config(pod, step, pod_ip)
        runtime = self._parts.runtime
        try:
            config.log_path.parent.mkdir(parents=True, exist_ok=True)
            container_id = await runtime.create_container(sandbox_id, config)
        except (NetlabError, OSError) as error:
            self._fail(pod, step.container, Waiting("CreateContainerError", str(error)))
        self._tell(pod, step.container, NORMAL, "Created", "Container created")
        try:
            await runtime.start_container(container_id)
        except ContainerError as error:
            # the runtime keeps it as ended: how soon it is tried again is the crash back-off's
            waiting = Waiting("RunContainerError", str(error))
            self._fail(pod, step.container, waiting, retry_s=0.0)
        self._tell(pod, step.container, NORMAL, "Started", "Container started")

    def _tell(self, pod: Pod, container: Container, kind: str, reason: str, message: str) -> None:
        self._parts.events.record(
            POD, pod, kind, reason, message, field_path=container_field(container.name)
        )

    def _fail(
        self, pod: Pod, container: Container, waiting: Waiting, retry_s: float = RETRY_S
    ) -> NoReturn:
        self._tell(pod, container, WARNING, "Failed", f"Error: {waiting.message}")
        now = self._parts.clock.now()
        raise StartError(Failure(waiting, now, now + timedelta(seconds=retry_s)))

    async def _pull(self, pod: Pod, container: Container) -> None:
        image = container.image
        policy = container.image_pull_policy
        if policy != "Always":
            try:
                await self._parts.runtime.pull_image(image, policy="Never")
            except ImageError as error:
                if error.reason == "InvalidImageName":
                    self._refuse_image(pod, container, "InspectFailed", error.reason, str(error))
                if policy == "Never":
                    reason = "ErrImageNeverPull"
                    message = f'Container image "{image}" is not present with pull policy of Never'
                    self._refuse_image(pod, container, reason, reason, message)
            else:
                message = (
                    f'Container image "{image}" already present on machine '
                    "and can be accessed by the pod"
                )
                self._tell(pod, container, NORMAL, "Pulled", message)
                return
        await self._fetch_image(pod, container)

    def _refuse_image(
        self, pod: Pod, container: Container, event: str, reason: str, message: str
    ) -> NoReturn:
        self._tell(pod, container, WARNING, event, message)
        self._tell(pod, container, WARNING, "Failed", f"Error: {reason}")
        now = self._parts.clock.now()
        raise StartError(Failure(Waiting(reason, message), now, now + timedelta(seconds=RETRY_S)))

    async def _fetch_image(self, pod: Pod, container: Container) -> None:
        image = container.image
        clock = self._parts.clock
        self._tell(pod, container, NORMAL, "Pulling", f'Pulling image "{image}"')
        began_s = clock.monotonic_s()
        try:
            policy = container.image_pull_policy
            info = await self._parts.runtime.pull_image(image, policy=policy)
        except NetlabError as error:
            text = f'Failed to pull image "{image}": {error}'
            self._tell(pod, container, WARNING, "Failed", text)
            self._tell(pod, container, WARNING, "Failed", "Error: ErrImagePull")
            raise StartError(self._pull_failure(image, str(error), clock.now())) from error
        self._pulls.pop(image, None)
        took = f"{(clock.monotonic_s() - began_s) * 1000:.0f}ms"
        message = (
            f'Successfully pulled image "{image}" in {took} ({took} including waiting). '
            f"Image size: {info.size_bytes} bytes."
        )
        self._tell(pod, container, NORMAL, "Pulled", message)

    def _pull_failure(self, image: str, message: str, now: datetime) -> Failure:
        back_off = self._pulls[image] = next_back_off(self._pulls.get(image), now, now)
        later = Waiting(
            "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {message}'
        )
        retry_at = now + timedelta(seconds=back_off.delay_s)
        return Failure(Waiting("ErrImagePull", message), now, retry_at, later)

    async def _config(self, pod: Pod, step: StartContainer, pod_ip: str) -> ContainerConfig:
        container = step.container
        try:
            environment = await self._environment(pod, container, pod_ip)
            mounts = self._mounts.container_mounts(pod, container)
        except (ConfigError, VolumeError) as error:
            self._fail(pod, container, Waiting("CreateContainerConfigError", str(error)))
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
            tty=container.tty,
        )

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
        )
        return container_environment(pod, container, sources, hostname=pod_hostname(pod))
