"""Takes care of one pod from the moment it is bound to the node until nothing of it is left.

Mirrors a pod worker of the kubelet: look, plan, act, report, again until the plan is empty; then
sleep until the pod changes, a process ends, a probe finds something new or a wait is over.
``plan`` decides, ``actions`` carries out; a step that fails is remembered, and the plan that
follows takes it into account. What probes find is reported at once, even while a step is going on.

Rules: one worker per pod uid, and everything done to a pod is done by its worker. ``update`` and
``wake`` may be called at any time from the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from netlab.api.pods import Pod, PodStatus
from netlab.errors import NetlabError
from netlab.kubelet.actions import PodActions, retry_at
from netlab.kubelet.node_parts import WARNING, NodeParts
from netlab.kubelet.planning.plan import REMOVED_GRACE_S, TERMINAL_PHASES, plan_pod
from netlab.kubelet.planning.steps import Observed, Plan, PodFailure
from netlab.kubelet.pod_state import PodState
from netlab.kubelet.probes.prober import PodProbes
from netlab.kubelet.sandbox import repair_network
from netlab.kubelet.status.pod import OWNED_CONDITIONS, Situation, pod_status
from netlab.kubelet.status.reporter import StatusReporter
from netlab.kubelet.status.termination_message import message_file, termination_message
from netlab.kubelet.telling import BackOffTeller
from netlab.kubelet.volumes.content import VolumeError
from netlab.kubelet.volumes.mounts import PodMounts, shown_differently
from netlab.runtime.cri import ContainerPhase, ContainerState, PodIdentity

log = logging.getLogger(__name__)

FAILED_SYNC = "FailedSync"
"""Reason of the event of a pod that the agent cannot take care of as it is written."""


class PodWorker:
    """One pod. Run ``run()`` as a task; it returns when nothing of the pod is left.

    pod None: only the identity is known, because the API server has no such pod (any more).
    start_slots: held while a sandbox or container is being made, to bound the load. refused: why
    the node does not take the pod; None when it does.
    """

    def __init__(
        self,
        parts: NodeParts,
        identity: PodIdentity,
        pod: Pod | None,
        *,
        start_slots: asyncio.Semaphore,
        refused: PodFailure | None = None,
    ) -> None:
        self.identity = identity
        self._parts = parts
        self._state = PodState(identity, pod, parts.events)
        self._state.remember(given_up=refused)
        folders = parts.folders.pod(identity)
        self._folders = folders
        self._mounts = PodMounts(parts, folders)
        self._reporter = StatusReporter(parts.client, parts.clock)
        self._probes = PodProbes(parts, identity, self._verdicts_changed)
        self._actions = PodActions(
            parts,
            self._state,
            folders=folders,
            mounts=self._mounts,
            reporter=self._reporter,
            slots=start_slots,
        )
        self._back_offs = BackOffTeller(parts.events)
        self._plan = Plan()
        self._failures_in_row = 0
        self._last_words: dict[str, str] = {}
        self._failure_told: PodFailure | None = None

    @property
    def pod(self) -> Pod | None:
        """The pod as the API server last told it."""
        return self._state.pod

    @property
    def observed(self) -> Observed:
        """What the worker saw of the pod in its last pass."""
        return self._state.observed

    @property
    def status(self) -> dict[str, object] | None:
        """The status reported last; None before the first."""
        return self._reporter.latest

    @property
    def holds_place(self) -> bool:
        """True when the pod takes room on the node: it was admitted and has not ended."""
        if self.pod is None:
            return False
        status = self._reporter.latest
        phase = self.pod.status.phase if status is None else status["phase"]
        refused = self._state.memory.given_up is not None and not self.observed.sandboxes
        return phase not in TERMINAL_PHASES and not refused

    def has_seen(self, listed: Observed) -> bool:
        """Return whether the worker's last pass saw just what was listed now."""
        seen = self._state.seen
        return (seen.sandboxes, seen.containers) == (listed.sandboxes, listed.containers)

    def update(self, pod: Pod | None) -> None:
        """Take note that the pod has changed, or with None that it is gone."""
        state = self._state
        old, state.pod = state.pod, pod
        state.last_pod = pod or old or state.last_pod
        if pod is not None and old is not None and shown_differently(pod, old):
            state.refresh_due = True
        if pod is None or old is None or not _same_but_status(pod, old):
            state.woken.set()
        if pod is not None and not state.cleaned:
            self._reporter.reconcile(pod)

    def wake(self) -> None:
        """Look at the pod again soon."""
        self._state.woken.set()

    def note_network_faults(self, faults: Sequence[str]) -> None:
        """Take note of what is broken in the pod's network; the next pass repairs it."""
        self._state.remember(network_faults=tuple(faults))
        self._state.woken.set()

    def refresh_volumes(self) -> None:
        """Bring the files of the volumes up to date soon."""
        self._state.refresh_due = True
        self._state.woken.set()

    async def check_volume_sizes(self) -> None:
        """Measure the volumes that have a limit; a pod that holds more is given up (Evicted).

        Raises: OSError.
        """
        state = self._state
        if state.pod is None or state.ending or state.observed.sandbox is None:
            return
        message = await self._mounts.excess(state.pod)
        if message is not None and state.memory.given_up is None:
            state.remember(given_up=PodFailure("Evicted", message, grace_s=REMOVED_GRACE_S))
            state.woken.set()

    async def run(self) -> None:
        """Take care of the pod until nothing of it is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(self._reporter.run())
                while True:
                    self._state.woken.clear()
                    plan = await self._work_safely()
                    if plan.done:
                        break
                    await self._sleep_until(plan.recheck_at)
                reporting.cancel()
        finally:
            # so that nothing waits for the garbage collector: a worker holds 30 kB
            await self._probes.end()

    async def _work_safely(self) -> Plan:
        try:
            plan = await self._work()
        except* (NetlabError, OSError) as group:
            for error in group.exceptions:
                log.warning("pod %s/%s: %s", self.identity.namespace, self.identity.name, error)
            plan = self._plan_after_failure()
        except* Exception as group:
            # a fault in the care of one pod must not end the care of the others
            log.exception("pod %s/%s", self.identity.namespace, self.identity.name)
            self.tell_fault(group)
            plan = self._plan_after_failure()
        else:
            self._failures_in_row = 0
        return plan

    def tell_fault(self, error: BaseException) -> None:
        """Tell as an event that the pod cannot be taken care of as it is."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._state.tell(WARNING, FAILED_SYNC, sync_error(error))

    def _plan_after_failure(self) -> Plan:
        self._failures_in_row += 1
        return Plan(recheck_at=retry_at(self._parts.clock.now(), self._failures_in_row))

    async def _sleep_until(self, moment: datetime | None) -> None:
        alarm = None
        if moment is not None:
            delay_s = (moment - self._parts.clock.now()).total_seconds()
            alarm = asyncio.create_task(self._ring(delay_s))
        try:
            await self._state.woken.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _ring(self, delay_s: float) -> None:
        await self._parts.clock.sleep(max(0.0, delay_s))
        self._state.woken.set()

    async def _work(self) -> Plan:
        """Plan and act until a plan has no steps; return that one."""
        while True:
            await self._look()
            pod, now = self._known_pod(), self._parts.clock.now()
            plan = plan_pod(pod, self._state.observed, self._state.memory, now)
            self._plan = plan
            if pod is not None:
                told_again = self._back_offs.tell(pod, plan.waiting, now)
                self._tell_failure(plan)
                self._report(pod)
                if self._state.refresh_due:
                    await self._refresh_files(pod)
                if told_again is not None and plan.recheck_at is not None:
                    plan = replace(plan, recheck_at=min(plan.recheck_at, told_again))
            if plan.done or not plan.steps:
                return plan
            await self._actions.carry_out(pod, plan.steps)

    def _known_pod(self) -> Pod | None:
        """The pod with the status reported last, which the API server may not have echoed yet."""
        pod, latest = self._state.pod, self._reporter.latest
        if pod is None or latest is None:
            return pod
        foreign = tuple(c for c in pod.status.conditions if c.type not in OWNED_CONDITIONS)
        status = PodStatus.parse(latest)
        owned = tuple(c for c in status.conditions if c.type in OWNED_CONDITIONS)
        if pod.status.phase in TERMINAL_PHASES and status.phase not in TERMINAL_PHASES:
            # somebody else has ended the pod, which is final: its reason is theirs too
            shown = pod.status
            status = msgspec.structs.replace(
                status, phase=shown.phase, reason=shown.reason, message=shown.message
            )
        status = msgspec.structs.replace(
            status, conditions=foreign + owned, qos_class=pod.status.qos_class
        )
        return msgspec.structs.replace(pod, status=status)

    async def _look(self) -> None:
        state = self._state
        snapshot = await self._parts.inventory.refresh()
        seen = state.seen = snapshot.pod(self.identity.uid)
        empty = not seen.sandboxes and not seen.containers
        observed = replace(
            seen,
            containers=tuple(self._with_last_word(c) for c in seen.containers),
            cleaned=state.cleaned and empty,
        )
        self._last_words = {
            c.id: self._last_words[c.id] for c in seen.containers if c.id in self._last_words
        }
        attempts = [sandbox.config.attempt for sandbox in seen.sandboxes]
        highest = max([state.memory.sandbox_attempt, *attempts])
        ids = {c.id for c in seen.containers}
        resources = {key: given for key, given in state.memory.resources.items() if key in ids}
        state.remember(sandbox_attempt=highest, resources=resources)
        state.observed = observed
        sandbox = observed.sandbox
        if sandbox is not None and sandbox.config.attempt != state.ip_attempt and not state.ending:
            # an earlier agent's: what the API server tells of its address may be wrong or missing
            state.pod_ip = await repair_network(self._parts, sandbox)
            state.ip_attempt = sandbox.config.attempt
        await self._probe()

    async def _probe(self) -> None:
        """Have the containers probed that run now; note what was found so far."""
        state, pod = self._state, self._known_pod()
        if pod is None:
            await self._probes.close()
            return
        self._probes.update(pod, state.observed, state.pod_ip)
        state.observed = replace(state.observed, verdicts=self._probes.verdicts())

    def _verdicts_changed(self) -> None:
        """Report what a probe has found without waiting for the steps that are going on."""
        state = self._state
        state.observed = replace(state.observed, verdicts=self._probes.verdicts())
        pod = self._known_pod()
        if pod is not None:
            self._report(pod)
        state.woken.set()

    def _with_last_word(self, container: ContainerState) -> ContainerState:
        """Add the termination message of a container that has ended."""
        if container.phase is not ContainerPhase.EXITED:
            return container
        if container.id not in self._last_words:
            known = self._state.last_pod
            named = known.spec.all_containers if known is not None else ()
            spec = next((c for c in named if c.name == container.name), None)
            if spec is None:
                return container
            file = message_file(container.log_path)
            self._last_words[container.id] = termination_message(spec, container, file)
        return replace(container, message=self._last_words[container.id])

    def _tell_failure(self, plan: Plan) -> None:
        failed = plan.failed
        if failed is not None and failed != self._failure_told:
            self._failure_told = failed
            text = failed.event_message or failed.message
            self._state.tell(failed.event_type, failed.reason, text)

    def _report(self, pod: Pod) -> None:
        state, plan = self._state, self._plan
        if state.cleaned:
            return  # the last status is written: what was is no longer there to be read
        deleting = pod.metadata.deletion_timestamp is not None
        in_node = pod.spec.host_network
        situation = Situation(
            pod=pod,
            observed=state.observed,
            host_ip=self._parts.host_ip,
            pod_ip=self._parts.host_ip if in_node else state.pod_ip,
            waiting=plan.waiting,
            ended=deleting and not state.observed.active,
            failed=plan.failed,
            memory=state.memory,
        )
        self._reporter.submit(pod, pod_status(situation, self._parts.clock.now()))

    async def _refresh_files(self, pod: Pod) -> None:
        self._state.refresh_due = False
        if pod.metadata.deletion_timestamp is not None or self._state.observed.sandbox is None:
            return
        try:
            await self._mounts.prepare(pod)
        except VolumeError as error:
            self._state.tell(WARNING, "FailedMount", str(error))


def sync_error(error: BaseException) -> str:
    """Return what the event says of a fault that nobody foresaw."""
    return f"error determining status: {type(error).__name__}: {error}"


def _same_but_status(new: Pod, old: Pod) -> bool:
    """True when only the status differs, and not by an end: mostly the echo of our own report."""
    if new.status.phase != old.status.phase and new.status.phase in TERMINAL_PHASES:
        return False
    if new.spec.readiness_gates and new.status.conditions != old.status.conditions:
        return False  # somebody else may have opened a gate
    version = old.metadata.resource_version
    meta = msgspec.structs.replace(new.metadata, resource_version=version)
    return new.spec == old.spec and meta == old.metadata
