"""Rules for LimitRanges and ResourceQuotas.

Mirrors ``ValidateLimitRange`` and ``ValidateResourceQuota``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)
from netlab.api.pod_resources import Amounts, parse_amounts
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.validation.resources import (
    is_standard_quota_name,
    overcommit_allowed,
    validate_amount,
    validate_container_resource_name,
    validate_quota_resource_name,
    validate_resource_name,
)
from netlab.api.view import Object

LIMIT_TYPES: Final = ("Container", "PersistentVolumeClaim", "Pod")
SCOPES: Final = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_PAIRS: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_BARE_SCOPES: Final = frozenset(SCOPES) - {"PriorityClass", "VolumeAttributesClass"}
_POD_AMOUNTS: Final = frozenset(
    f"{part}{name}" for part in ("", "requests.", "limits.") for name in ("cpu", "memory")
)


def validate_limit_range(limit_range: Object) -> list[FieldError]:
    """Return what is wrong with a LimitRange, metadata aside."""
    errors = []
    used: set[str] = set()
    for index, item in enumerate((limit_range.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        errors += _validate_type(kind, f"{path}.type")
        if kind in used:
            errors.append(duplicate(f"{path}.type", kind))
        used.add(kind)
        errors += _validate_names(item, kind, path)
        errors += _validate_bounds(item, path)
    return errors


def _validate_type(kind: str, path: str) -> list[FieldError]:
    errors = [invalid_value(path, kind, message) for message in names.qualified_name(kind)]
    if not errors and "/" not in kind and kind not in LIMIT_TYPES:
        detail = "must be a standard limit type or fully qualified"
        errors.append(invalid_value(path, kind, detail))
    return errors


def _validate_names(item: Mapping[str, Any], kind: str, path: str) -> list[FieldError]:
    rule = (
        validate_container_resource_name if kind in ("Pod", "Container") else validate_resource_name
    )
    errors = []
    for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
        amounts = item.get(field) or {}
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if amounts:
                detail = "may not be specified when `type` is 'Pod'"
                errors.append(forbidden_field(f"{path}.{field}", detail))
            continue
        for name in amounts:
            errors += rule(name, f"{path}.{field}[{name}]")
    if kind == "PersistentVolumeClaim":
        bounds = {*(item.get("min") or ()), *(item.get("max") or ())}
        if "storage" not in bounds:
            detail = "either minimum or maximum storage value is required, but neither was provided"
            errors.append(required(f"{path}.limits", detail))
    return errors


def _validate_bounds(item: Mapping[str, Any], path: str) -> list[FieldError]:
    least, most = parse_amounts(item.get("min") or {}), parse_amounts(item.get("max") or {})
    limit = parse_amounts(item.get("default") or {})
    request = parse_amounts(item.get("defaultRequest") or {})
    errors = []
    for field, small, small_name, large, large_name in (
        ("min", least, "min value", most, "max value"),
        ("defaultRequest", least, "min value", request, "default request value"),
        ("defaultRequest", request, "default request value", most, "max value"),
        ("defaultRequest", request, "default request value", limit, "default limit value"),
        ("default", least, "min value", limit, "default value"),
        ("default", limit, "default value", most, "max value"),
    ):
        for name in sorted({*small} & {*large}):
            if small[name].value > large[name].value:
                shown = request if field == "defaultRequest" else small
                detail = f"{small_name} {small[name]} is greater than {large_name} {large[name]}"
                errors.append(invalid_value(f"{path}.{field}[{name}]", str(shown[name]), detail))
    errors += _validate_ratios(item, least, most, path)
    for name in sorted({*limit} & {*request}):
        if not overcommit_allowed(name) and limit[name].value != request[name].value:
            detail = (
                f"default value {limit[name]} must equal to defaultRequest value"
                f" {request[name]} in {name}"
            )
            where = f"{path}.defaultRequest[{name}]"
            errors.append(invalid_value(where, str(request[name]), detail))
    return errors


def _validate_ratios(
    item: Mapping[str, Any], least: Amounts, most: Amounts, path: str
) -> list[FieldError]:
    errors = []
    ratios = parse_amounts(item.get("maxLimitRequestRatio") or {})
    for name, ratio in sorted(ratios.items()):
        where = f"{path}.maxLimitRequestRatio[{name}]"
        if ratio.value < 1:
            errors.append(invalid_value(where, str(ratio), f"ratio {ratio} is less than 1"))
        if name in least and name in most and least[name].value > 0:
            bound = most[name].value / least[name].value
            if ratio.value > bound:
                detail = f"ratio {ratio} is greater than max/min = {bound:f}"
                errors.append(invalid_value(where, str(ratio), detail))
    return errors


def validate_resource_quota(quota: Object) -> list[FieldError]:
    """Return what is wrong with a ResourceQuota, metadata aside."""
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    hard = spec.get("hard") or {}
    errors = _validate_amounts(hard, "spec.hard")
    errors += _validate_scopes(spec.get("scopes") or (), hard)
    errors += _validate_selector(spec, hard)
    for part in ("hard", "used"):
        errors += _validate_amounts(status.get(part) or {}, f"status.{part}")
    return errors


def _validate_amounts(amounts: Mapping[str, Any], path: str) -> list[FieldError]:
    return [
        error
        for name, amount in amounts.items()
        for where in (f"{path}[{name}]",)
        for error in (
            *validate_quota_resource_name(name, where),
            *validate_amount(name, amount, where),
        )
    ]


def _validate_scopes(scopes: Sequence[str], hard: Mapping[str, Any]) -> list[FieldError]:
    path = "spec.scopes"
    errors = []
    for scope in scopes:
        if scope not in SCOPES:
            errors.append(invalid_value(path, list(scopes), "unsupported scope"))
        errors += [
            invalid_value(path, list(scopes), "unsupported scope applied to resource")
            for name in sorted(hard)
            if is_standard_quota_name(name) and not _scope_fits(scope, name)
        ]
    return errors + _conflicts(scopes, scopes)


def _scope_fits(scope: str, name: str) -> bool:
    if scope in ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass"):
        return name == "pods" or name in _POD_AMOUNTS or "ephemeral-storage" in name
    if scope in ("BestEffort", "CrossNamespacePodAffinity"):
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return True


def _conflicts(scopes: Sequence[str], shown: Sequence[str]) -> list[FieldError]:
    return [
        invalid_value("spec.scopes", list(shown), "conflicting scopes")
        for pair in _PAIRS
        if set(pair) <= set(scopes)
    ]


def _validate_selector(spec: Mapping[str, Any], hard: Mapping[str, Any]) -> list[FieldError]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    errors = []
    expressions = selector.get("matchExpressions") or ()
    for expression in expressions:
        scope = expression.get("scopeName") or ""
        if scope not in SCOPES:
            errors.append(invalid_value(f"{path}.scopeName", scope, "unsupported scope"))
        errors += [
            invalid_value(path, selector, "unsupported scope applied to resource")
            for name in sorted(hard)
            if is_standard_quota_name(name) and not _scope_fits(scope, name)
        ]
        errors += _validate_operator(expression, scope, path)
    scopes = [expression.get("scopeName") or "" for expression in expressions]
    return errors + _conflicts(scopes, spec.get("scopes") or ())


def _validate_operator(expression: Mapping[str, Any], scope: str, path: str) -> list[FieldError]:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    errors = []
    if scope in _BARE_SCOPES and operator != "Exists":
        detail = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating,"
            " ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort,"
            " ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.append(invalid_value(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn"):
        if not values:
            detail = (
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
            errors.append(required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = (
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )
            errors.append(invalid_value(f"{path}.values", values, detail))
    else:
        errors.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    return errors


def validate_resource_quota_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse a change of the scopes: what was counted so far would no longer be known."""
    before = (old.get("spec") or {}).get("scopes") or []
    after = (new.get("spec") or {}).get("scopes") or []
    return [] if set(before) == set(after) else [invalid_value("spec.scopes", after, IMMUTABLE)]
