"""Build the Table of a list of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netlab.api.kind import Kind
from netlab.api.printing import Cells, Printer, metadata
from netlab.api.view import UNREADABLE, Object


def table_for(
    kind: Kind[Any],
    objects: Iterable[Object],
    now: datetime,
    *,
    include_object: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
) -> Object:
    """Return the Table of ``objects``, one row each, in their order.

    include_object: what each row carries beside its cells: ``None``, ``Metadata`` (a
    PartialObjectMetadata) or ``Object``. list_metadata: the list's own metadata
    (resourceVersion, continue, …); a single object's Table carries its resourceVersion instead.
    """
    printer = kind.printer
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": [column.definition() for column in printer.columns],
        "rows": [_row(printer, obj, now, include_object) for obj in objects],
    }


def _unreadable_cells(printer: Printer, obj: Object) -> Cells:
    name = metadata(obj).get("name", "") if isinstance(obj.get("metadata"), dict) else ""
    return [str(name), *["<unreadable>"] * (len(printer.columns) - 1)]


def _row(printer: Printer, obj: Object, now: datetime, include_object: str) -> Object:
    try:
        row: Object = {"cells": printer.cells(obj, now)}
        conditions = printer.conditions(obj) if printer.conditions else []
    except UNREADABLE:
        row, conditions = {"cells": _unreadable_cells(printer, obj)}, []
    if conditions:
        row["conditions"] = conditions
    if include_object == "Object":
        row["object"] = obj
    elif include_object == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata(obj),
        }
    return row
