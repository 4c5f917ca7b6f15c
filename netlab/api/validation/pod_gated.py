"""Rules for a pod that scheduling gates hold back: what it asks of its node may become stricter.

Mirrors ``validateNodeSelectorMutation`` and ``validateNodeAffinityMutation``. That is how a queue
decides where a job runs before it lets it go. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from netlab.api.field_errors import FieldError, invalid_value
from netlab.api.view import Object

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_gated_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with the new nodeSelector and node affinity of a pod's spec."""
    return [*_validate_selector(before, after), *_validate_affinity(before, after)]


def with_placement_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> Object:
    """Return the new spec with the old nodeSelector and node affinity, to compare all the rest."""
    spec = {key: value for key, value in after.items() if key not in ("nodeSelector", "affinity")}
    if "nodeSelector" in before:
        spec["nodeSelector"] = before["nodeSelector"]
    affinity = {k: v for k, v in (after.get("affinity") or {}).items() if k != "nodeAffinity"}
    if "nodeAffinity" in (before.get("affinity") or {}):
        affinity["nodeAffinity"] = before["affinity"]["nodeAffinity"]
    if affinity or before.get("affinity") == {}:
        spec["affinity"] = affinity
    return spec


def _validate_selector(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldError]:
    old, new = before.get("nodeSelector") or {}, after.get("nodeSelector") or {}
    if old.items() <= new.items():
        return []
    detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
    return [invalid_value("spec.nodeSelector", new, detail)]


def _validate_affinity(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldError]:
    old, new = _terms(before), _terms(after)
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if not old:
        return []
    if len(old) != len(new):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [invalid_value(path, new, detail)]
    detail = "only additions are allowed (no mutations or deletions)"
    return [
        invalid_value(f"{path}[{index}]", now, detail)
        for index, (was, now) in enumerate(zip(old, new, strict=True))
        if not _only_adds(was, now)
    ]


def _terms(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return list((node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())


def _only_adds(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(was.get(field) for field in fields):
        # an empty term matches nothing; any requirement would make it match more
        return not any(now.get(field) for field in fields)
    return all(
        (now.get(field) or [])[: len(was.get(field) or ())] == (was.get(field) or [])
        for field in fields
    )
