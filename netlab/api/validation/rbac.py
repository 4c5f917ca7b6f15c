"""Rules for roles and role bindings.

Mirrors ``pkg/apis/rbac/validation``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    MAX_TOLD,
    FieldError,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.rbac import RBAC_GROUP
from netlab.api.validation.workloads import validate_label_selector
from netlab.api.view import Object

SUBJECT_KINDS: Final = ("ServiceAccount", "User", "Group")


def path_segment(name: str) -> list[str]:
    """Return what keeps a name from being part of a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{mark}'" for mark in ("/", "%") if mark in name]


def validate_role(role: Object) -> list[FieldError]:
    """Return what is wrong with a Role, metadata aside."""
    return list(_rule_errors(role.get("rules") or (), namespaced=True))


def validate_cluster_role(role: Object) -> list[FieldError]:
    """Return what is wrong with a ClusterRole, metadata aside."""
    errors = list(_rule_errors(role.get("rules") or (), namespaced=False))
    aggregation = role.get("aggregationRule")
    if aggregation is not None:
        path = "aggregationRule.clusterRoleSelectors"
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            errors.append(required(path, detail))
        for index, selector in enumerate(selectors):
            errors += validate_label_selector(selector, f"{path}[{index}]")
    return errors


def _rule_errors(rules: Iterable[Mapping[str, Any]], *, namespaced: bool) -> Iterable[FieldError]:
    told = 0
    for index, rule in enumerate(rules):
        for error in _one_rule(rule, f"rules[{index}]", namespaced):
            yield error
            told += 1
        if told > MAX_TOLD:
            return


def _one_rule(rule: Mapping[str, Any], path: str, namespaced: bool) -> Iterable[FieldError]:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        where = f"{path}.nonResourceURLs"
        if namespaced:
            yield invalid_value(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid_value(where, urls, detail)
        return
    if not rule.get("apiGroups"):
        detail = "resource rules must supply at least one api group"
        yield required(f"{path}.apiGroups", detail)
    if not rule.get("resources"):
        detail = "resource rules must supply at least one resource"
        yield required(f"{path}.resources", detail)


def validate_role_binding(binding: Object) -> list[FieldError]:
    """Return what is wrong with a RoleBinding, metadata aside."""
    return _binding_errors(binding, ("ClusterRole", "Role"), namespaced=True)


def validate_cluster_role_binding(binding: Object) -> list[FieldError]:
    """Return what is wrong with a ClusterRoleBinding, metadata aside."""
    return _binding_errors(binding, ("ClusterRole",), namespaced=False)


def _binding_errors(
    binding: Object, role_kinds: tuple[str, ...], *, namespaced: bool
) -> list[FieldError]:
    ref = binding.get("roleRef") or {}
    errors = []
    if ref.get("apiGroup") != RBAC_GROUP:
        errors.append(not_supported("roleRef.apiGroup", ref.get("apiGroup") or "", [RBAC_GROUP]))
    if ref.get("kind") not in role_kinds:
        errors.append(not_supported("roleRef.kind", ref.get("kind") or "", role_kinds))
    if not ref.get("name"):
        errors.append(required("roleRef.name"))
    else:
        found = path_segment(ref["name"])
        errors += [invalid_value("roleRef.name", ref["name"], message) for message in found]
    for index, subject in enumerate(binding.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced)
        if len(errors) > MAX_TOLD:
            break
    return errors


def _subject_errors(
    subject: Mapping[str, Any], path: str, namespaced: bool
) -> Iterable[FieldError]:
    kind, name, group = (subject.get(key) or "" for key in ("kind", "name", "apiGroup"))
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            for message in names.dns1123_subdomain(name):
                yield invalid_value(f"{path}.name", name, message)
        if group:
            yield not_supported(f"{path}.apiGroup", group, [""])
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in SUBJECT_KINDS:
        if group != RBAC_GROUP:
            yield not_supported(f"{path}.apiGroup", group, [RBAC_GROUP])
    else:
        yield not_supported(f"{path}.kind", kind, SUBJECT_KINDS)


def validate_binding_update(old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with a change: the role that is given stays."""
    if old.get("roleRef") == new.get("roleRef"):
        return []
    return [invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")]
