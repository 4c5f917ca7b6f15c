"""Decides what to do next for one pod.

Mirrors the kubelet's ``computePodActions`` (``pkg/kubelet/kuberuntime``), its active deadline
handler, and the order in which ``pod_workers`` ends a pod. ``plan_pod`` compares the pod that the
API server wants with the sandboxes and containers that exist, and returns the steps that bring them
closer, in order. The agent runs them, looks again, and plans again, until nothing is left to do: so
a step that failed, a crash or a process killed by hand need no special path.

Rules: steps are executed in order; after a failed step the rest of the plan is dropped and the
failure put into ``Memory``, which keeps the next plan from trying again too early.

netlab leaves out the rules that restart a whole pod (restartPolicyRules with RestartAllContainers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from netlab.api.pods import Pod
from netlab.kubelet.planning.container_plan import Decision, Look, decide, decide_ephemeral
from netlab.kubelet.planning.ending import end_all, stop_all
from netlab.kubelet.planning.init_plan import plan_initialization
from netlab.kubelet.planning.steps import (
    CreateSandbox,
    FinishDeletion,
    Memory,
    Observed,
    Plan,
    PodFailure,
    PrepareVolumes,
    RemoveContainer,
    RemoveSandbox,
    RepairNetwork,
    Report,
    Step,
    Teardown,
    Waiting,
)
from netlab.runtime.cri import ContainerPhase

REMOVED_GRACE_S = 1.0
"""Grace of a pod that the API server no longer has (``kubectl delete --force``)."""

TERMINAL_PHASES = ("Succeeded", "Failed")

PAST_DEADLINE = PodFailure(
    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline", "Normal"
)


def plan_pod(pod: Pod | None, observed: Observed, memory: Memory, now: datetime) -> Plan:
    """Return the next steps for a pod; pod None means the API server no longer has it."""
    if pod is None or pod.metadata.deletion_timestamp is not None:
        return _plan_end(pod, observed, memory)
    grace_s = pod.spec.grace_s
    if pod.status.phase in TERMINAL_PHASES:
        return Plan(end_all(pod, observed, grace_s))
    failed = _failure(pod, memory, now)
    if failed is not None:
        limit_s = grace_s if failed.grace_s is None else failed.grace_s
        return Plan(end_all(pod, observed, limit_s), failed=failed)
    plan = _plan_life(Look(pod, observed, memory, now))
    return replace(plan, recheck_at=_earliest((plan.recheck_at, _deadline(pod))))


def _failure(pod: Pod, memory: Memory, now: datetime) -> PodFailure | None:
    deadline = _deadline(pod)
    if deadline is not None and now >= deadline:
        return PAST_DEADLINE
    return memory.given_up


def _deadline(pod: Pod) -> datetime | None:
    limit_s, began = pod.spec.active_deadline_seconds, pod.status.start_time
    if limit_s is None or began is None:
        return None
    return began + timedelta(seconds=limit_s)


def _plan_life(look: Look) -> Plan:
    """Return the next steps of a pod that shall run."""
    initialization = plan_initialization(look)
    decisions = [decide_ephemeral(look, c) for c in look.pod.spec.ephemeral_containers]
    decisions += initialization.decisions
    if initialization.complete or look.observed.sandbox is None:
        ordinary = [decide(look, c) for c in look.pod.spec.containers]
        if all(d.ended for d in ordinary):
            return Plan(end_all(look.pod, look.observed, look.grace_s))
        decisions += ordinary if initialization.complete else []
    if initialization.failed:
        return Plan(end_all(look.pod, look.observed, look.grace_s))
    if look.observed.sandbox is None:
        return _plan_without_sandbox(look, decisions)
    return _plan_with_sandbox(look, decisions)


def _plan_without_sandbox(look: Look, decisions: Sequence[Decision]) -> Plan:
    observed, memory = look.observed, look.memory
    waiting = _waiting(decisions)
    if observed.active:
        # pause is gone: what still runs has lost its namespaces' owner
        return Plan(stop_all(look.pod, observed.active, look.grace_s), waiting)
    if not any(d.start for d in decisions):
        dead = tuple(RemoveSandbox(s, changed=True) for s in observed.sandboxes)
        return Plan(dead, waiting, _earliest(d.recheck_at for d in decisions))
    if observed.sandboxes:
        return Plan(tuple(RemoveSandbox(s, changed=True) for s in observed.sandboxes), waiting)
    failure = memory.pod_failure
    if failure is not None and look.now < failure.retry_at:
        return Plan((), waiting, failure.retry_at)
    # containers are started by the next plan, so that the address is reported before
    create = CreateSandbox(memory.sandbox_attempt + 1, with_volumes=not memory.volumes_ready)
    return Plan((create,), waiting)


def _plan_with_sandbox(look: Look, decisions: Sequence[Decision]) -> Plan:
    observed, memory = look.observed, look.memory
    waiting = _waiting(decisions)
    recheck_at = _earliest(d.recheck_at for d in decisions)
    steps: list[Step] = [
        RemoveSandbox(s, changed=False) for s in observed.sandboxes if s is not observed.sandbox
    ]
    steps += _surplus(observed)
    if memory.network_faults:
        steps.append(RepairNetwork(memory.network_faults))
    if not memory.volumes_ready and any(d.start for d in decisions):
        failure = memory.pod_failure
        if failure is not None and look.now < failure.retry_at:
            return Plan(tuple(steps), waiting, _earliest((recheck_at, failure.retry_at)))
        steps.append(PrepareVolumes())
    for decision in decisions:
        steps += decision.steps
    return Plan(tuple(steps), waiting, recheck_at)


def _surplus(observed: Observed) -> list[Step]:
    """Ended containers but the last two of each name: its own and that of ``logs --previous``."""
    steps: list[Step] = []
    for name in sorted({c.name for c in observed.containers}):
        for state in observed.states(name)[2:]:
            if state.phase is ContainerPhase.EXITED:
                steps.append(RemoveContainer(state.id, name))
    return steps


def _plan_end(pod: Pod | None, observed: Observed, memory: Memory) -> Plan:
    if observed.active:
        return Plan(stop_all(pod, observed.active, _deletion_grace_s(pod)))
    if pod is None:
        return Plan(done=True) if observed.cleaned else Plan((Teardown(),))
    if observed.cleaned:
        # once sent, the object goes when its finalizers let it
        return Plan() if memory.deletion_sent else Plan((FinishDeletion(),))
    return Plan((Report(), Teardown(), FinishDeletion()))


def _deletion_grace_s(pod: Pod | None) -> float:
    if pod is None:
        return REMOVED_GRACE_S
    grace_s = pod.metadata.deletion_grace_period_seconds
    return pod.spec.grace_s if grace_s is None else float(grace_s)


def _waiting(decisions: Iterable[Decision]) -> dict[str, Waiting]:
    return {d.name: d.waiting for d in decisions if d.waiting is not None}


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((m for m in moments if m is not None), default=None)
