"""PriorityClass: how important pods are, as a number with a name.

Mirrors ``pkg/registry/scheduling/priorityclass`` and ``ValidatePriorityClass``. Admission (see
``apiserver.admission.priority``) writes the number into each pod that names the class. netlab's
scheduler takes pods as they come and evicts none for another, so the number orders nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from netlab.api.field_errors import FieldError, forbidden_field, invalid_value
from netlab.api.kind import Kind
from netlab.api.meta import AnyObject
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.validation.numbers import one_of
from netlab.api.view import Object

HIGHEST_USER_PRIORITY: Final = 1_000_000_000
SYSTEM_PREFIX: Final = "system-"
SYSTEM_CLASSES: Final = {
    "system-cluster-critical": {
        "value": 2 * HIGHEST_USER_PRIORITY,
        "description": "Used for system critical pods that must run in the cluster, but can be"
        " moved to another node if necessary.",
    },
    "system-node-critical": {
        "value": 2 * HIGHEST_USER_PRIORITY + 1000,
        "description": "Used for system critical pods that must not be moved from their current"
        " node.",
    },
}
PREEMPT: Final = "PreemptLowerPriority"
_POLICIES: Final = (PREEMPT, "Never")


class PriorityClass(AnyObject, frozen=True, kw_only=True):
    """How important pods are; the fields stand at the top, not in a spec."""

    value: int = 0
    global_default: bool = False
    description: str = ""
    preemption_policy: str = PREEMPT


def system_class(name: str) -> Object:
    """Return one of the two classes that every cluster has."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        **SYSTEM_CLASSES[name],
    }


def _defaults(new: Object) -> None:
    new.setdefault("preemptionPolicy", PREEMPT)


def _validate(obj: Object) -> list[FieldError]:
    name = (obj.get("metadata") or {}).get("name") or ""
    value = obj.get("value", 0)
    errors = []
    if name.startswith(SYSTEM_PREFIX):
        problem = _not_a_system_class(name, value, bool(obj.get("globalDefault")))
        if problem:
            detail = (
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {problem}"
            )
            errors.append(forbidden_field("metadata.name", detail))
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden_field("value", detail))
    return errors + one_of(obj.get("preemptionPolicy"), "preemptionPolicy", _POLICIES)


def _not_a_system_class(name: str, value: int, default: bool) -> str:
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if known["value"] != value:
        return f"value of {name} PriorityClass must be {known['value']}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def _validate_update(old: Object, new: Object) -> list[FieldError]:
    errors = []
    if old.get("value", 0) != new.get("value", 0):
        errors.append(forbidden_field("value", "may not be changed in an update."))
    policy = new.get("preemptionPolicy")
    if policy != old.get("preemptionPolicy"):
        errors.append(invalid_value("preemptionPolicy", policy, IMMUTABLE))
    return errors


def _advice(obj: Object) -> Iterable[str]:
    if obj.get("value"):
        yield (
            "value: netlab writes it into the pods of the class, but its scheduler takes pods as"
            " they come and preempts none"
        )


def _cells(obj: Object, now: datetime) -> Cells:
    return [
        name_of(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        age_of(obj, now),
        obj.get("preemptionPolicy", ""),
    ]


PRIORITY_CLASS = Kind(
    "scheduling.k8s.io",
    "v1",
    "PriorityClass",
    "priorityclasses",
    PriorityClass,
    namespaced=False,
    short_names=("pc",),
    zeros=(("PriorityClass", "globalDefault description"),),
    defaults=_defaults,
    validate=_validate,
    validate_update=_validate_update,
    generation_changes=lambda new, old: new.get("value") != old.get("value"),
    printer=Printer(
        (
            NAME,
            Column("Value", "integer", description="The priority of the pods."),
            Column("Global-Default", "boolean", description="Whether pods without a class get it."),
            AGE,
            Column("PreemptionPolicy", description="Whether its pods may push others out."),
        ),
        _cells,
    ),
    advice=_advice,
)
KINDS = (PRIORITY_CLASS,)
