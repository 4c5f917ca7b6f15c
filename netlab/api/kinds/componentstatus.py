"""ComponentStatus: how the parts of the control plane are, worked out when it is asked for.

Mirrors ``pkg/registry/core/componentstatus``. Nothing is stored and nothing can be watched.
"""

from __future__ import annotations

from datetime import datetime

from netlab.api.kind import READ_ONLY, Kind
from netlab.api.meta import AnyObject, Condition
from netlab.api.printing import NAME, Cells, Column, Printer, name_of
from netlab.api.view import Object


class ComponentStatus(AnyObject, frozen=True, kw_only=True):
    """How one part is."""

    conditions: tuple[Condition, ...] = ()


def component_status(name: str, problem: str) -> Object:
    """Return the ComponentStatus of a part; problem "" when it is well."""
    condition = {"type": "Healthy", "status": "False" if problem else "True"}
    condition |= {"error": problem} if problem else {"message": "ok"}
    return {
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": name},
        "conditions": [condition],
    }


def _cells(obj: Object, now: datetime) -> Cells:
    status, message, error = "Unknown", "", ""
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            message, error = condition.get("message", ""), condition.get("error", "")
    return [name_of(obj), status, message, error]


COMPONENT_STATUS = Kind(
    "",
    "v1",
    "ComponentStatus",
    "componentstatuses",
    ComponentStatus,
    namespaced=False,
    short_names=("cs",),
    verbs=READ_ONLY,
    stored=False,
    printer=Printer(
        (
            NAME,
            Column("Status", description="Healthy or not."),
            Column("Message", description="What it says of itself."),
            Column("Error", description="What is wrong with it."),
        ),
        _cells,
    ),
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
)
KINDS = (COMPONENT_STATUS,)
