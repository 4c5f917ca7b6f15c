"""Roles and role bindings: who may do what.

Mirrors ``pkg/registry/rbac``. That nobody gives rights he does not have is checked beside the
registry (``apiserver.auth.escalation``), because it needs to know who asks.
"""

from __future__ import annotations

from datetime import datetime

from netlab.api.kind import Kind
from netlab.api.printing import AGE, NAME, Cells, Column, Printer, age_of, name_of, part, wide
from netlab.api.rbac import RBAC_GROUP, ClusterRole, ClusterRoleBinding, Role, RoleBinding
from netlab.api.validation.rbac import (
    path_segment,
    validate_binding_update,
    validate_cluster_role,
    validate_cluster_role_binding,
    validate_role,
    validate_role_binding,
)
from netlab.api.view import Object


def _complete_references(binding: Object) -> None:
    ref = binding.get("roleRef")
    if isinstance(ref, dict) and not ref.get("apiGroup"):
        binding["roleRef"] = {**ref, "apiGroup": RBAC_GROUP}
    if binding.get("subjects"):
        binding["subjects"] = [_completed(subject) for subject in binding["subjects"]]


def _completed(subject: Object) -> Object:
    if subject.get("apiGroup") or subject.get("kind") not in ("User", "Group"):
        return subject
    return {**subject, "apiGroup": RBAC_GROUP}


def _subjects(binding: Object, kind: str) -> str:
    found = [each for each in binding.get("subjects") or () if each.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{each.get('namespace', '')}/{each.get('name', '')}" for each in found)
    return ", ".join(each.get("name", "") for each in found)


def _binding_cells(binding: Object, now: datetime) -> Cells:
    ref = part(binding, "roleRef")
    return [
        name_of(binding),
        f"{ref.get('kind', '')}/{ref.get('name', '')}",
        age_of(binding, now),
        _subjects(binding, "User"),
        _subjects(binding, "Group"),
        _subjects(binding, "ServiceAccount"),
    ]


_BINDING_PRINTER = Printer(
    (
        NAME,
        Column("Role", description="The role that is given."),
        AGE,
        wide("Users", description="Users in the binding."),
        wide("Groups", description="Groups in the binding."),
        wide("ServiceAccounts", description="ServiceAccounts in the binding."),
    ),
    _binding_cells,
)

ROLE = Kind(RBAC_GROUP, "v1", "Role", "roles", Role, name_rule=path_segment, validate=validate_role)
CLUSTER_ROLE = Kind(
    RBAC_GROUP,
    "v1",
    "ClusterRole",
    "clusterroles",
    ClusterRole,
    namespaced=False,
    name_rule=path_segment,
    validate=validate_cluster_role,
)
ROLE_BINDING = Kind(
    RBAC_GROUP,
    "v1",
    "RoleBinding",
    "rolebindings",
    RoleBinding,
    defaults=_complete_references,
    name_rule=path_segment,
    validate=validate_role_binding,
    validate_update=validate_binding_update,
    printer=_BINDING_PRINTER,
)
CLUSTER_ROLE_BINDING = Kind(
    RBAC_GROUP,
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    ClusterRoleBinding,
    namespaced=False,
    defaults=_complete_references,
    name_rule=path_segment,
    validate=validate_cluster_role_binding,
    validate_update=validate_binding_update,
    printer=_BINDING_PRINTER,
)
KINDS = (ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING)
