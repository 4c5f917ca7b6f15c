"""Decides how far a pod's initialization has come, and what its init containers need.

Mirrors ``computeInitContainerActions`` (``pkg/kubelet/kuberuntime``). Init containers run one after
the other: an ordinary one is done when it has succeeded, a sidecar (restartPolicy Always) when it
has started. The last one that has a container shows how far the pod has come, so that it does not
matter when the traces of earlier ones are gone. Sidecars that have been reached run on for as
long as the pod does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netlab.api.containers import Container
from netlab.kubelet.planning.container_plan import Decision, Look, decide, decide_init
from netlab.kubelet.planning.restarting import init_restarts, is_sidecar
from netlab.runtime.cri import ContainerPhase


@dataclass(frozen=True, slots=True)
class Initialization:
    """decisions: of the init containers that need something or run, in the order of the pod.
    complete: the ordinary containers may run. failed: an init container has failed for good.
    """

    decisions: tuple[Decision, ...] = ()
    complete: bool = False
    failed: bool = False


def plan_initialization(look: Look) -> Initialization:
    """Return what the init containers of a pod need."""
    containers = look.pod.spec.init_containers
    if is_initialized(look):
        running = tuple(decide(look, c) for c in containers if is_sidecar(c))
        return Initialization(running, complete=True)
    reached = _reached(look)
    if reached >= 0 and _failed_for_good(look, containers[reached]):
        return Initialization(failed=True)
    if look.observed.sandbox is None:
        reached = -1
    look = _within_sandbox(look)
    decisions = [decide(look, c) for c in containers[: max(reached, 0)] if is_sidecar(c)]
    for container in containers[max(reached, 0) :]:
        decision = (decide if is_sidecar(container) else decide_init)(look, container)
        decisions.append(decision)
        done = decision.started if is_sidecar(container) else decision.ended
        if not done:
            return Initialization(tuple(decisions))
    return Initialization(tuple(decisions), complete=True)


def _within_sandbox(look: Look) -> Look:
    """Forget the containers of other sandboxes: what was done there is done again."""
    sandbox = look.observed.sandbox
    inside = tuple(c for c in look.observed.containers if sandbox and c.sandbox_id == sandbox.id)
    return replace(look, observed=replace(look.observed, containers=inside))


def is_initialized(look: Look) -> bool:
    """Return whether an ordinary container was made in the sandbox that runs."""
    sandbox = look.observed.sandbox
    ordinary = {c.name for c in look.pod.spec.containers}
    return sandbox is not None and any(
        c.name in ordinary and c.sandbox_id == sandbox.id for c in look.observed.containers
    )


def _reached(look: Look) -> int:
    """Return the index of the last init container that was made; -1 for none.

    As long as a sandbox runs, those of an earlier one do not count.
    """
    sandbox = look.observed.sandbox
    made = {
        c.name for c in look.observed.containers if sandbox is None or c.sandbox_id == sandbox.id
    }
    indices = [i for i, c in enumerate(look.pod.spec.init_containers) if c.name in made]
    return max(indices, default=-1)


def _failed_for_good(look: Look, container: Container) -> bool:
    latest = look.observed.states(container.name)[0]
    return (
        not is_sidecar(container)
        and latest.phase is ContainerPhase.EXITED
        and latest.exit_code != 0
        and not init_restarts(look.pod.spec, container, latest.exit_code)
    )
