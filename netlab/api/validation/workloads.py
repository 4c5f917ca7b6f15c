"""Rules for ReplicaSets and Deployments, their selectors and templates.

Mirrors ``pkg/apis/apps/validation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.meta import LabelSelector
from netlab.api.selectors import label_matcher
from netlab.api.validation.metadata import IMMUTABLE, validate_annotations, validate_labels
from netlab.api.validation.numbers import NOT_NEGATIVE, not_negative, one_of
from netlab.api.validation.pod import validate_pod_spec
from netlab.api.view import Object
from netlab.errors import ApiError, UnreadableError

_SELECTOR_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


def validate_replica_set(replica_set: Object) -> list[FieldError]:
    """Return what is wrong with a ReplicaSet, metadata aside."""
    spec = replica_set.get("spec") or {}
    errors = _validate_counts(spec, ("replicas", "minReadySeconds"))
    errors += _validate_selector(spec)
    return errors + _validate_template(spec, "ReplicaSet")


def validate_replication_controller(controller: Object) -> list[FieldError]:
    """Return what is wrong with a ReplicationController, metadata aside."""
    spec = controller.get("spec") or {}
    errors = _validate_counts(spec, ("minReadySeconds",))
    if not spec.get("selector"):
        errors.append(required("spec.selector"))
    errors += _validate_counts(spec, ("replicas",))
    if spec.get("template") is None:
        return [*errors, required("spec.template")]
    with_labels = {**spec, "selector": {"matchLabels": spec.get("selector") or {}}}
    return errors + _validate_template(with_labels, "ReplicationController")


def validate_deployment(deployment: Object) -> list[FieldError]:
    """Return what is wrong with a Deployment, metadata aside."""
    spec = deployment.get("spec") or {}
    errors = _validate_counts(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"))
    errors += _validate_selector(spec)
    errors += _validate_template(spec, "Deployment")
    errors += _validate_strategy(spec.get("strategy") or {})
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        errors += not_negative(spec, "progressDeadlineSeconds", "spec")
        if deadline <= spec.get("minReadySeconds", 0):
            detail = "must be greater than minReadySeconds"
            errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, detail))
    return errors


def _validate_counts(spec: Mapping[str, Any], fields: tuple[str, ...]) -> list[FieldError]:
    return [error for field in fields for error in not_negative(spec, field, "spec")]


def _validate_selector(spec: Mapping[str, Any]) -> list[FieldError]:
    selector = spec.get("selector")
    path = "spec.selector"
    if selector is None:
        return [required(path)]
    errors = validate_label_selector(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid_value(path, selector, "empty selector is invalid for deployment"))
    return errors


def validate_label_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with a label selector."""
    errors = validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{index}]"
        key, operator = expression.get("key") or "", expression.get("operator") or ""
        values = expression.get("values") or ()
        if operator in ("In", "NotIn") and not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{here}.values", detail))
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden_field(f"{here}.values", detail))
        elif operator not in _SELECTOR_OPERATORS:
            detail = "not a valid selector operator"
            errors.append(invalid_value(f"{here}.operator", operator, detail))
        errors += [invalid_value(f"{here}.key", key, m) for m in names.qualified_name(key)]
        for value_index, value in enumerate(values):
            where = f"{here}.values[{value_index}]"
            errors += [invalid_value(where, value, m) for m in names.label_value(value)]
    return errors


def validate_template(template: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with a template of pods, whoever makes pods of it."""
    metadata, pod_spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = validate_labels(metadata.get("labels") or {}, f"{path}.labels")
    annotations = metadata.get("annotations") or {}
    errors += validate_annotations(annotations, f"{path}.annotations")
    errors += validate_pod_spec(pod_spec, f"{path}.spec", whole_pod=False)
    if pod_spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        errors.append(forbidden_field(f"{path}.spec.ephemeralContainers", detail))
    return errors


def _validate_template(spec: Mapping[str, Any], owner: str) -> list[FieldError]:
    """Check the template of a workload whose pods run for ever and carry its selector's labels."""
    template = spec.get("template") or {}
    metadata, pod_spec = template.get("metadata") or {}, template.get("spec") or {}
    labels = metadata.get("labels") or {}
    errors = []
    if not _selects(spec.get("selector"), labels):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid_value("spec.template.metadata.labels", labels, detail))
    errors += validate_template(template, "spec.template")
    policy = pod_spec.get("restartPolicy")
    if policy in ("Never", "OnFailure"):
        path = "spec.template.spec.restartPolicy"
        errors.append(not_supported(path, policy, ("Always",)))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {owner} is not Supported"
        errors.append(forbidden_field("spec.template.spec.activeDeadlineSeconds", detail))
    return errors


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """False when a usable selector misses the labels; a broken one is reported elsewhere.

    No selector at all selects nothing, as upstream's conversion of it does.
    """
    if selector is None:
        return False
    try:
        matcher = label_matcher(LabelSelector.parse(selector))
    except (ApiError, UnreadableError):
        return True
    return matcher.empty or matcher.matches(labels)


def _validate_strategy(strategy: Mapping[str, Any]) -> list[FieldError]:
    kind, bounds = strategy.get("type"), strategy.get("rollingUpdate")
    path = "spec.strategy"
    errors = one_of(kind, f"{path}.type", ("Recreate", "RollingUpdate"))
    if kind == "Recreate" and bounds is not None:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        errors.append(forbidden_field(f"{path}.rollingUpdate", detail))
    elif kind == "RollingUpdate":
        errors += _validate_bounds(bounds or {}, f"{path}.rollingUpdate")
    return errors


def _validate_bounds(bounds: Mapping[str, Any], path: str) -> list[FieldError]:
    unavailable, surge = bounds.get("maxUnavailable", 0), bounds.get("maxSurge", 0)
    errors = _count_or_percent(unavailable, f"{path}.maxUnavailable")
    errors += _count_or_percent(surge, f"{path}.maxSurge")
    if unavailable in (0, "0%") and surge in (0, "0%"):
        detail = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid_value(f"{path}.maxUnavailable", unavailable, detail))
    if _percent(unavailable) > 100:
        detail = "must not be greater than 100%"
        errors.append(invalid_value(f"{path}.maxUnavailable", unavailable, detail))
    return errors


LARGEST_PERCENTAGE = 1 << 31
"""What stands for a percentage of more digits than a number has."""


def _percent(value: int | str) -> int:
    """The percentage that ``value`` writes; 0 for a plain number."""
    is_percentage = isinstance(value, str) and not names.percentage(value)
    number = names.int64(str(value)[:-1]) if is_percentage else 0
    return LARGEST_PERCENTAGE if number is None else number


def _count_or_percent(value: int | str, path: str) -> list[FieldError]:
    if isinstance(value, str):
        return [invalid_value(path, value, message) for message in names.percentage(value)]
    return [invalid_value(path, value, NOT_NEGATIVE)] if value < 0 else []


def validate_selector_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse a change of the selector: pods made before would be lost."""
    before = (old.get("spec") or {}).get("selector")
    after = (new.get("spec") or {}).get("selector")
    return [] if before == after else [invalid_value("spec.selector", after, IMMUTABLE)]
