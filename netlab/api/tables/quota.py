"""Rows of ResourceQuota, NodeMetrics and PodMetrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from netlab.api.quantities import Family, Quantity, parse_quantity
from netlab.api.tables.columns import AGE, NAME, Cells, Column, Printer, age_of, name_of, part
from netlab.api.view import Object

RESOURCE_QUOTA_COLUMNS = (
    NAME,
    Column("Request", description="Used and bound of requests and of counts of objects."),
    Column("Limit", description="Used and bound of limits."),
    AGE,
)
METRICS_COLUMNS = (
    NAME,
    Column("cpu", description="Cores used."),
    Column("memory", description="Working set."),
    Column("Window", format="duration", description="The time over which it was measured."),
)


def resource_quota_cells(quota: Object, now: datetime) -> Cells:
    """Return the cells of ``RESOURCE_QUOTA_COLUMNS``."""
    hard, used = part(quota, "status", "hard"), part(quota, "status", "used")
    texts = {
        name: f"{name}: {parse_quantity(used.get(name, 0))}/{parse_quantity(hard[name])}"
        for name in sorted(hard)
    }
    limits = [text for name, text in texts.items() if name.startswith("limits.")]
    requests = [text for name, text in texts.items() if not name.startswith("limits.")]
    return [name_of(quota), ", ".join(requests), ", ".join(limits), age_of(quota, now)]


def node_metrics_cells(metrics: Object, now: datetime) -> Cells:
    """Return the cells of ``METRICS_COLUMNS``."""
    return [name_of(metrics), *_sums([metrics]), metrics.get("window", "")]


def pod_metrics_cells(metrics: Object, now: datetime) -> Cells:
    """Return the cells of ``METRICS_COLUMNS``, summed over the containers."""
    sums = _sums(metrics.get("containers") or ())
    return [name_of(metrics), *sums, metrics.get("window", "")]


def _sums(owners: Iterable[Mapping[str, Any]]) -> list[str]:
    amounts = [part(owner, "usage") for owner in owners]
    return [_sum(each.get(name, 0) for each in amounts) for name in ("cpu", "memory")]


def _sum(written: Iterable[Any]) -> str:
    parsed = [parse_quantity(text) for text in written]
    family = parsed[-1].family if parsed else Family.DECIMAL
    return str(Quantity(sum((each.value for each in parsed), Decimal(0)), family))


RESOURCE_QUOTA_PRINTER = Printer(RESOURCE_QUOTA_COLUMNS, resource_quota_cells)
NODE_METRICS_PRINTER = Printer(METRICS_COLUMNS, node_metrics_cells)
POD_METRICS_PRINTER = Printer(METRICS_COLUMNS, pod_metrics_cells)
