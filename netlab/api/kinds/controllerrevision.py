"""ControllerRevision: a state of a workload, kept so that it can be gone back to.

Mirrors ``pkg/registry/apps/controllerrevision`` and ``ValidateControllerRevision``. What a revision
holds is fixed; only its number changes, when an old state is taken up again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netlab.api.field_errors import FieldError, invalid_value, required
from netlab.api.kind import Kind
from netlab.api.meta import AnyObject
from netlab.api.printing import AGE, NAME, NONE, Cells, Column, Printer, age_of, metadata, name_of
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.view import Object


class ControllerRevision(AnyObject, frozen=True, kw_only=True):
    """A state; data: whatever the controller that made it wants to find again."""

    data: Any = None
    revision: int = 0


def _validate(obj: Object) -> list[FieldError]:
    errors = []
    if obj.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    if obj.get("revision", 0) < 0:
        detail = "must be greater than or equal to 0"
        errors.append(invalid_value("revision", obj["revision"], detail))
    return errors


def _validate_update(old: Object, new: Object) -> list[FieldError]:
    if old.get("data") == new.get("data"):
        return []
    return [invalid_value("data", new.get("data"), IMMUTABLE)]


def _cells(obj: Object, now: datetime) -> Cells:
    controllers = [
        owner for owner in metadata(obj).get("ownerReferences") or () if owner.get("controller")
    ]
    name = NONE
    for owner in controllers:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = str(owner.get("kind", "")).lower()
        name = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name_of(obj), name, obj.get("revision", 0), age_of(obj, now)]


CONTROLLER_REVISION = Kind(
    "apps",
    "v1",
    "ControllerRevision",
    "controllerrevisions",
    ControllerRevision,
    validate=_validate,
    validate_update=_validate_update,
    printer=Printer(
        (
            NAME,
            Column("Controller", description="Whose state it is."),
            Column("Revision", description="The number of the state."),
            AGE,
        ),
        _cells,
    ),
)
KINDS = (CONTROLLER_REVISION,)
