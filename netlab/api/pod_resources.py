"""How much a pod asks for altogether: the sum that the scheduler, quotas and limits go by.

Mirrors ``k8s.io/component-helpers/resource`` (``PodRequests``, ``PodLimits``): containers and
sidecars run side by side, so their amounts add up; init containers run one after the other, each
beside the sidecars started before it, so only the largest of them counts. Amounts written for the
pod as a whole stand in for the sum.

The overhead of the pod's RuntimeClass comes on top. netlab leaves out what a container still holds
while a resize of it is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from netlab.api.containers import Container
from netlab.api.pods import PodSpec
from netlab.api.quantities import Family, Quantity, parse_quantity

Amounts: TypeAlias = dict[str, Quantity]
"""By resource name, such as ``cpu`` (in cores) or ``memory`` (in bytes)."""

_POD_LEVEL: Final = ("cpu", "memory")
_ZERO: Final = Quantity(Decimal(0))


def pod_requests(spec: PodSpec) -> Amounts:
    """Return what the pod reserves; a resource nobody asks for is missing."""
    total = _total(spec, "requests")
    return plus(total, parse_amounts(spec.overhead)) if spec.overhead else total


def pod_limits(spec: PodSpec) -> Amounts:
    """Return what the pod may use at most; a container without a limit adds nothing."""
    total = _total(spec, "limits")
    if not spec.overhead:
        return total
    # what has no bound gets none by the overhead
    return plus(total, {n: a for n, a in parse_amounts(spec.overhead).items() if n in total})


def container_requests(spec: PodSpec) -> Amounts:
    """Return what the containers reserve together, whatever is written for the pod as a whole."""
    return _sum(spec, "requests")


def _total(spec: PodSpec, field: Literal["requests", "limits"]) -> Amounts:
    total = _sum(spec, field)
    if spec.resources is not None:
        written = parse_amounts(getattr(spec.resources, field))
        total |= {
            name: amount
            for name, amount in written.items()
            if name in _POD_LEVEL or name.startswith("hugepages-")
        }
    return total


def _sum(spec: PodSpec, field: Literal["requests", "limits"]) -> Amounts:
    total: Amounts = {}
    for container in spec.containers:
        total = plus(total, _amounts(container, field))
    beside: Amounts = {}
    largest: Amounts = {}
    for container in spec.init_containers:
        own = _amounts(container, field)
        if container.restart_policy == "Always":
            total, beside = plus(total, own), plus(beside, own)
            own = beside
        else:
            own = plus(own, beside)
        largest = maximum(largest, own)
    return maximum(total, largest)


def _amounts(container: Container, field: Literal["requests", "limits"]) -> Amounts:
    return parse_amounts(getattr(container.resources, field))


def parse_amounts(written: Mapping[str, str]) -> Amounts:
    """Return the amounts that an object writes as text.

    Raises: ValueError for what is no quantity.
    """
    return {name: parse_quantity(text) for name, text in written.items()}


def plus(left: Amounts, right: Amounts) -> Amounts:
    """Return both together."""
    return {**left, **{name: _add(left.get(name), amount) for name, amount in right.items()}}


def _add(left: Quantity | None, right: Quantity) -> Quantity:
    if left is None:
        return right
    # a sum is written as its first part, but zero has no way of its own
    family: Family = left.family if left.value else right.family
    return Quantity(left.value + right.value, family)


def minus(left: Amounts, right: Amounts) -> Amounts:
    """Return the left amounts less the right ones; names only of the left."""
    return {
        name: Quantity(amount.value - right.get(name, _ZERO).value, amount.family)
        for name, amount in left.items()
    }


def maximum(left: Amounts, right: Amounts) -> Amounts:
    """Return the larger amount of each resource."""
    larger = {
        name: amount
        for name, amount in right.items()
        if name not in left or amount.value > left[name].value
    }
    return {**left, **larger}


def qos_class(spec: Mapping[str, Any]) -> str:
    """Return Guaranteed, Burstable or BestEffort: by the amounts of the pod as a whole when it has
    any, otherwise by those of all containers but ephemeral ones.

    spec: as written in the object.
    """
    whole = spec.get("resources") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    if whole.get("requests") or whole.get("limits"):
        resources = [whole]
    if not any(_compute(each, "requests") or _compute(each, "limits") for each in resources):
        return "BestEffort"
    guaranteed = all(
        set(_compute(each, "limits")) == {"cpu", "memory"}
        and _compute(each, "requests") in ({}, _compute(each, "limits"))
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(resources: Mapping[str, Any], field: str) -> dict[str, Decimal]:
    """Cpu and memory; zero counts as not given."""
    given = resources.get(field) or {}
    amounts = {name: parse_quantity(given[name]).value for name in _POD_LEVEL if name in given}
    return {name: amount for name, amount in amounts.items() if amount}
