"""Rules for resource names and amounts: requests and limits of containers and pods.

Mirrors ``validateResourceRequirements`` and the names of ``pkg/apis/core/helper``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_found_field,
    not_supported,
    required,
)
from netlab.api.pod_resources import container_requests
from netlab.api.pods import PodSpec
from netlab.api.quantities import format_quantity, parse_quantity
from netlab.api.validation.numbers import NOT_NEGATIVE
from netlab.errors import UnreadableError

NameRule: TypeAlias = Callable[[str, str], list[FieldError]]
"""(name, path) -> errors."""

_CONTAINER: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED: Final = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_QUOTA: Final = _COUNTED | {
    "cpu",
    "memory",
    "ephemeral-storage",
    *(f"requests.{name}" for name in ("cpu", "memory", "storage", "ephemeral-storage")),
    *(f"limits.{name}" for name in ("cpu", "memory", "ephemeral-storage")),
}
_STANDARD: Final = _QUOTA | {"storage"}
_HUGE_PAGES: Final = "hugepages-"
_POD_LEVEL: Final = ("cpu", _HUGE_PAGES, "memory")


def validate_resource_name(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with a resource name of any kind."""
    errors = [invalid_value(path, name, message) for message in names.qualified_name(name)]
    standard = name in _STANDARD or name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))
    if not errors and "/" not in name and not standard:
        detail = "must be a standard resource type or fully qualified"
        errors.append(invalid_value(path, name, detail))
    return errors


def validate_container_resource_name(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with a name in a container's requests or limits."""
    errors = validate_resource_name(name, path)
    if "/" not in name:
        if name not in _CONTAINER and not name.startswith(_HUGE_PAGES):
            errors.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif "kubernetes.io/" not in name and name.startswith("requests."):
        detail = "doesn't follow extended resource name standard"
        errors.append(invalid_value(path, name, detail))
    return errors


def validate_quota_resource_name(name: str, path: str) -> list[FieldError]:
    """Return what is wrong with a name in a quota."""
    errors = validate_resource_name(name, path)
    standard = name in _QUOTA or name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))
    if "/" not in name and not standard:
        errors.append(invalid_value(path, name, "must be a standard resource for quota"))
    return errors


def is_standard_quota_name(name: str) -> bool:
    """True for the quota names that Kubernetes itself gives a meaning."""
    return name in _QUOTA or name.startswith((_HUGE_PAGES, f"requests.{_HUGE_PAGES}"))


def _validate_pod_resource_name(name: str, path: str) -> list[FieldError]:
    if name in _POD_LEVEL or name.startswith(_HUGE_PAGES):
        return []
    return [not_supported(path, name, _POD_LEVEL)]


def validate_amount(name: str, amount: Any, path: str) -> list[FieldError]:
    """Return what is wrong with the amount of a resource."""
    quantity = parse_quantity(amount)
    errors = []
    if quantity.value < 0:
        errors.append(invalid_value(path, str(quantity), NOT_NEGATIVE))
    whole = name in _COUNTED or name.startswith("count/") or _is_extended(name)
    if whole and quantity.milli() % 1000:
        errors.append(invalid_value(path, str(quantity), "must be an integer"))
    return errors


def _is_extended(name: str) -> bool:
    native = "/" not in name or "kubernetes.io/" in name
    return not native and not name.startswith("requests.")


def overcommit_allowed(name: str) -> bool:
    """True when limits may exceed requests."""
    native = "/" not in name or "kubernetes.io/" in name
    return native and not name.startswith(_HUGE_PAGES)


def validate_resources(
    resources: Mapping[str, Any], path: str, claims: frozenset[str] = frozenset()
) -> list[FieldError]:
    """Return what is wrong with a container's requests, limits and claims; claims: the pod's."""
    errors = _validate_requirements(resources, path, validate_container_resource_name)
    return errors + _validate_claims(resources, f"{path}.claims", claims)


def _validate_requirements(
    resources: Mapping[str, Any], path: str, rule: NameRule
) -> list[FieldError]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors = []
    for name, amount in limits.items():
        errors += _validate_entry(name, amount, f"{path}.limits[{name}]", rule)
    for name, amount in requests.items():
        errors += _validate_entry(name, amount, f"{path}.requests[{name}]", rule)
        errors += _against_limit(name, amount, limits, path)
    named = {*limits, *requests}
    if not named & {"cpu", "memory"} and any(name.startswith(_HUGE_PAGES) for name in named):
        errors.append(forbidden_field(path, "HugePages require cpu or memory"))
    return errors


def _validate_entry(name: str, amount: Any, path: str, rule: NameRule) -> list[FieldError]:
    errors = rule(name, path) + validate_amount(name, amount, path)
    if name.startswith(_HUGE_PAGES):
        errors += _validate_huge_pages(name, amount, path)
    return errors


def _validate_huge_pages(name: str, amount: Any, path: str) -> list[FieldError]:
    quantity = parse_quantity(amount)
    try:
        page = parse_quantity(name.removeprefix(_HUGE_PAGES)).value
    except ValueError:
        page = Decimal(0)
    if page > 0 and quantity.value % page == 0:
        return []
    detail = f"{quantity} is not positive integer multiple of {name}"
    return [invalid_value(path, str(quantity), detail)]


def _against_limit(
    name: str, amount: Any, limits: Mapping[str, Any], path: str
) -> list[FieldError]:
    wanted = parse_quantity(amount)
    if name not in limits:
        if overcommit_allowed(name):
            return []
        return [required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    limit = parse_quantity(limits[name])
    if not overcommit_allowed(name):
        rule, broken = "must be equal to", wanted.value != limit.value
    else:
        rule, broken = "must be less than or equal to", wanted.value > limit.value
    if not broken:
        return []
    detail = f"{rule} {name} limit of {limit}"
    return [invalid_value(f"{path}.requests", str(wanted), detail)]


def _validate_claims(
    resources: Mapping[str, Any], path: str, known: frozenset[str]
) -> list[FieldError]:
    errors = []
    for index, claim in enumerate(resources.get("claims") or ()):
        name = claim.get("name") or ""
        if not name:
            errors.append(required(f"{path}[{index}]"))
        elif name not in known:
            errors.append(not_found_field(f"{path}[{index}]", name))
    return errors


def validate_pod_resources(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with the resources of a pod as a whole; path is that of the spec."""
    resources = spec.get("resources")
    if resources is None:
        return []
    here = f"{path}.resources"
    errors = []
    if resources.get("claims"):
        detail = "claims cannot be set for Resources at pod-level"
        errors.append(forbidden_field(f"{here}.claims", detail))
    errors += _validate_requirements(resources, here, _validate_pod_resource_name)
    return errors + _against_containers(spec, resources, here)


def _against_containers(
    spec: Mapping[str, Any], resources: Mapping[str, Any], path: str
) -> list[FieldError]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    errors = []
    try:
        together = container_requests(PodSpec.parse(dict(spec)))
    except UnreadableError:
        return []  # something that every container needs is missing, and told elsewhere
    for name, wanted in together.items():
        given = parse_quantity(requests.get(name, "0"))
        if wanted.value > given.value:
            detail = f"must be greater than or equal to aggregate container requests of {wanted}"
            errors.append(invalid_value(f"{path}.requests[{name}]", str(given), detail))
    for index, container in enumerate(spec.get("containers") or ()):
        own = (container.get("resources") or {}).get("limits") or {}
        for name, amount in own.items():
            if name not in limits:
                continue
            limit, bound = parse_quantity(amount), parse_quantity(limits[name])
            if limit.value > bound.value:
                detail = f"must be less than or equal to pod limits of {format_quantity(bound)}"
                where = f"{path}.containers[{index}][{name}].limits"
                errors.append(invalid_value(where, str(limit), detail))
    return errors
