"""Event: something that happened to an object.

Mirrors ``pkg/registry/core/event`` and ``ValidateEventCreate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from netlab.api.core import Event
from netlab.api.durations import age
from netlab.api.field_errors import FieldError, invalid_value
from netlab.api.field_selectors import paths, text_at
from netlab.api.kind import Kind
from netlab.api.printing import Cells, Column, Printer, name_of, wide
from netlab.api.view import Object


def _defaults(new: Object) -> None:
    for struct in ("involvedObject", "source"):
        new.setdefault(struct, {})
    for text in ("reportingComponent", "reportingInstance"):
        new.setdefault(text, "")


def _validate(event: Object) -> list[FieldError]:
    """An Event lives in the namespace of what it tells about."""
    namespace = (event.get("metadata") or {}).get("namespace") or ""
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    # events about cluster-scoped objects live in the namespace default
    if involved == namespace or (not involved and namespace in ("default", "kube-system")):
        return []
    return [invalid_value("involvedObject.namespace", involved, "does not match event.namespace")]


def _source(event: Object) -> str:
    return text_at("source", "component")(event) or text_at("reportingComponent")(event)


COLUMNS = (
    Column("Last Seen", description="When it happened last."),
    Column("Type", description="Normal or Warning."),
    Column("Reason", description="What happened, in one word."),
    Column("Object", description="What it happened to."),
    wide("Subobject", description="The part of the object it happened to."),
    wide("Source", description="Who reports it."),
    Column("Message", description="What happened, for people."),
    wide("First Seen", description="When it happened first."),
    wide("Count", description="How often it happened."),
    Column("Name", format="name", priority=1, description="Name of the event."),
)


def _cells(event: Object, now: datetime) -> Cells:
    first = age(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = age(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    series = event.get("series")
    if series:
        last = age(series.get("lastObservedTime"), now)
        count = series.get("count", 0)
    involved = event.get("involvedObject") or {}
    target = str(involved.get("kind", "")).lower()
    if involved.get("name"):
        target = f"{target}/{involved['name']}"
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        _source_text(event),
        str(event.get("message", "")).strip(),
        first,
        count,
        name_of(event),
    ]


def _source_text(event: Mapping[str, Any]) -> str:
    """Who reports an event: ``kubelet, node0`` or ``replicaset-controller``."""
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


EVENT = Kind(
    "",
    "v1",
    "Event",
    "events",
    Event,
    short_names=("ev",),
    zeros=(
        ("Event", "reason message count type action"),
        ("EventSource", "component host"),
    ),
    defaults=_defaults,
    validate=_validate,
    create_on_update=True,
    printer=Printer(COLUMNS, _cells),
    selectable={
        **paths(
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ),
        "source": _source,
    },
    record=True,
)
KINDS = (EVENT,)
