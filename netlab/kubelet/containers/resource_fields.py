"""Decides what ``resourceFieldRef`` stands for, in a variable or in a file.

Mirrors ``pkg/api/v1/resource`` ``ExtractContainerResourceValue``: the amount divided by the divisor
and rounded up. A limit that a container does not have is what the pod as a whole may use, else what
the node has to give; a request that it does not have is 0. Pure.

netlab leaves out huge pages, which a lab's containers cannot have.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_UP, Decimal
from pathlib import Path

from netlab.api.containers import Container, ResourceFieldSelector
from netlab.api.pods import Pod
from netlab.api.quantities import parse_quantity
from netlab.kubelet.node.machine import read_machine

RESOURCES = ("cpu", "memory", "ephemeral-storage")


class UnknownResourceError(ValueError):
    """A resourceFieldRef names a container or resource that is not there."""


def resource_field_value(
    pod: Pod,
    selector: ResourceFieldSelector,
    allocatable: Mapping[str, str],
    *,
    container: Container | None = None,
) -> str:
    """Return the number a resourceFieldRef stands for, as text.

    container: whose resources are meant when the selector names none. allocatable: what the node
    has to give, by resource.

    Raises: UnknownResourceError.
    """
    chosen = _container(pod, selector, container)
    kind, _, resource = selector.resource.partition(".")
    if kind not in ("limits", "requests") or resource not in RESOURCES:
        raise UnknownResourceError(f"unsupported container resource : {selector.resource}")
    if kind == "limits":
        amount = _limit(pod, chosen, resource, allocatable)
    else:
        amount = chosen.resources.requests.get(resource, "0")
    return _divided(amount, selector.divisor)


def _container(pod: Pod, selector: ResourceFieldSelector, container: Container | None) -> Container:
    if not selector.container_name and container is not None:
        return container
    for candidate in pod.spec.all_containers:
        if candidate.name == selector.container_name:
            return candidate
    raise UnknownResourceError(f"container {selector.container_name} not found")


def _limit(pod: Pod, container: Container, resource: str, allocatable: Mapping[str, str]) -> str:
    own = container.resources.limits.get(resource)
    if own is not None:
        return own
    whole = pod.spec.resources.limits.get(resource) if pod.spec.resources else None
    return whole or allocatable.get(resource, "0")


def _divided(amount: str, divisor: str) -> str:
    share = parse_quantity(divisor or "1").value or Decimal(1)
    number = parse_quantity(amount).value / share
    return str(int(number.to_integral_value(ROUND_UP)))


def node_allocatable(state_dir: Path) -> dict[str, str]:
    """Return what the node has to give, by resource, as its Node object tells it."""
    machine = read_machine(state_dir)
    return {
        "cpu": str(machine.processors),
        "memory": f"{machine.memory_kib}Ki",
        "ephemeral-storage": f"{machine.disk_kib}Ki",
    }
