"""Event of ``events.k8s.io/v1``: the objects of core's Event in newer words.

Mirrors ``pkg/apis/events/v1`` and ``ValidateEventCreate``, which asks more of a new event in this
group: when it happened, who reports it, and what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from netlab.api import names
from netlab.api.field_errors import FieldError, invalid_value, required
from netlab.api.field_selectors import paths
from netlab.api.kind import Kind, StoredAs
from netlab.api.kinds.event import EVENT
from netlab.api.meta import AnyObject, ObjectReference
from netlab.api.printing import Cells, Printer
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.view import Object

_LONGEST: Final = 128
_LONGEST_NOTE: Final = 1024
# this group's word -> core's
_WORDS: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_UNSET: Final = ("firstTimestamp", "lastTimestamp", "count")
_FIXED: Final = (
    "eventTime",
    "reportingController",
    "reportingInstance",
    "action",
    "reason",
    "regarding",
    "related",
    "note",
    "type",
    "deprecatedSource",
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "deprecatedCount",
)


class EventV1(AnyObject, frozen=True, kw_only=True):
    """Something that happened to an object."""

    regarding: ObjectReference | None = None
    reason: str = ""
    note: str = ""
    type: str = ""
    event_time: datetime | None = None


def _reworded(obj: Object, words: Mapping[str, str], api_version: str) -> Object:
    new = {words.get(name, name): value for name, value in obj.items()}
    return {**new, "apiVersion": api_version}


def to_core(event: Object) -> Object:
    """Return the event as core has it."""
    stored = _reworded(event, _WORDS, EVENT.api_version)
    EVENT.defaults(stored)
    return stored


def from_core(event: Object) -> Object:
    """Return an event of core in the words of this group."""
    words = {core: word for word, core in _WORDS.items()}
    return _reworded(event, words, EVENT_V1.api_version)


def _defaults(new: Object) -> None:
    for struct in ("regarding", "deprecatedSource"):
        new.setdefault(struct, {})
    for text in ("reportingController", "reportingInstance"):
        new.setdefault(text, "")


def _validate(event: Object) -> list[FieldError]:
    core = to_core(event)
    errors = EVENT.validate(core)
    errors += _reported(event)
    if core.get("type") not in ("Normal", "Warning"):
        errors.append(invalid_value("type", "", f"has invalid value: {core.get('type') or ''}"))
    if not event.get("eventTime"):
        errors.append(required("eventTime"))
    errors += [invalid_value(field, "", "needs to be unset") for field in _UNSET if core.get(field)]
    if any((core.get("source") or {}).values()):
        errors.append(invalid_value("source", "", "needs to be unset"))
    return errors


def _reported(event: Object) -> list[FieldError]:
    """Who reports it, and what was done."""
    controller = event.get("reportingController") or ""
    path = "reportingController"
    errors = [] if controller else [required(path)]
    errors += [invalid_value(path, controller, m) for m in names.qualified_name(controller)]
    for field in ("reportingInstance", "action", "reason"):
        text = event.get(field) or ""
        if not text:
            errors.append(required(field))
        elif len(text) > _LONGEST:
            detail = f"can have at most {_LONGEST} characters"
            errors.append(invalid_value(field, "", detail))
    if len(event.get("note") or "") > _LONGEST_NOTE:
        detail = f"can have at most {_LONGEST_NOTE} characters"
        errors.append(invalid_value("message", "", detail))
    return errors


def _validate_update(old: Object, new: Object) -> list[FieldError]:
    """Only the series of an event goes on."""
    return [
        invalid_value(_WORDS.get(field, field), new.get(field), IMMUTABLE)
        for field in _FIXED
        if (new.get(field) or None) != (old.get(field) or None)
    ]


def _cells(event: Object, now: datetime) -> Cells:
    return EVENT.printer.cells(to_core(event), now)


EVENT_V1 = Kind(
    "events.k8s.io",
    "v1",
    "Event",
    "events",
    EventV1,
    short_names=("ev",),
    stored_as=StoredAs(EVENT, to_core, from_core),
    zeros=(
        ("Event", "action reason note type deprecatedCount"),
        ("EventSource", "component host"),
    ),
    defaults=_defaults,
    validate=_validate,
    validate_update=_validate_update,
    update_replaces_rules=True,
    create_on_update=True,
    printer=Printer(EVENT.printer.columns, _cells),
    selectable=paths(
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ),
    record=True,
)
KINDS = (EVENT_V1,)
