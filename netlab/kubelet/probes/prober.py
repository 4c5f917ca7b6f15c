"""Runs the probes of one pod's running containers and tells what they have found.

Mirrors ``pkg/kubelet/prober``: one task per probe, at the probe's period. ``decide`` says what
results mean, ``actions`` makes the attempts, this file keeps the time.

- The first attempt comes at the start of the container plus initialDelaySeconds, and for liveness
  and readiness not before the startup probe's success.
- A container that was found running with a reported status (the agent was restarted) keeps it, and
  its first attempt comes somewhere within one period, so that not all probes of a node go out at
  once.
- An attempt that finds nothing out (it could not be made) is repeated twice at once, and then
  thrown away.
- When the pod is being deleted, liveness and startup probes end and readiness goes on.

Rules for callers: call ``update`` after each look at the pod, from the event loop; ``close`` once
at the end. ``on_change`` is called when ``verdicts`` tells something else than before.

Left out: kubelet's ticker, which begins with the pod and not with the container, and so may run
the first attempt up to a period later than here.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from netlab.api.containers import Container, Probe
from netlab.api.kinds import POD
from netlab.api.pods import ContainerStatus, Pod
from netlab.kubelet.node_parts import WARNING, NodeParts
from netlab.kubelet.planning.steps import Observed, ProbeVerdict
from netlab.kubelet.probes.actions import ProbeTarget, run_probe
from netlab.kubelet.probes.decide import (
    ProbeKind,
    Progress,
    adopted_progress,
    advance,
    container_probes,
    container_verdict,
    error_event,
    first_progress,
    probed_containers,
    result_event,
    runs,
    settled_for_deletion,
)
from netlab.kubelet.probes.results import Outcome, ProbeError
from netlab.runtime.cri import ContainerState, PodIdentity

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


@dataclass
class _Probed:
    """One running container that has probes. adopted: it ran before this object knew it."""

    container: Container
    started_at: datetime
    adopted: bool
    progress: dict[ProbeKind, Progress]
    tasks: dict[ProbeKind, asyncio.Task[None]] = field(default_factory=dict)


def _tell_nobody() -> None:
    pass


class PodProbes:
    """The probes of one pod.

    on_change: called, in the event loop, whenever ``verdicts`` has something new to tell.
    """

    def __init__(
        self, parts: NodeParts, identity: PodIdentity, on_change: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._identity = identity
        self._on_change = on_change
        self._pod: Pod | None = None
        self._pod_ip = ""
        self._probed: dict[str, _Probed] = {}
        self._verdicts: dict[str, ProbeVerdict] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def update(self, pod: Pod, observed: Observed, pod_ip: str) -> None:
        """Have one task per probe of each running container, and none for any other.

        pod_ip: "" while it is not known; then nothing is probed that needs it.
        """
        self._pod, self._pod_ip = pod, pod_ip
        containers = probed_containers(pod)
        running = {state.id: state for state in observed.active if state.name in containers}
        for container_id in [known for known in self._probed if known not in running]:
            self._forget(container_id)
        for container_id, state in running.items():
            if container_id not in self._probed:
                self._probed[container_id] = self._meet(pod, containers[state.name], state)
        self._settle()

    def verdicts(self) -> Mapping[str, ProbeVerdict]:
        """Return what was found so far, by container id, of the running containers with probes."""
        return dict(self._verdicts)

    async def close(self) -> None:
        """End all probes; safe to call twice."""
        for container_id in list(self._probed):
            self._forget(container_id)
        pod = self._identity
        for key in [k for k in self._parts.probe_counts if k[1:3] == (pod.namespace, pod.name)]:
            del self._parts.probe_counts[key]
        ending = list(self._ending)
        if ending:
            await asyncio.wait(ending)

    async def end(self) -> None:
        """End all probes for good, and let go of whom they told: it holds these in its turn."""
        await self.close()
        self._on_change = _tell_nobody

    def _meet(self, pod: Pod, container: Container, state: ContainerState) -> _Probed:
        status = _reported_status(pod, state)
        kinds = container_probes(container)
        if status is None:
            progress = {kind: first_progress(kind) for kind in kinds}
        else:
            progress = {
                kind: adopted_progress(kind, started=bool(status.started), ready=status.ready)
                for kind in kinds
            }
        started_at = state.started_at or self._parts.clock.now()
        return _Probed(container, started_at, status is not None, progress)

    def _forget(self, container_id: str) -> None:
        probed = self._probed.pop(container_id)
        self._verdicts.pop(container_id, None)
        for kind in list(probed.tasks):
            self._stop(probed, kind)

    def _stop(self, probed: _Probed, kind: ProbeKind) -> None:
        task = probed.tasks.pop(kind)
        task.cancel()
        if not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _settle(self) -> None:
        """Have the tasks and verdicts that the progress asks for."""
        pod = self._pod
        if pod is None:
            return
        deleting = pod.metadata.deletion_timestamp is not None
        for container_id, probed in self._probed.items():
            if deleting:
                for kind, progress in probed.progress.items():
                    probed.progress[kind] = settled_for_deletion(kind, progress)
            for kind, probe in container_probes(probed.container).items():
                wanted = runs(kind, probed.progress, deleting=deleting)
                if wanted and kind not in probed.tasks:
                    probed.tasks[kind] = self._start(container_id, probed, kind, probe)
                elif not wanted and kind in probed.tasks:
                    self._stop(probed, kind)
            self._verdicts[container_id] = container_verdict(pod, probed.container, probed.progress)

    def _start(
        self, container_id: str, probed: _Probed, kind: ProbeKind, probe: Probe
    ) -> asyncio.Task[None]:
        name = f"{kind.value} probe {self._identity.namespace}/{self._identity.name}"
        return asyncio.create_task(self._run(container_id, probed, kind, probe), name=name)

    async def _run(self, container_id: str, probed: _Probed, kind: ProbeKind, probe: Probe) -> None:
        clock = self._parts.clock
        await clock.sleep(self._first_delay_s(container_id, probed, kind, probe))
        while True:
            began_s = clock.monotonic_s()
            try:
                succeeded = await self._attempt(container_id, probed, kind, probe)
            except Exception:
                # a fault in one probe must not end the care of the pod
                log.exception("pod %s/%s", self._identity.namespace, self._identity.name)
                succeeded = None
            self._count(probed, kind, succeeded=succeeded)
            if succeeded is not None:
                self._note(container_id, probed, kind, probe, succeeded=succeeded)
            # the next is due a period after this one began, not after it ended
            await clock.sleep(max(0.0, began_s + probe.period_seconds - clock.monotonic_s()))

    def _count(self, probed: _Probed, kind: ProbeKind, *, succeeded: bool | None) -> None:
        result = "unknown" if succeeded is None else "successful" if succeeded else "failed"
        pod = self._identity
        key = (probed.container.name, pod.namespace, pod.name, kind.value.capitalize(), result)
        counts = self._parts.probe_counts
        counts[key] = counts.get(key, 0) + 1

    def _first_delay_s(
        self, container_id: str, probed: _Probed, kind: ProbeKind, probe: Probe
    ) -> float:
        age_s = (self._parts.clock.now() - probed.started_at).total_seconds()
        delay_s = max(0.0, probe.initial_delay_seconds - age_s)
        if not probed.adopted:
            return delay_s
        share = zlib.crc32(f"{container_id} {kind.value}".encode()) / 2**32
        return max(delay_s, share * probe.period_seconds)

    async def _attempt(
        self, container_id: str, probed: _Probed, kind: ProbeKind, probe: Probe
    ) -> bool | None:
        """Return whether the probe succeeded; None when it could not be made."""
        target = ProbeTarget(
            runtime=self._parts.runtime,
            netns=self._parts.config.netns_path,
            container=probed.container,
            container_id=container_id,
            pod_ip=self._pod_ip,
        )
        message = ""
        for _ in range(MAX_ATTEMPTS):
            try:
                result = await run_probe(target, probe)
            except ProbeError as error:
                message = str(error)
                continue
            told = result_event(kind, result)
            if told is not None:
                self._tell(probed.container, *told)
            return result.outcome is not Outcome.FAILURE
        self._tell(probed.container, *error_event(kind, message))
        return None

    def _tell(self, container: Container, reason: str, message: str) -> None:
        pod = self._pod
        if pod is None:
            return
        group = "initContainers" if container in pod.spec.init_containers else "containers"
        path = f"spec.{group}{{{container.name}}}"
        self._parts.events.record(POD, pod, WARNING, reason, message, field_path=path)

    def _note(
        self,
        container_id: str,
        probed: _Probed,
        kind: ProbeKind,
        probe: Probe,
        *,
        succeeded: bool,
    ) -> None:
        """Take in a result; it may end this very task, at its next wait."""
        if self._probed.get(container_id) is not probed:
            return  # the container has ended meanwhile
        old = probed.progress[kind]
        probed.progress[kind] = new = advance(old, probe, succeeded=succeeded)
        if new.state == old.state:
            return
        before = self._verdicts.get(container_id)
        self._settle()
        if self._verdicts.get(container_id) != before:
            self._on_change()


def _reported_status(pod: Pod, state: ContainerState) -> ContainerStatus | None:
    """Return the status somebody has already reported of this very container."""
    for status in pod.status.all_container_statuses:
        if status.name == state.name and status.container_id.endswith(f"//{state.id}"):
            return status
    return None
