"""Serves what the API server asks of this node: logs, processes in containers, connections.

Mirrors the kubelet's ``GetContainerLogs`` (with ``validateContainerLogStatus``), ``GetExec``,
``GetAttach`` and ``GetPortForward``. ``KubeletConnection`` is the node's ``NodeConnection``.

Rules for callers: ``logs`` yields one empty piece as soon as the request has proved valid, so that
a response can begin before a quiet container writes its first line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from netlab.api.field_errors import bad_request
from netlab.api.kinds import POD
from netlab.api.pods import ContainerStatus, Pod, PodStatus
from netlab.api.streams import ByteStream, ExecProcess, LogOptions, NodeUsage
from netlab.errors import ApiError, ContainerError
from netlab.kubelet.inventory import Inventory
from netlab.kubelet.node_parts import NodeParts
from netlab.kubelet.planning.steps import Observed
from netlab.kubelet.status.pod import CONTAINER_ID_SCHEME
from netlab.kubelet.streams.logs import read_log
from netlab.kubelet.worker import PodWorker
from netlab.net.dialing import dial_localhost
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

FindWorker = Callable[[str, str], PodWorker | None]
"""Returns the worker of the pod of that namespace and name."""

MeasureUsage = Callable[[], Awaitable[NodeUsage | None]]
"""Returns what the node uses; None until it was measured twice."""


async def unmeasured() -> None:
    """Return None: nobody measures the node."""


class KubeletConnection:
    """What one node serves; see ``api.streams.NodeConnection``."""

    def __init__(
        self, parts: NodeParts, find_worker: FindWorker, measure: MeasureUsage = unmeasured
    ) -> None:
        self._parts = parts
        self._find_worker = find_worker
        self._measure = measure

    async def logs(
        self, namespace: str, pod: str, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        """Yield the log of a container, or of its predecessor.

        Raises: ApiError NotFound for a pod that is not here, BadRequest as the kubelet words it.
        """
        worker = self._worker(namespace, pod)
        logged = log_container(_status(worker), pod, container, previous=options.previous)
        observed = (await self._parts.inventory.refresh()).pod(worker.identity.uid)
        # a pod that has ended has no containers any more, but their logs stay as long as it does
        kept = self._parts.folders.pod(worker.identity).log(container, logged.attempt)
        path = log_path(observed, logged.id) or (kept if kept.exists() else None)
        if path is None:
            raise bad_request(
                f"unable to retrieve container logs for {CONTAINER_ID_SCHEME}{logged.id}"
            )
        yield b""
        ended = _ended_test(self._parts.inventory, worker.identity, logged.id)
        async for piece in read_log(path, options, clock=self._parts.clock, ended=ended):
            yield piece

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
    ) -> ExecProcess:
        """Start a process in a running container.

        Raises: ApiError NotFound for an unknown pod or container, BadRequest when the container
        does not run or the process cannot be started.
        """
        state = await self._running(namespace, pod, container, "cannot exec in a stopped container")
        try:
            return await self._parts.runtime.exec(state.id, argv, stdin=stdin, tty=tty)
        except ContainerError as error:
            raise ApiError(500, "InternalError", str(error)) from error

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool, tty: bool
    ) -> ExecProcess:
        """Return the streams of a running container's own process.

        tty is ignored: the container has a terminal or has not, whatever the caller believes.

        Raises: ApiError as ``exec``.
        """
        stopped = "container is in CONTAINER_EXITED state"
        state = await self._running(namespace, pod, container, stopped)
        try:
            return await self._parts.runtime.attach(state.id, stdin=stdin)
        except ContainerError as error:
            raise ApiError(500, "InternalError", str(error)) from error

    async def dial_pod(self, namespace: str, pod: str, port: int, *, uid: str) -> ByteStream:
        """Connect to a port of localhost inside the pod.

        Raises: ApiError NotFound for an unknown pod, InternalError when it has no sandbox or
        nothing listens.
        """
        worker = self._worker(namespace, pod)
        if worker.identity.uid != uid:  # the pod is gone, and another has taken its name
            raise _not_found_pod(pod)
        sandbox = self._parts.inventory.snapshot.pod(worker.identity.uid).sandbox
        if sandbox is None:
            observed = (await self._parts.inventory.refresh()).pod(worker.identity.uid)
            sandbox = observed.sandbox
        if sandbox is None:
            raise ApiError(500, "InternalError", f'pod not found ("{pod}_{namespace}")')
        netns = sandbox.config.netns
        try:
            return await dial_localhost(netns, port)
        except OSError as error:
            message = (
                f"error forwarding port {port} to pod {sandbox.id}, uid : failed to execute "
                f'portforward in network namespace "{netns or "host"}": failed to connect to '
                f'localhost:{port} inside namespace "{sandbox.id}", {error} '
            )
            raise ApiError(500, "InternalError", message) from error

    async def usage(self) -> NodeUsage | None:
        """Return what the node uses; None until it was measured twice."""
        return await self._measure()

    async def _running(
        self, namespace: str, pod: str, container: str, stopped: str
    ) -> ContainerState:
        worker = self._worker(namespace, pod)
        known = worker.pod
        if known is not None and all(c.name != container for c in known.spec.all_containers):
            raise _not_found_container(container)
        observed = (await self._parts.inventory.refresh()).pod(worker.identity.uid)
        return running_container(observed, container, stopped)

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        worker = self._find_worker(namespace, pod)
        if worker is None:
            raise _not_found_pod(pod)
        return worker


def _not_found_pod(pod: str) -> ApiError:
    message = f'pods "{pod}" not found'
    return ApiError(404, "NotFound", message, {"name": pod, "kind": POD.plural})


def running_container(
    observed: Observed, container: str, stopped: str = "cannot exec in a stopped container"
) -> ContainerState:
    """Return the container that a process can be started in. stopped: why one that has ended
    is refused.

    Raises: ApiError.
    """
    states = observed.states(container)
    if not states or states[0].phase is ContainerPhase.CREATED:
        raise _not_found_container(container)
    if states[0].phase is ContainerPhase.EXITED:
        raise bad_request(stopped)
    return states[0]


def _not_found_container(container: str) -> ApiError:
    return ApiError(404, "NotFound", f'container not found ("{container}")')


def _status(worker: PodWorker) -> PodStatus:
    latest = worker.status
    if latest is not None:
        return PodStatus.parse(latest)
    pod: Pod | None = worker.pod
    return pod.status if pod is not None else PodStatus()


@dataclass(frozen=True, slots=True)
class LoggedContainer:
    """A container whose log is wanted; it may be gone already. attempt: 0 for the first."""

    id: str
    attempt: int


def log_container(
    status: PodStatus, pod: str, container: str, *, previous: bool
) -> LoggedContainer:
    """Return the container whose log is meant.

    Raises: ApiError BadRequest when there is none yet.
    """
    found = next((s for s in status.all_container_statuses if s.name == container), None)
    if found is None:
        raise bad_request(f'container "{container}" in pod "{pod}" is not available')
    last = found.last_state.terminated
    if previous:
        if last is None or not last.container_id:
            message = f'previous terminated container "{container}" in pod "{pod}" not found'
            raise bad_request(message)
        return _logged(found, last.container_id)
    state = found.state
    if state.running is not None:
        return _logged(found, found.container_id)
    ended = state.terminated or last
    if ended is not None:
        if not ended.container_id:
            raise bad_request(f'container "{container}" in pod "{pod}" is terminated')
        return _logged(found, ended.container_id)
    raise bad_request(_waiting_text(found, pod))


def _logged(status: ContainerStatus, container_id: str) -> LoggedContainer:
    """Tell the container's attempt: the status counts the one it names, or the one after it."""
    earlier = container_id != status.container_id
    return LoggedContainer(
        container_id.removeprefix(CONTAINER_ID_SCHEME), max(0, status.restart_count - earlier)
    )


def _waiting_text(status: ContainerStatus, pod: str) -> str:
    subject = f'container "{status.name}" in pod "{pod}" is waiting to start'
    if status.state.waiting is None:
        return f"{subject} - no logs yet"
    reason = status.state.waiting.reason
    if reason == "ErrImagePull":
        return f"{subject}: image can't be pulled"
    if reason == "ImagePullBackOff":
        return f"{subject}: trying and failing to pull image"
    return f"{subject}: {reason}"


def log_path(observed: Observed, container_id: str) -> Path | None:
    """Return the log file of a container that still exists."""
    return next((c.log_path for c in observed.containers if c.id == container_id), None)


def _ended_test(
    inventory: Inventory, identity: PodIdentity, container_id: str
) -> Callable[[], bool]:
    def ended() -> bool:
        containers = inventory.snapshot.pod(identity.uid).containers
        state = next((c for c in containers if c.id == container_id), None)
        return state is None or state.phase is ContainerPhase.EXITED

    return ended
