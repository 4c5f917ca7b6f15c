"""Takes care of one pod from the moment it is bound to the node until nothing of it is left.

Mirrors a pod worker of the kubelet: look, plan, act, report, again until the plan is empty; then
sleep until the pod changes, a process ends or a wait is over. ``plan`` decides, this file only
carries out; a step that fails is remembered, and the plan that follows takes it into account.

Rules: one worker per pod uid, and everything done to a pod is done by its worker. ``update`` and
``wake`` may be called at any time from the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from netlab.api.core import Pod
from netlab.api.kinds import POD
from netlab.errors import ApiError, NetlabError, is_conflict, is_not_found
from netlab.kubelet.containers import ContainerStarter, StartError
from netlab.kubelet.mounts import PodMounts
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts, container_field
from netlab.kubelet.plan import (
    REMOVED_GRACE_S,
    CreateSandbox,
    Failure,
    FinishDeletion,
    Memory,
    Observed,
    Plan,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    RepairNetwork,
    Report,
    StartContainer,
    Step,
    StopContainer,
    Teardown,
    Waiting,
    plan_pod,
    pod_text,
)
from netlab.kubelet.reporter import StatusReporter
from netlab.kubelet.sandbox import create_sandbox, remove_network, remove_sandbox
from netlab.kubelet.status import Situation, pod_status
from netlab.kubelet.volumes import VolumeError
from netlab.runtime.cri import PodIdentity

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 16.0
"""Delay after a failed pass, sandbox or volume: doubled from the first to the longest."""

BACK_OFF_EVENT_S = 10.0
"""How often a container in back-off is told again (kubelet: once per pass, every 10 s or so)."""


class PodWorker:
    """One pod. Run ``run()`` as a task; it returns when nothing of the pod is left.

    pod None: only the identity is known, because the API server has no such pod (any more).
    start_slots: held while a sandbox or container is being made, to bound the load.
    """

    def __init__(
        self,
        parts: NodeParts,
        identity: PodIdentity,
        pod: Pod | None,
        *,
        start_slots: asyncio.Semaphore,
    ) -> None:
        self.identity = identity
        self._parts = parts
        self._pod = pod
        self._slots = start_slots
        self._folders = parts.folders.pod(identity)
        self._mounts = PodMounts(parts, self._folders)
        self._starter = ContainerStarter(parts, self._folders, self._mounts)
        self._reporter = StatusReporter(parts.client, parts.clock)
        self._memory = Memory()
        self._wake = asyncio.Event()
        self._observed = Observed()
        self._cleaned = False
        self._pod_ip = pod.status.pod_ip if pod is not None else ""
        self._failures_in_row = 0
        self._told: dict[str, tuple[str, datetime]] = {}

    @property
    def pod(self) -> Pod | None:
        """The pod as the API server last told it."""
        return self._pod

    @property
    def observed(self) -> Observed:
        """What the worker saw of the pod in its last pass."""
        return self._observed

    @property
    def status(self) -> dict[str, object] | None:
        """The status reported last; None before the first."""
        return self._reporter.latest

    def update(self, pod: Pod | None) -> None:
        """Take note that the pod has changed, or with None that it is gone."""
        old = self._pod
        self._pod = pod
        own_echo = (
            pod is not None
            and old is not None
            and pod.spec == old.spec
            and replace_status(pod) == replace_status(old)
        )
        if not own_echo:
            self._wake.set()

    def wake(self) -> None:
        """Look at the pod again soon."""
        self._wake.set()

    def note_network_faults(self, faults: Sequence[str]) -> None:
        """Take note of what is broken in the pod's network; the next pass repairs it."""
        self._memory = replace(self._memory, network_faults=tuple(faults))
        self._wake.set()

    async def refresh_volumes(self) -> None:
        """Bring the files of the volumes up to date.

        Raises: NetlabError, OSError.
        """
        pod = self._pod
        if pod is None or pod.metadata.deletion_timestamp or self._observed.sandbox is None:
            return
        try:
            await self._mounts.prepare(pod)
        except VolumeError as error:
            self._tell(WARNING, "FailedMount", str(error))

    async def run(self) -> None:
        """Take care of the pod until nothing of it is left."""
        reporting = asyncio.create_task(self._reporter.run())
        try:
            while True:
                self._wake.clear()
                plan = await self._pass_safely()
                if plan.done:
                    return
                await self._sleep_until(plan.recheck_at)
        finally:
            reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporting

    async def _pass_safely(self) -> Plan:
        try:
            plan = await self._work()
        except* (NetlabError, OSError) as group:
            for error in group.exceptions:
                log.warning("pod %s/%s: %s", self.identity.namespace, self.identity.name, error)
            plan = Plan(recheck_at=self._retry_at())
        else:
            self._failures_in_row = 0
        return plan

    def _retry_at(self) -> datetime:
        delay_s = min(FIRST_RETRY_S * 2.0**self._failures_in_row, LONGEST_RETRY_S)
        self._failures_in_row += 1
        return self._parts.clock.now() + timedelta(seconds=delay_s)

    async def _sleep_until(self, moment: datetime | None) -> None:
        alarm = None
        if moment is not None:
            delay_s = (moment - self._parts.clock.now()).total_seconds()
            alarm = asyncio.create_task(self._ring(delay_s))
        try:
            await self._wake.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _ring(self, delay_s: float) -> None:
        await self._parts.clock.sleep(max(0.0, delay_s))
        self._wake.set()

    async def _work(self) -> Plan:
        """Plan and act until a plan has no steps; return that one."""
        while True:
            await self._look()
            pod, now = self._pod, self._parts.clock.now()
            plan = plan_pod(pod, self._observed, self._memory, now)
            if pod is not None:
                self._tell_waiting(pod, plan.waiting)
                self._report(pod, plan)
            if plan.done or not plan.steps:
                return plan
            await self._act(plan.steps)

    async def _look(self) -> None:
        snapshot = await self._parts.inventory.refresh()
        seen = snapshot.pod(self.identity.uid)
        empty = not seen.sandboxes and not seen.containers
        self._observed = replace(seen, cleaned=self._cleaned and empty)
        attempts = [sandbox.config.attempt for sandbox in seen.sandboxes]
        highest = max([self._memory.sandbox_attempt, *attempts])
        self._memory = replace(self._memory, sandbox_attempt=highest)

    def _report(self, pod: Pod, plan: Plan) -> None:
        if self._cleaned:
            return  # the last status is written: what was is no longer there to be read
        deleting = pod.metadata.deletion_timestamp is not None
        situation = Situation(
            pod=pod,
            observed=self._observed,
            host_ip=self._parts.host_ip,
            pod_ip=self._pod_ip,
            waiting=plan.waiting,
            ended=deleting and not self._observed.active,
        )
        self._reporter.submit(pod, pod_status(situation, self._parts.clock.now()))

    def _tell_waiting(self, pod: Pod, waiting: dict[str, Waiting] | object) -> None:
        assert isinstance(waiting, dict)

    def _tell(self, kind: str, reason: str, message: str, container: str = "") -> None:
        if self._pod is not None:
            path = container_field(container) if container else ""
            self._parts.events.record(POD, self._pod, kind, reason, message, field_path=path)

    async def _act(self, steps: Sequence[Step]) -> None:
        """Carry out steps in order; give up the rest when one says so by raising."""
        stops = [step for step in steps if isinstance(step, StopContainer)]
        if stops:
            await self._stop(stops)
        rest = [step for step in steps if not isinstance(step, StopContainer)]
        makers = [step for step in rest if isinstance(step, CreateSandbox | PrepareVolumes)]
        for step in rest:
            if step in makers:
                if step is makers[0]:
                    await self._make(makers)
                    if self._memory.pod_failure is not None:
                        return
            else:
                await self._take(step)
