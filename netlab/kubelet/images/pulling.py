"""Brings the image of a container to this machine, as imagePullPolicy says.

Mirrors the image manager (``EnsureImageExists`` in ``pkg/kubelet/images``): the same events, the
same reasons in ``state.waiting``, and a back-off by image that the pod's containers share.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from netlab.api.containers import Container
from netlab.api.pods import Pod
from netlab.errors import ImageError, NetlabError
from netlab.kubelet.images.pull_secrets import MISSING_REASON, pull_credentials
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts
from netlab.kubelet.planning.backoff import BackOff, next_back_off
from netlab.kubelet.planning.steps import Failure, Waiting
from netlab.kubelet.pod_state import PodState
from netlab.runtime.cri import ImageInfo, RegistryCredentials
from netlab.runtime.reference import parse_reference

RETRY_S = 10.0
"""When a container that cannot be configured or created is tried again (kubelet: backOffPeriod)."""


class StartError(Exception):
    """A container could not be started; ``failure`` says why and when to try again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.shown.message)
        self.failure = failure


class ImagePuller:
    """Pulls the images of one pod; remembers the back-off of each."""

    def __init__(self, parts: NodeParts, state: PodState) -> None:
        self._parts = parts
        self._state = state
        self._back_offs: dict[str, BackOff] = {}

    async def pull(self, pod: Pod, container: Container) -> ImageInfo:
        """Return the container's image once it is on this machine. May be cancelled.

        Raises: StartError.
        """
        image, policy, name = container.image, container.image_pull_policy, container.name
        try:
            parse_reference(image)  # whatever the policy: no registry is asked for what is no name
        except ImageError as error:
            raise self._refusal(name, "InspectFailed", error.reason, str(error)) from error
        if policy == "Always":
            return await self._fetch(pod, container)
        try:
            found = await self._parts.runtime.pull_image(image, policy="Never")
        except ImageError as error:
            if policy == "Never":
                reason = "ErrImageNeverPull"
                message = f'Container image "{image}" is not present with pull policy of Never'
                raise self._refusal(name, reason, reason, message) from error
            return await self._fetch(pod, container)
        message = (
            f'Container image "{image}" already present on machine and can be accessed by the pod'
        )
        self._state.tell(NORMAL, "Pulled", message, name)
        return found

    def _refusal(self, name: str, event: str, reason: str, message: str) -> StartError:
        self._state.tell(WARNING, event, message, name)
        self._state.tell(WARNING, "Failed", f"Error: {reason}", name)
        now = self._parts.clock.now()
        return StartError(Failure(Waiting(reason, message), now, now + timedelta(seconds=RETRY_S)))

    async def _fetch(self, pod: Pod, container: Container) -> ImageInfo:
        image, name, clock = container.image, container.name, self._parts.clock
        credentials = await self._credentials(pod, container)
        self._state.tell(NORMAL, "Pulling", f'Pulling image "{image}"', name)
        began_s = clock.monotonic_s()
        try:
            info = await self._parts.runtime.pull_image(
                image, policy=container.image_pull_policy, credentials=credentials
            )
        except NetlabError as error:
            text = f'Failed to pull image "{image}": {error}'
            self._state.tell(WARNING, "Failed", text, name)
            self._state.tell(WARNING, "Failed", "Error: ErrImagePull", name)
            raise StartError(self._failure(image, str(error), clock.now())) from error
        self._back_offs.pop(image, None)
        took = format_duration(clock.monotonic_s() - began_s)
        message = (
            f'Successfully pulled image "{image}" in {took} ({took} including waiting). '
            f"Image size: {info.size_bytes} bytes."
        )
        self._state.tell(NORMAL, "Pulled", message, name)
        return info

    async def _credentials(self, pod: Pod, container: Container) -> tuple[RegistryCredentials, ...]:
        found = await pull_credentials(self._parts.client, pod, container.image)
        if found.warning:
            self._state.tell(WARNING, MISSING_REASON, found.warning)
        return found.credentials

    def _failure(self, image: str, message: str, now: datetime) -> Failure:
        back_off = self._back_offs[image] = next_back_off(self._back_offs.get(image), now, now)
        later = Waiting(
            "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {message}'
        )
        retry_at = now + timedelta(seconds=back_off.delay_s)
        return Failure(Waiting("ErrImagePull", message), now, retry_at, later)


def format_duration(duration_s: float) -> str:
    """Return a duration as Go prints it, cut to milliseconds: ``87ms``, ``1.5s``, ``2m3.25s``."""
    millis = int(duration_s * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    minutes, rest = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 1000}.{rest % 1000:03d}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
