"""LimitRange and ResourceQuota: how much a pod and a namespace may use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from netlab.api.kind import Kind
from netlab.api.kinds.counted import counted_by_name
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of, part
from netlab.api.quantities import parse_quantity
from netlab.api.quota import LimitRange, ResourceQuota
from netlab.api.subresources import STATUS
from netlab.api.validation.quota import (
    validate_limit_range,
    validate_resource_quota,
    validate_resource_quota_update,
)
from netlab.api.view import Object


def _limit_range_defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec["limits"] = [_limit_item(item) for item in spec.get("limits") or ()]
    new["spec"] = spec


def _limit_item(written: Mapping[str, Any]) -> Object:
    """A container without a limit gets the largest; one without a request gets its limit."""
    if written.get("type") != "Container":
        return dict(written)
    default = {**(written.get("max") or {}), **(written.get("default") or {})}
    request = {**(written.get("min") or {}), **default, **(written.get("defaultRequest") or {})}
    filled = {"default": default, "defaultRequest": request}
    return {**written, **{field: amounts for field, amounts in filled.items() if amounts}}


def _quota_defaults(new: Object) -> None:
    new.setdefault("spec", {})
    new.setdefault("status", {})


def _begin_quota(obj: Object) -> None:
    obj["status"] = {}


def _quota_cells(quota: Object, now: datetime) -> Cells:
    hard, used = part(quota, "status", "hard"), part(quota, "status", "used")
    texts = {
        name: f"{name}: {parse_quantity(used.get(name, 0))}/{parse_quantity(hard[name])}"
        for name in sorted(hard)
    }
    limits = [text for name, text in texts.items() if name.startswith("limits.")]
    requests = [text for name, text in texts.items() if not name.startswith("limits.")]
    return [name_of(quota), ", ".join(requests), ", ".join(limits), age_of(quota, now)]


LIMIT_RANGE = Kind(
    "",
    "v1",
    "LimitRange",
    "limitranges",
    LimitRange,
    short_names=("limits",),
    defaults=_limit_range_defaults,
    validate=validate_limit_range,
)
RESOURCE_QUOTA = Kind(
    "",
    "v1",
    "ResourceQuota",
    "resourcequotas",
    ResourceQuota,
    short_names=("quota",),
    subresources=(STATUS,),
    defaults=_quota_defaults,
    validate=validate_resource_quota,
    validate_update=validate_resource_quota_update,
    prepare_create=_begin_quota,
    returns_deleted=True,
    printer=Printer(
        (
            NAME,
            Column("Request", description="Used and bound of requests and of counts of objects."),
            Column("Limit", description="Used and bound of limits."),
            AGE,
        ),
        _quota_cells,
    ),
    counting=counted_by_name("resourcequotas"),
)
KINDS = (LIMIT_RANGE, RESOURCE_QUOTA)
