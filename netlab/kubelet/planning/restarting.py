"""Decides whether a container that has ended is started again, and by which number.

Mirrors ``ContainerShouldRestart`` and ``IsContainerRestartable`` of ``pkg/api/v1/pod``: the rules
of the container come first, then its own policy, then the pod's. Init containers follow the same
order; success is the end of an ordinary one whatever the policy says.
"""

from __future__ import annotations

from netlab.api.containers import Container, ContainerRestartRule
from netlab.api.pods import ContainerStatus, Pod, PodSpec
from netlab.runtime.cri import ContainerPhase, ContainerState

ALWAYS, ON_FAILURE, NEVER = "Always", "OnFailure", "Never"


def restarts(spec: PodSpec, container: Container, exit_code: int) -> bool:
    """Return whether a container of the pod that ended with ``exit_code`` is started again."""
    if container.restart_policy and any(
        _matches(rule, exit_code) for rule in container.restart_policy_rules
    ):
        return True
    policy = container.restart_policy or spec.restart_policy
    return policy == ALWAYS or (policy == ON_FAILURE and exit_code != 0)


def _matches(rule: ContainerRestartRule, exit_code: int) -> bool:
    codes = rule.exit_codes
    if rule.action != "Restart" or codes is None:
        return False
    return (exit_code in codes.values) == (codes.operator == "In")


def may_restart(spec: PodSpec, container: Container) -> bool:
    """Return whether a container that the node kills itself is started again."""
    if container.restart_policy and any(
        rule.action == "Restart" for rule in container.restart_policy_rules
    ):
        return True
    return (container.restart_policy or spec.restart_policy) != NEVER


def init_restarts(spec: PodSpec, container: Container, exit_code: int) -> bool:
    """Return whether an ordinary init container that ended is started again."""
    return exit_code != 0 and restarts(spec, container, exit_code)


def is_sidecar(container: Container) -> bool:
    """Return whether an init container is one that keeps running beside the others."""
    return container.restart_policy == ALWAYS


def sidecars(spec: PodSpec) -> tuple[Container, ...]:
    """Return the pod's sidecars in the order of their start."""
    return tuple(c for c in spec.init_containers if is_sidecar(c))


def reported(pod: Pod, name: str) -> ContainerStatus | None:
    """Return what was last reported of a container, if anything."""
    return next((s for s in pod.status.all_container_statuses if s.name == name), None)


def next_attempt(pod: Pod, name: str, latest: ContainerState | None) -> int:
    """Return the number of the next container of that name, 0 for the first."""
    if latest is not None:
        created = latest.phase is ContainerPhase.CREATED
        return latest.attempt if created else latest.attempt + 1
    # the container is gone, with its sandbox or by a reboot: its count goes on from the status
    status = reported(pod, name)
    if status is None or not status.container_id:
        return 0
    return status.restart_count + 1
