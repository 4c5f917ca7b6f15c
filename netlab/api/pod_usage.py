"""What one pod counts for in a ResourceQuota.

Mirrors the pod evaluator of ``pkg/quota/v1/evaluator/core``. netlab leaves out the scopes
CrossNamespacePodAffinity and VolumeAttributesClass: no object matches them.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from netlab.api.pod_resources import Amounts, parse_amounts, pod_limits, pod_requests, qos_class
from netlab.api.pods import PodSpec
from netlab.api.quantities import Quantity
from netlab.api.view import Object

_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
# A pod must write these for each container when a quota counts them: an early decision of
# Kubernetes that it keeps.
_MUST_BE_WRITTEN: Final = frozenset(
    f"{part}{name}" for part in ("", "requests.", "limits.") for name in ("cpu", "memory")
)
_ONE: Final = Quantity(Decimal(1))


def pod_amounts(pod: Object) -> Amounts:
    """Return what the pod counts for: nothing any more once it has ended."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    found = PodSpec.parse_readable([pod.get("spec") or {}])
    if not found:
        return {"pods": _ONE}  # one that cannot be read counts, but nobody knows its amounts
    return _usage(pod_requests(found[0]), pod_limits(found[0]))


def _usage(requests: Amounts, limits: Amounts) -> Amounts:
    usage: Amounts = {"pods": _ONE}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
        usage[f"requests.{name}"] = amount
    return usage | {f"limits.{name}": limits[name] for name in _COMPUTE if name in limits}


def pod_in_scope(pod: Object, scope: str, operator: str, values: tuple[str, ...]) -> bool:
    """Return whether a quota with that scope counts the pod."""
    spec = pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(spec) == "BestEffort") == (scope == "BestEffort")
    if scope != "PriorityClass":
        return False
    name = spec.get("priorityClassName") or ""
    if operator == "In":
        return name in values
    if operator == "NotIn":
        return name not in values
    return bool(name) == (operator == "Exists")


def missing_amounts(pod: Object, bounded: Iterable[str]) -> str:
    """Return which bounded amounts the containers leave out: ``cpu for: a,b; …``."""
    needed = sorted(_MUST_BE_WRITTEN.intersection(bounded))
    view = PodSpec.parse(pod.get("spec") or {})
    missing: dict[str, set[str]] = {}
    for container in (*view.containers, *view.init_containers):
        given = _usage(
            parse_amounts(container.resources.requests), parse_amounts(container.resources.limits)
        )
        for name in needed:
            if name not in given:
                missing.setdefault(name, set()).add(container.name)
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
