"""Turns the priority class of a pod into a number, and keeps one default class at most.

Mirrors the admission plugin Priority.
"""

from __future__ import annotations

from netlab.api.field_errors import forbidden
from netlab.api.kinds import POD
from netlab.api.kinds.priorityclass import PREEMPT, PRIORITY_CLASS
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes


def resolve_priority(attributes: Attributes) -> None:
    """Write number and preemption policy of its class into a new pod.

    A pod that names no class gets the default one, or 0 when there is none.
    """
    spec = attributes.object["spec"]
    name = spec.get("priorityClassName") or ""
    if name:
        found = attributes.lookup(PRIORITY_CLASS, "", name)
        if found is None:
            detail = f"no PriorityClass with name {name} was found"
            raise forbidden(POD, attributes.name, detail)
    else:
        found = _default_class(attributes)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    value = 0 if found is None else found.get("value", 0)
    if spec.get("priority") not in (None, value):
        raise forbidden(
            POD,
            attributes.name,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec;"
            f" priority admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    policy = PREEMPT if found is None else found.get("preemptionPolicy") or PREEMPT
    if spec.get("preemptionPolicy") not in (None, policy):
        raise forbidden(
            POD,
            attributes.name,
            "the string value of PreemptionPolicy"
            f" ({spec['preemptionPolicy']}) must not be provided in pod spec; priority admission"
            f" controller computed {policy} from the given PriorityClass name",
        )
    spec["preemptionPolicy"] = policy


def _default_class(attributes: Attributes) -> Object | None:
    """Of several default classes, which only a race can make, the lowest counts."""
    marked = [each for each in attributes.all_of(PRIORITY_CLASS, "") if each.get("globalDefault")]
    return min(marked, key=lambda each: int(each.get("value", 0)), default=None)


def one_default(attributes: Attributes) -> None:
    """Refuse a second class that is the default one.

    Raises: ApiError Forbidden.
    """
    if not attributes.object.get("globalDefault"):
        return
    present = _default_class(attributes)
    if present is None or present["metadata"]["name"] == attributes.name:
        return
    raise forbidden(
        PRIORITY_CLASS,
        attributes.name,
        f"PriorityClass {present['metadata']['name']} is already marked as default."
        " Only one default can exist",
    )
