"""Decides what one container needs: to be started, stopped, resized, waited for, or nothing.

Mirrors the part of the kubelet's ``computePodActions`` that looks at one container, and
``doBackOff`` (``pkg/kubelet/kuberuntime``). ``init_plan`` and ``plan`` put the decisions together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from netlab.api.containers import Container, EphemeralContainer
from netlab.api.pods import Pod
from netlab.kubelet.planning.backoff import BackOff, format_delay, next_back_off, remaining_s
from netlab.kubelet.planning.resizing import given_resources, needs_resize, restarts_for_resize
from netlab.kubelet.planning.restarting import (
    init_restarts,
    is_sidecar,
    may_restart,
    next_attempt,
    reported,
    restarts,
)
from netlab.kubelet.planning.steps import (
    ERROR_SHOWN_S,
    Failure,
    Memory,
    Observed,
    RemoveContainer,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainer,
    Waiting,
    not_started,
)
from netlab.runtime.cri import ContainerPhase, ContainerState

WILL_RESTART = ", will be restarted"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one container needs: steps, or a wait, or nothing because it runs or has ended.

    started: it runs and its startup probe, if any, has succeeded.
    """

    name: str
    before: tuple[Step, ...] = ()
    start: StartContainer | None = None
    waiting: Waiting | None = None
    recheck_at: datetime | None = None
    running: bool = False
    started: bool = False

    @property
    def ended(self) -> bool:
        """True when the container has ended for good."""
        return not (self.running or self.start or self.waiting or self.recheck_at)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What to do, in order."""
        return (*self.before, self.start) if self.start else self.before


@dataclass(frozen=True, slots=True)
class Look:
    """What decisions are made from."""

    pod: Pod
    observed: Observed
    memory: Memory
    now: datetime

    @property
    def grace_s(self) -> float:
        """How long the pod's containers have to end."""
        return self.pod.spec.grace_s


def decide(look: Look, container: Container) -> Decision:
    """Return what an ordinary container or a sidecar needs."""
    states = look.observed.states(container.name)
    latest = states[0] if states else None
    if latest is None and _ended_before(look.pod, container):
        return Decision(container.name)
    if latest is not None and latest.phase is ContainerPhase.RUNNING:
        return _decide_running(look, container, latest)
    again = latest is None or restarts(look.pod.spec, container, latest.exit_code)
    return _decide_stopped(look, container, latest, again=again)


def decide_init(look: Look, container: Container) -> Decision:
    """Return what an ordinary init container needs, as long as the pod is not initialized."""
    states = look.observed.states(container.name)
    latest = states[0] if states else None
    if latest is not None and latest.phase is ContainerPhase.RUNNING:
        return Decision(container.name, running=True)
    again = latest is None or init_restarts(look.pod.spec, container, latest.exit_code)
    return _decide_stopped(look, container, latest, again=again)


def decide_ephemeral(look: Look, container: EphemeralContainer) -> Decision:
    """Return what an ephemeral container needs: it is started once, and never again."""
    states = look.observed.states(container.name)
    latest = states[0] if states else None
    if latest is not None and latest.phase is ContainerPhase.RUNNING:
        return Decision(container.name, running=True, started=True)
    status = reported(look.pod, container.name)
    if latest is None and status is not None and status.container_id:
        return Decision(container.name)
    decision = _decide_stopped(look, container, latest, again=latest is None)
    if decision.start is None or not container.target_container_name:
        return decision
    return _with_target(look, decision, container.target_container_name)


def _with_target(look: Look, decision: Decision, target: str) -> Decision:
    """Let an ephemeral container see the processes of another one, which must run for that."""
    running = next((c for c in look.observed.active if c.name == target), None)
    if decision.start is None or running is None:
        message = f"unable to find target container {target}"
        waiting = Waiting("CreateContainerConfigError", message)
        return Decision(decision.name, waiting=waiting)
    start = decision.start
    aimed = StartContainer(start.container, start.attempt, start.back_off, running.id)
    return Decision(decision.name, decision.before, aimed, decision.waiting)


def _ended_before(pod: Pod, container: Container) -> bool:
    """True when a container whose traces are gone with its sandbox has ended for good."""
    status = reported(pod, container.name)
    if status is None or not status.container_id or status.state.terminated is None:
        return False
    return not restarts(pod.spec, container, status.state.terminated.exit_code)


def _decide_stopped(
    look: Look, container: Container, latest: ContainerState | None, *, again: bool
) -> Decision:
    name, now = container.name, look.now
    failure = look.memory.failures.get(name)
    if failure is not None and now < failure.retry_at:
        boundary = failure.shown_until if now < failure.shown_until else failure.retry_at
        return Decision(
            name, waiting=failure.waiting(now), recheck_at=min(boundary, failure.retry_at)
        )
    attempt = next_attempt(look.pod, name, latest)
    back_off = look.memory.crashes.get(name)
    if latest is not None and latest.phase is ContainerPhase.EXITED:
        return _decide_ended(look, container, latest, attempt) if again else Decision(name)
    before: tuple[Step, ...] = ()
    if latest is not None:
        # created and never started: the agent was killed in between
        before = (RemoveContainer(latest.id, name),)
    shown = failure.waiting(now) if failure is not None else not_started(look.pod)
    return Decision(name, before, StartContainer(container, attempt, back_off), shown)


def _decide_running(look: Look, container: Container, state: ContainerState) -> Decision:
    name = container.name
    verdict = look.observed.verdicts.get(state.id)
    if state.image != container.image:
        message = f"Container {name} definition changed{WILL_RESTART}"
        stop = StopContainer(state.id, name, look.grace_s, message)
        start = StartContainer(container, state.attempt + 1, None)
        return Decision(name, (stop,), start, not_started(look.pod))
    if verdict is not None and verdict.unhealthy:
        grace_s = look.grace_s if verdict.grace_s is None else verdict.grace_s
        return _decide_unhealthy(look, container, state, verdict.unhealthy, grace_s)
    before: tuple[Step, ...] = ()
    if needs_resize(look.pod, container, state, look.memory):
        given = given_resources(look.pod, container, state, look.memory)
        if restarts_for_resize(container, given):
            message = f"Container {name} resize requires restart"
            stop = StopContainer(state.id, name, look.grace_s, message)
            return Decision(name, (stop,), StartContainer(container, state.attempt + 1, None))
        before = (ResizeContainer(state.id, container),)
    started = verdict is None or verdict.started
    return Decision(name, before, running=True, started=started)


def _decide_unhealthy(
    look: Look, container: Container, state: ContainerState, message: str, grace_s: float
) -> Decision:
    """Kill a container that a probe has condemned; start it again at once if no back-off runs.

    The back-off counts from the end before this one, so that a container that fails its liveness
    probe minutes after its start is not kept waiting.
    """
    name, now = container.name, look.now
    again = may_restart(look.pod.spec, container)
    text = message.removesuffix(WILL_RESTART)
    if again and not is_sidecar(container):
        text += WILL_RESTART
    stop = StopContainer(state.id, name, grace_s, text)
    earlier = [s for s in look.observed.states(name) if s.phase is ContainerPhase.EXITED]
    back_off = look.memory.crashes.get(name)
    if not again:
        return Decision(name, (stop,), running=True)
    if earlier:
        ended = _ended_at(earlier[0])
        if remaining_s(back_off, ended, now) > 0:
            return Decision(name, (stop,), running=True)
        back_off = next_back_off(back_off, ended, now)
    return Decision(name, (stop,), StartContainer(container, state.attempt + 1, back_off))


def _decide_ended(
    look: Look, container: Container, latest: ContainerState, attempt: int
) -> Decision:
    name, now = container.name, look.now
    back_off = look.memory.crashes.get(name)
    failure = look.memory.failures.get(name)
    ended = _ended_at(latest)
    if back_off is not None and remaining_s(back_off, ended, now) > 0:
        return _decide_back_off(look.pod, latest, back_off, failure, now)
    shown = failure.waiting(now) if failure else _shown_of_ended(look.pod, latest, back_off, now)
    start = StartContainer(container, attempt, next_back_off(back_off, ended, now))
    return Decision(name, start=start, waiting=shown)


def _decide_back_off(
    pod: Pod, latest: ContainerState, back_off: BackOff, failure: Failure | None, now: datetime
) -> Decision:
    ended = _ended_at(latest)
    recheck_at = now + timedelta(seconds=remaining_s(back_off, ended, now))
    if failure is not None and now < failure.shown_until:
        waiting: Waiting | None = failure.shown
        boundary = failure.shown_until
    else:
        waiting = _shown_of_ended(pod, latest, back_off, now)
        boundary = recheck_at if waiting else ended + timedelta(seconds=ERROR_SHOWN_S)
    return Decision(latest.name, waiting=waiting, recheck_at=min(boundary, recheck_at))


def _shown_of_ended(
    pod: Pod, latest: ContainerState, back_off: BackOff | None, now: datetime
) -> Waiting | None:
    """Return what an ended container waits for; None shows how it ended (Error, Completed).

    That is seen for a while before the wait, and until a restart that needs none.
    """
    if back_off is None or now < _ended_at(latest) + timedelta(seconds=ERROR_SHOWN_S):
        return None
    message = (
        f"back-off {format_delay(back_off.delay_s)} restarting failed container={latest.name} "
        f"pod={pod_text(pod)}"
    )
    return Waiting("CrashLoopBackOff", message)


def _ended_at(state: ContainerState) -> datetime:
    return state.finished_at or state.created_at


def pod_text(pod: Pod) -> str:
    """Return ``name_namespace(uid)``, as the kubelet names pods in messages."""
    meta = pod.metadata
    return f"{meta.name}_{meta.namespace}({meta.uid})"
