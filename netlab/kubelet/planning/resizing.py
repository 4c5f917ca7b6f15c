"""Decides whether a running container's bounds differ from those its spec asks for now.

Mirrors ``computePodResizeAction`` (in-place pod resize). What a container was given is remembered
from its start or last resize; after a restart of the agent, the reported status tells it.

netlab leaves out: resizes that are put off because the node is full (conditions PodResizePending
and PodResizeInProgress).
"""

from __future__ import annotations

import json

from netlab.api.containers import Container, ResourceRequirements
from netlab.api.pods import Pod
from netlab.api.quantities import parse_quantity
from netlab.api.view import Object
from netlab.kubelet.planning.restarting import reported
from netlab.kubelet.planning.steps import Memory
from netlab.runtime.cri import ContainerState

RESIZABLE = ("cpu", "memory")


def given_resources(
    pod: Pod, container: Container, state: ContainerState, memory: Memory
) -> ResourceRequirements:
    """Return the resources that a container has got, in the words of the API."""
    if state.id in memory.resources:
        return memory.resources[state.id]
    status = reported(pod, container.name)
    if status is not None and status.container_id.endswith(f"//{state.id}") and status.resources:
        return status.resources
    return container.resources


def needs_resize(pod: Pod, container: Container, state: ContainerState, memory: Memory) -> bool:
    """Return whether a running container has other amounts of cpu or memory than it shall have."""
    given = given_resources(pod, container, state, memory)
    return given != container.resources and _amounts(given) != _amounts(container.resources)


def restarts_for_resize(container: Container, given: ResourceRequirements) -> bool:
    """Return whether the change asks for a new start of the container (resizePolicy)."""
    changed = {
        name
        for name in RESIZABLE
        if _amount(given.limits, name) != _amount(container.resources.limits, name)
        or _amount(given.requests, name) != _amount(container.resources.requests, name)
    }
    return any(
        rule.resource_name in changed and rule.restart_policy == "RestartContainer"
        for rule in container.resize_policy
    )


def resize_message(pod: Pod) -> str:
    """Return the message of event ResizeCompleted."""
    summary: Object = {}
    for key, containers in (
        ("initContainers", pod.spec.init_containers),
        ("containers", pod.spec.containers),
    ):
        if containers:
            summary[key] = [
                {"name": c.name, "resources": resources_object(c.resources)} for c in containers
            ]
    if pod.metadata.generation:
        summary["generation"] = pod.metadata.generation
    return f"Pod resize completed: {json.dumps(summary, separators=(',', ':'))}"


def resources_object(resources: ResourceRequirements) -> Object:
    """Return resources as they stand in a manifest, without empty parts."""
    built: Object = {}
    if resources.limits:
        built["limits"] = dict(resources.limits)
    if resources.requests:
        built["requests"] = dict(resources.requests)
    return built


def _amounts(resources: ResourceRequirements) -> list[object]:
    return [
        _amount(part, name) for part in (resources.limits, resources.requests) for name in RESIZABLE
    ]


def _amount(part: dict[str, str], name: str) -> object:
    return parse_quantity(part[name]).value if name in part else None
