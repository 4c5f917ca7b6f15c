"""Takes care of one pod from the moment it is bound to the node until nothing of it is left.

Mirrors a pod worker of the kubelet: look, plan, act, report, again until the plan is empty; then
sleep until the pod changes, a process ends or a wait is over. ``plan`` decides, this file only
carries out; a step that fails is remembered, and the plan that follows takes it into account.

Rules: one worker per pod uid, and everything done to a pod is done by its worker. ``update`` and
``wake`` may be called at any time from the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from netlab.api.core import Pod, PodStatus
from netlab.api.kinds import POD
from netlab.errors import ApiError, NetlabError, is_conflict, is_not_found
from netlab.kubelet.containers import ContainerStarter, StartError
from netlab.kubelet.mounts import PodMounts
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts, PodAddress, container_field
from netlab.kubelet.plan import REMOVED_GRACE_S, TERMINAL_PHASES, plan_pod
from netlab.kubelet.reporter import StatusReporter
from netlab.kubelet.sandbox import create_sandbox, remove_network, remove_sandbox
from netlab.kubelet.status import OWNED_CONDITIONS, Situation, pod_status
from netlab.kubelet.steps import (
    CREATING,
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
)
from netlab.kubelet.stopping import stop_containers
from netlab.kubelet.telling import BackOffTeller
from netlab.kubelet.volumes import VolumeError
from netlab.runtime.cri import PodIdentity, SandboxStatus

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 16.0
"""Delay after a failed pass, sandbox or volume: doubled from the first to the longest."""


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
        self._refresh_due = False
        self._pod_ip = pod.status.pod_ip if pod is not None else ""
        self._failures_in_row = 0
        self._makes_failed = 0
        self._back_offs = BackOffTeller(parts.events)

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
        old, self._pod = self._pod, pod
        if pod is None or old is None or not _same_but_status(pod, old):
            self._wake.set()

    def wake(self) -> None:
        """Look at the pod again soon."""
        self._wake.set()

    def note_network_faults(self, faults: Sequence[str]) -> None:
        """Take note of what is broken in the pod's network; the next pass repairs it."""
        self._remember(network_faults=tuple(faults))
        self._wake.set()

    def refresh_volumes(self) -> None:
        """Bring the files of the volumes up to date soon."""
        self._refresh_due = True
        self._wake.set()

    async def run(self) -> None:
        """Take care of the pod until nothing of it is left."""
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(self._reporter.run())
            while True:
                self._wake.clear()
                plan = await self._work_safely()
                if plan.done:
                    break
                await self._sleep_until(plan.recheck_at)
            reporting.cancel()

    async def _work_safely(self) -> Plan:
        try:
            plan = await self._work()
        except* (NetlabError, OSError) as group:
            for error in group.exceptions:
                log.warning("pod %s/%s: %s", self.identity.namespace, self.identity.name, error)
            plan = self._plan_after_failure()
        except* Exception:
            # a fault in the care of one pod must not end the care of the others
            log.exception("pod %s/%s", self.identity.namespace, self.identity.name)
            plan = self._plan_after_failure()
        else:
            self._failures_in_row = 0
        return plan

    def _plan_after_failure(self) -> Plan:
        self._failures_in_row += 1
        return Plan(recheck_at=self._retry_at(self._failures_in_row))

    def _retry_at(self, failures: int) -> datetime:
        delay_s = min(FIRST_RETRY_S * 2.0 ** (failures - 1), LONGEST_RETRY_S)
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
            pod, now = self._known_pod(), self._parts.clock.now()
            plan = plan_pod(pod, self._observed, self._memory, now)
            if pod is not None:
                told_again = self._back_offs.tell(pod, plan.waiting, now)
                self._report(pod, plan)
                if self._refresh_due:
                    await self._refresh_files(pod)
                if told_again is not None and plan.recheck_at is not None:
                    plan = replace(plan, recheck_at=min(plan.recheck_at, told_again))
            if plan.done or not plan.steps:
                return plan
            await self._act(pod, plan.steps)

    def _known_pod(self) -> Pod | None:
        """The pod with the status reported last, which the API server may not have echoed yet."""
        pod, latest = self._pod, self._reporter.latest
        if pod is None or latest is None:
            return pod
        foreign = tuple(c for c in pod.status.conditions if c.type not in OWNED_CONDITIONS)
        status = PodStatus.parse(latest)
        owned = tuple(c for c in status.conditions if c.type in OWNED_CONDITIONS)
        status = msgspec.structs.replace(status, conditions=foreign + owned)
        return msgspec.structs.replace(pod, status=status)

    async def _look(self) -> None:
        snapshot = await self._parts.inventory.refresh()
        seen = snapshot.pod(self.identity.uid)
        empty = not seen.sandboxes and not seen.containers
        self._observed = replace(seen, cleaned=self._cleaned and empty)
        attempts = [sandbox.config.attempt for sandbox in seen.sandboxes]
        self._remember(sandbox_attempt=max([self._memory.sandbox_attempt, *attempts]))
        sandbox = self._observed.sandbox
        if sandbox is not None and not self._pod_ip and not self._ending():
            # killed between making the sandbox and reporting its address
            self._pod_ip = str((await self._repair(sandbox)).ip)

    def _remember(self, **changes: Any) -> None:
        self._memory = replace(self._memory, **changes)

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

    def _tell(self, kind: str, reason: str, message: str, container: str = "") -> None:
        if self._pod is not None:
            path = container_field(container) if container else ""
            self._parts.events.record(POD, self._pod, kind, reason, message, field_path=path)

    async def _refresh_files(self, pod: Pod) -> None:
        self._refresh_due = False
        if pod.metadata.deletion_timestamp is not None or self._observed.sandbox is None:
            return
        try:
            await self._mounts.prepare(pod)
        except VolumeError as error:
            self._tell(WARNING, "FailedMount", str(error))

    async def _act(self, pod: Pod | None, steps: Sequence[Step]) -> None:
        """Carry out steps in order; drop the rest after a failed sandbox or volume."""
        stops = [step for step in steps if isinstance(step, StopContainer)]
        if stops:
            await self._stop(stops)
        for step in steps:
            match step:
                case StopContainer():
                    continue
                case RemoveContainer():
                    await self._remove_container(step)
                case RemoveSandbox():
                    await self._remove_sandbox(step)
                case Teardown():
                    await self._teardown()
                case Report():
                    await self._reporter.flush()
                case _ if pod is None:
                    continue  # the steps below are never planned without a pod
                case CreateSandbox() | PrepareVolumes():
                    if not await self._make(pod, step):
                        return
                case StartContainer():
                    await self._start(pod, step)
                case RepairNetwork():
                    await self._repair_network(step)
                case FinishDeletion():
                    await self._finish_deletion(pod)

    async def _stop(self, stops: Sequence[StopContainer]) -> None:
        for stop in stops:
            self._tell(NORMAL, "Killing", stop.message, stop.name)
        await stop_containers(self._parts.runtime, stops, self._shorter_grace)

    async def _shorter_grace(self, current_s: float) -> float:
        """Wait until the pod shall end sooner than in ``current_s``; return the new grace."""
        while True:
            await self._wake.wait()
            self._wake.clear()  # nothing is lost: after the stop the pod is looked at anew
            grace_s = self._ending_grace_s()
            if grace_s is not None and grace_s < current_s:
                return grace_s

    def _ending_grace_s(self) -> float | None:
        if self._pod is None:
            return REMOVED_GRACE_S
        if self._pod.metadata.deletion_timestamp is None:
            return None
        return self._pod.metadata.deletion_grace_period_seconds

    async def _remove_container(self, step: RemoveContainer) -> None:
        await self._parts.runtime.remove_container(step.id)
        for state in self._observed.containers:
            if state.id == step.id and self._folders.logs in state.log_path.parents:
                state.log_path.unlink(missing_ok=True)

    async def _remove_sandbox(self, step: RemoveSandbox) -> None:
        if step.changed:
            message = "Pod sandbox changed, it will be killed and re-created."
            self._tell(NORMAL, "SandboxChanged", message)
        self._remember(network_faults=())
        await remove_sandbox(self._parts, step.sandbox)

    async def _make(self, pod: Pod, step: CreateSandbox | PrepareVolumes) -> bool:
        """Make sandbox and volumes; return False, and remember it, when one of them failed."""
        outcomes: list[object] = []
        async with self._slots:
            if isinstance(step, CreateSandbox):
                making = [self._create_sandbox(pod, step)]
                if step.with_volumes:
                    making.append(self._prepare_volumes(pod))
            else:
                making = [self._prepare_volumes(pod)]
            outcomes = list(await asyncio.gather(*making))
        if all(outcomes):
            self._makes_failed = 0
            self._remember(pod_failure=None)
            return True
        # counted apart: a pass in which something could not be made is no failed pass
        self._makes_failed += 1
        retry_at = self._retry_at(self._makes_failed)
        self._remember(pod_failure=Failure(CREATING, self._parts.clock.now(), retry_at))
        return False

    async def _create_sandbox(self, pod: Pod, step: CreateSandbox) -> bool:
        self._remember(sandbox_attempt=step.attempt, network_faults=())
        try:
            self._pod_ip = await create_sandbox(self._parts, pod, self._folders, step.attempt)
        except (NetlabError, OSError) as error:
            message = f"Failed to create pod sandbox: {error}"
            self._tell(WARNING, "FailedCreatePodSandBox", message)
            return False
        return True

    async def _prepare_volumes(self, pod: Pod) -> bool:
        try:
            await self._mounts.prepare(pod)
        except (VolumeError, NetlabError, OSError) as error:
            self._tell(WARNING, "FailedMount", str(error))
            return False
        self._remember(volumes_ready=True)
        return True

    async def _start(self, pod: Pod, step: StartContainer) -> None:
        name = step.container.name
        sandbox = self._observed.sandbox
        if sandbox is None or self._ending():
            return  # the next plan knows better
        if step.back_off is not None:
            self._remember(crashes={**self._memory.crashes, name: step.back_off})
        failures = {key: f for key, f in self._memory.failures.items() if key != name}
        try:
            async with self._slots:
                self._mounts.write_etc(pod, self._pod_ip)
                await self._starter.start(pod, step, sandbox.id, self._pod_ip)
        except StartError as error:
            failures[name] = error.failure
        self._remember(failures=failures)

    def _ending(self) -> bool:
        return self._pod is None or self._pod.metadata.deletion_timestamp is not None

    async def _repair(self, sandbox: SandboxStatus) -> PodAddress:
        return await self._parts.network.repair(
            container_id=sandbox.config.netns.name,
            pod_netns=sandbox.config.netns,
            namespace=self.identity.namespace,
            name=self.identity.name,
        )

    async def _repair_network(self, step: RepairNetwork) -> None:
        sandbox = self._observed.sandbox
        self._remember(network_faults=())
        if sandbox is not None:
            await self._repair(sandbox)
            message = f"Repaired the pod's network: {'; '.join(step.faults)}"
            self._tell(WARNING, "NetworkRepaired", message)

    async def _teardown(self) -> None:
        """Remove all there is of the pod, past failures."""
        errors: list[Exception] = []
        runtime, netns = self._parts.runtime, self._parts.netns
        actions = [runtime.remove_container(c.id) for c in self._observed.containers]
        actions += [remove_sandbox(self._parts, s) for s in self._observed.sandboxes]
        for action in actions:
            try:
                await action
            except* (NetlabError, OSError) as group:
                errors += group.exceptions
        base = self._folders.netns_name(0)
        for name in netns.list_netns():
            if name == base or name.startswith(f"{base}_"):
                await remove_network(self._parts, name)
        if errors:
            raise ExceptionGroup("remove pod", errors)
        await self._mounts.remove()
        self._cleaned = True

    async def _finish_deletion(self, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._parts.client.delete(
                POD, meta.namespace, meta.name, grace_period_s=0, uid=meta.uid
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                raise
        self._remember(deletion_sent=True)


def _same_but_status(new: Pod, old: Pod) -> bool:
    """True when only the status differs, and not by an end: mostly the echo of our own report."""
    if new.status.phase != old.status.phase and new.status.phase in TERMINAL_PHASES:
        return False
    version = old.metadata.resource_version
    meta = msgspec.structs.replace(new.metadata, resource_version=version)
    return new.spec == old.spec and meta == old.metadata
