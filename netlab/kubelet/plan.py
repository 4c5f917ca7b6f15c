"""Decides what to do next for one pod.

Mirrors the kubelet's ``computePodActions`` and ``doBackOff`` (``pkg/kubelet/kuberuntime``) and the
order in which ``pod_workers`` ends a pod. ``plan_pod`` compares the pod that the API server wants
with the sandboxes and containers that exist, and returns the steps that bring them closer, in
order. The agent runs them, looks again, and plans again, until nothing is left to do: so a step
that failed, a crash or a process killed by hand need no special path.

Rules: steps are executed in order; after a failed step the rest of the plan is dropped and the
failure put into ``Memory``, which keeps the next plan from trying again too early.

netlab leaves out init containers, probes and eviction so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from netlab.api.core import Container, Pod
from netlab.kubelet.backoff import BackOff, format_delay, next_back_off, remaining_s
from netlab.kubelet.steps import (
    CREATING,
    ERROR_SHOWN_S,
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
)
from netlab.runtime.cri import ContainerPhase, ContainerState

REMOVED_GRACE_S = 1.0
"""Grace of a pod that the API server no longer has (``kubectl delete --force``)."""

TERMINAL_PHASES = ("Succeeded", "Failed")


def plan_pod(pod: Pod | None, observed: Observed, memory: Memory, now: datetime) -> Plan:
    """Return the next steps for a pod; pod None means the API server no longer has it."""
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return _plan_end(pod, observed, memory)
    if pod.status.phase in TERMINAL_PHASES:
        return Plan(_end_all(observed, _grace_s(pod)))
    decisions = [_decide(pod, c, observed, memory, now) for c in pod.spec.containers]
    if observed.sandbox is None:
        return _plan_without_sandbox(pod, observed, memory, decisions, now)
    return _plan_with_sandbox(observed, memory, decisions, now)


@dataclass(frozen=True, slots=True)
class _Decision:
    """What one container needs: steps, or a wait, or nothing because it runs or has ended."""

    name: str
    before: tuple[Step, ...] = ()
    start: StartContainer | None = None
    waiting: Waiting | None = None
    recheck_at: datetime | None = None
    running: bool = False

    @property
    def ended(self) -> bool:
        """True when the container has ended for good."""
        return not (self.running or self.start or self.waiting or self.recheck_at)


def _decide(
    pod: Pod, container: Container, observed: Observed, memory: Memory, now: datetime
) -> _Decision:
    name = container.name
    states = observed.states(name)
    latest = states[0] if states else None
    if latest is not None and latest.phase is ContainerPhase.RUNNING:
        return _decide_running(pod, container, latest)
    back_off: BackOff | None = memory.crashes.get(name)
    failure = memory.failures.get(name)
    if failure is not None and now < failure.retry_at:
        boundary = failure.shown_until if now < failure.shown_until else failure.retry_at
        waiting = failure.waiting(now)
        return _Decision(name, waiting=waiting, recheck_at=min(boundary, failure.retry_at))
    attempt = _next_attempt(pod, name, latest)
    before: tuple[Step, ...] = ()
    if latest is not None and latest.phase is ContainerPhase.CREATED:
        before = (RemoveContainer(latest.id, name),)
    elif latest is not None:
        if not restarts(pod.spec.restart_policy, latest.exit_code):
            return _Decision(name)
        ended = latest.finished_at or latest.created_at
        left_s = remaining_s(back_off, ended, now)
        if left_s > 0 and back_off is not None:
            return _decide_back_off(pod, latest, back_off, failure, now)
        shown = failure.waiting(now) if failure else _shown_of_ended(pod, latest, back_off, now)
        back_off = next_back_off(back_off, ended, now)
        return _Decision(name, start=StartContainer(container, attempt, back_off), waiting=shown)
    return _Decision(
        name, before, StartContainer(container, attempt, back_off), failure_shown(failure, now)
    )


def failure_shown(failure: Failure | None, now: datetime) -> Waiting:
    """Return why a container that is about to start does not run yet."""
    return failure.waiting(now) if failure is not None else CREATING


def _decide_running(pod: Pod, container: Container, state: ContainerState) -> _Decision:
    if state.image == container.image:
        return _Decision(container.name, running=True)
    message = f"Container {container.name} definition changed, will be restarted"
    stop = StopContainer(state.id, container.name, _grace_s(pod), message)
    return _Decision(
        container.name, (stop,), StartContainer(container, state.attempt + 1, None), CREATING
    )


def _decide_back_off(
    pod: Pod, latest: ContainerState, back_off: BackOff, failure: Failure | None, now: datetime
) -> _Decision:
    ended = latest.finished_at or latest.created_at
    recheck_at = now + timedelta(seconds=remaining_s(back_off, ended, now))
    if failure is not None and now < failure.shown_until:
        waiting: Waiting | None = failure.shown
        boundary = failure.shown_until
    else:
        waiting = _shown_of_ended(pod, latest, back_off, now)
        boundary = recheck_at if waiting else ended + timedelta(seconds=ERROR_SHOWN_S)
    return _Decision(latest.name, waiting=waiting, recheck_at=min(boundary, recheck_at))


def _shown_of_ended(
    pod: Pod, latest: ContainerState, back_off: BackOff | None, now: datetime
) -> Waiting | None:
    """Return what an ended container waits for; None shows how it ended (Error, Completed).

    That is seen for a while before the wait, and until a restart that needs none.
    """
    ended = latest.finished_at or latest.created_at
    if back_off is None or now < ended + timedelta(seconds=ERROR_SHOWN_S):
        return None
    message = (
        f"back-off {format_delay(back_off.delay_s)} restarting failed container={latest.name} "
        f"pod={pod_text(pod)}"
    )
    return Waiting("CrashLoopBackOff", message)


def pod_text(pod: Pod) -> str:
    """Return ``name_namespace(uid)``, as the kubelet names pods in messages."""
    meta = pod.metadata
    return f"{meta.name}_{meta.namespace}({meta.uid})"


def restarts(policy: str, exit_code: int) -> bool:
    """True when a container that ended with ``exit_code`` is started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _next_attempt(pod: Pod, name: str, latest: ContainerState | None) -> int:
    if latest is not None:
        created = latest.phase is ContainerPhase.CREATED
        return latest.attempt if created else latest.attempt + 1
    # the container is gone, with its sandbox or by a reboot: its count goes on from the status
    status = next((s for s in pod.status.container_statuses if s.name == name), None)
    if status is None or not status.container_id:
        return 0
    return status.restart_count + 1


def _grace_s(pod: Pod) -> float:
    return float(pod.spec.termination_grace_period_seconds)


def _end_all(observed: Observed, grace_s: float) -> tuple[Step, ...]:
    """Steps that leave no process of the pod, but keep its ended containers for their logs."""
    stops = _stops(observed.active, grace_s)
    if stops:
        return stops
    return tuple(RemoveSandbox(sandbox, changed=False) for sandbox in observed.sandboxes)


def _stops(containers: Iterable[ContainerState], grace_s: float) -> tuple[Step, ...]:
    return tuple(
        StopContainer(c.id, c.name, grace_s, f"Stopping container {c.name}") for c in containers
    )


def _plan_end(pod: Pod | None, observed: Observed, memory: Memory) -> Plan:
    if observed.active:
        return Plan(_stops(observed.active, _deletion_grace_s(pod)))
    if pod is None:
        return Plan(done=True) if observed.cleaned else Plan((Teardown(),))
    if observed.cleaned:
        # once sent, the object goes when its finalizers let it
        return Plan() if memory.deletion_sent else Plan((FinishDeletion(),))
    return Plan((Report(), Teardown(), FinishDeletion()))


def _deletion_grace_s(pod: Pod | None) -> float:
    if pod is None:
        return REMOVED_GRACE_S
    grace = pod.metadata.deletion_grace_period_seconds
    return float(grace) if grace is not None else _grace_s(pod)


def _plan_without_sandbox(
    pod: Pod,
    observed: Observed,
    memory: Memory,
    decisions: Sequence[_Decision],
    now: datetime,
) -> Plan:
    waiting = _waiting(decisions)
    if observed.active:
        # pause is gone: what still runs has lost its namespaces' owner
        return Plan(_stops(observed.active, _grace_s(pod)), waiting)
    to_start = [d for d in decisions if d.start is not None]
    if not to_start:
        goes_on = not all(d.ended for d in decisions)
        dead = tuple(RemoveSandbox(s, changed=goes_on) for s in observed.sandboxes)
        return Plan(dead, waiting, _earliest(d.recheck_at for d in decisions))
    if observed.sandboxes:
        return Plan(tuple(RemoveSandbox(s, changed=True) for s in observed.sandboxes), waiting)
    failure = memory.pod_failure
    if failure is not None and now < failure.retry_at:
        return Plan((), waiting, failure.retry_at)
    # containers are started by the next plan, so that the address is reported before
    create = CreateSandbox(memory.sandbox_attempt + 1, with_volumes=not memory.volumes_ready)
    return Plan((create,), waiting)


def _plan_with_sandbox(
    observed: Observed, memory: Memory, decisions: Sequence[_Decision], now: datetime
) -> Plan:
    sandbox = observed.sandbox
    waiting = _waiting(decisions)
    recheck_at = _earliest(d.recheck_at for d in decisions)
    if all(d.ended for d in decisions):
        return Plan(tuple(RemoveSandbox(s, changed=False) for s in observed.sandboxes))
    steps: list[Step] = [
        RemoveSandbox(s, changed=False) for s in observed.sandboxes if s is not sandbox
    ]
    steps += _surplus(observed)
    if memory.network_faults:
        steps.append(RepairNetwork(memory.network_faults))
    to_start = [d for d in decisions if d.start is not None]
    if to_start and not memory.volumes_ready:
        failure = memory.pod_failure
        if failure is not None and now < failure.retry_at:
            return Plan(tuple(steps), waiting, _earliest((recheck_at, failure.retry_at)))
        steps.append(PrepareVolumes())
    return Plan((*steps, *_starts(to_start)), waiting, recheck_at)


def _starts(decisions: Iterable[_Decision]) -> list[Step]:
    steps: list[Step] = []
    for decision in decisions:
        steps += decision.before
        if decision.start is not None:
            steps.append(decision.start)
    return steps


def _surplus(observed: Observed) -> list[Step]:
    """Ended containers but the last two of each name: its own and that of ``logs --previous``."""
    steps: list[Step] = []
    for name in sorted({c.name for c in observed.containers}):
        for state in observed.states(name)[2:]:
            if state.phase is ContainerPhase.EXITED:
                steps.append(RemoveContainer(state.id, name))
    return steps


def _waiting(decisions: Iterable[_Decision]) -> dict[str, Waiting]:
    return {d.name: d.waiting for d in decisions if d.waiting is not None}


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((m for m in moments if m is not None), default=None)
