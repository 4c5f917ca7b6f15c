"""Decides what the results of probes mean: when a container has started, is ready, is unhealthy.

Mirrors the worker of ``pkg/kubelet/prober`` and its result managers. Pure: no clock, no I/O.

- A result counts only when it was the same as often in a row as its threshold says; until then
  the former state holds. It begins as: not ready, alive, and of the startup probe: not known.
- Liveness and readiness probes wait for the startup probe's success.
- A liveness or startup probe that has failed for good is not run again for that container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from netlab.api.containers import Container, Probe
from netlab.api.pods import Pod
from netlab.kubelet.planning.steps import ProbeVerdict
from netlab.kubelet.probes.results import Outcome, ProbeResult

ALWAYS, NEVER = "Always", "Never"


class ProbeKind(Enum):
    """The three probes of a container; the value is the word that events begin with."""

    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


_FIRST_STATES = {ProbeKind.STARTUP: None, ProbeKind.LIVENESS: True, ProbeKind.READINESS: False}


@dataclass(frozen=True, slots=True)
class Progress:
    """How one probe of one container stands.

    state: True for success, False for failure, None for not known yet. last: the result before,
    which came ``run`` times in a row.
    """

    state: bool | None
    last: bool | None = None
    run: int = 0


ContainerProgress: TypeAlias = Mapping[ProbeKind, Progress]


def container_probes(container: Container) -> dict[ProbeKind, Probe]:
    """Return the probes the container has."""
    probes = {
        ProbeKind.STARTUP: container.startup_probe,
        ProbeKind.LIVENESS: container.liveness_probe,
        ProbeKind.READINESS: container.readiness_probe,
    }
    return {kind: probe for kind, probe in probes.items() if probe is not None}


def probed_containers(pod: Pod) -> dict[str, Container]:
    """Return by name the containers that can have probes: the pod's own and its sidecars."""
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == ALWAYS]
    both = (*sidecars, *pod.spec.containers)
    return {container.name: container for container in both if container_probes(container)}


def first_progress(kind: ProbeKind) -> Progress:
    """Return how a probe of a new container stands."""
    return Progress(_FIRST_STATES[kind])


def adopted_progress(kind: ProbeKind, *, started: bool, ready: bool) -> Progress:
    """Return how a probe stands of a container whose reported status says so.

    A kubelet that starts anew takes over what the former one found.
    """
    if kind is ProbeKind.STARTUP and started:
        return Progress(True)
    if kind is ProbeKind.READINESS and ready:
        return Progress(True)
    return first_progress(kind)


def advance(progress: Progress, probe: Probe, *, succeeded: bool) -> Progress:
    """Return how a probe stands after one more result."""
    run = progress.run + 1 if progress.last is succeeded else 1
    threshold = probe.success_threshold if succeeded else probe.failure_threshold
    state = succeeded if run >= threshold else progress.state
    return replace(progress, state=state, last=succeeded, run=run)


def settled_for_deletion(kind: ProbeKind, progress: Progress) -> Progress:
    """Return how a probe stands once the pod is being deleted: it has nobody killed any more."""
    return progress if kind is ProbeKind.READINESS else replace(progress, state=True)


def runs(kind: ProbeKind, progress: ContainerProgress, *, deleting: bool) -> bool:
    """Return whether this probe of a running container is to be run now."""
    started = has_started(progress)
    if kind is ProbeKind.READINESS:
        return started
    if deleting or progress[kind].state is False:
        return False
    return started if kind is ProbeKind.LIVENESS else not started


def has_started(progress: ContainerProgress) -> bool:
    """Return whether the startup probe has succeeded, or there is none."""
    startup = progress.get(ProbeKind.STARTUP)
    return startup is None or startup.state is True


def container_verdict(pod: Pod, container: Container, progress: ContainerProgress) -> ProbeVerdict:
    """Return what the probes of a running container say of it."""
    started = has_started(progress)
    readiness = progress.get(ProbeKind.READINESS)
    ready = started and (readiness is None or readiness.state is True)
    for kind, probe in container_probes(container).items():
        if kind is not ProbeKind.READINESS and progress[kind].state is False:
            grace = probe.termination_grace_period_seconds
            return ProbeVerdict(
                started=started,
                ready=ready,
                unhealthy=_killing_text(pod, container, kind),
                grace_s=None if grace is None else float(grace),
            )
    return ProbeVerdict(started=started, ready=ready)


def _killing_text(pod: Pod, container: Container, kind: ProbeKind) -> str:
    text = f"Container {container.name} failed {kind.value.lower()} probe"
    policy = container.restart_policy or pod.spec.restart_policy
    return text if policy == NEVER else f"{text}, will be restarted"


def result_event(kind: ProbeKind, result: ProbeResult) -> tuple[str, str] | None:
    """Return (reason, message) of the Warning that tells the result; None when there is none."""
    if result.outcome is Outcome.FAILURE:
        return "Unhealthy", f"{kind.value} probe failed: {result.output}"
    if result.outcome is Outcome.WARNING:
        return "ProbeWarning", f"{kind.value} probe warning: {result.output}"
    return None


def error_event(kind: ProbeKind, message: str) -> tuple[str, str]:
    """Return (reason, message) of the Warning that tells an attempt without a result."""
    return "Unhealthy", f"{kind.value} probe errored and resulted in unknown state: {message}"
