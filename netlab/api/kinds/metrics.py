"""NodeMetrics and PodMetrics: what is used, measured when it is asked for, never stored.

Mirrors ``metrics.k8s.io/v1beta1`` of metrics-server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from netlab.api.kind import READ_ONLY, Kind
from netlab.api.meta import AnyObject
from netlab.api.printing import NAME, Cells, Column, Printer, name_of, part
from netlab.api.quantities import Family, Quantity, parse_quantity
from netlab.api.view import Object

GROUP: Final = "metrics.k8s.io"
VERSION: Final = "v1beta1"
_COLUMNS: Final = (
    NAME,
    Column("cpu", description="Cores used."),
    Column("memory", description="Working set."),
    Column("Window", format="duration", description="The time over which it was measured."),
)


def _node_cells(metrics: Object, now: datetime) -> Cells:
    return [name_of(metrics), *_sums([metrics]), metrics.get("window", "")]


def _pod_cells(metrics: Object, now: datetime) -> Cells:
    sums = _sums(metrics.get("containers") or ())
    return [name_of(metrics), *sums, metrics.get("window", "")]


def _sums(owners: Iterable[Mapping[str, Any]]) -> list[str]:
    amounts = [part(owner, "usage") for owner in owners]
    return [_sum(each.get(name, 0) for each in amounts) for name in ("cpu", "memory")]


def _sum(written: Iterable[Any]) -> str:
    parsed = [parse_quantity(text) for text in written]
    family = parsed[-1].family if parsed else Family.DECIMAL
    return str(Quantity(sum((each.value for each in parsed), Decimal(0)), family))


NODE_METRICS = Kind(
    GROUP,
    VERSION,
    "NodeMetrics",
    "nodes",
    AnyObject,
    namespaced=False,
    verbs=READ_ONLY,
    singular_name="",
    stored=False,
    printer=Printer(_COLUMNS, _node_cells),
)
POD_METRICS = Kind(
    GROUP,
    VERSION,
    "PodMetrics",
    "pods",
    AnyObject,
    verbs=READ_ONLY,
    singular_name="",
    stored=False,
    printer=Printer(_COLUMNS, _pod_cells),
)
KINDS = (NODE_METRICS, POD_METRICS)
