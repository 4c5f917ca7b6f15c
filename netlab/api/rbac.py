"""Views of what gives rights: Role, ClusterRole and their bindings.

Fields here are the fields netlab acts on (see ``view``); of these kinds it acts on all.
"""

from __future__ import annotations

from typing import Final

import msgspec

from netlab.api.meta import AnyObject, LabelSelector
from netlab.api.view import View

field = msgspec.field

RBAC_GROUP: Final = "rbac.authorization.k8s.io"


class PolicyRule(View, frozen=True, kw_only=True):
    """Verbs on resources of API groups, or on paths (``non_resource_urls``). ``*`` means all.

    resource_names: only these; empty for all. A path may end in ``*``.
    """

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = field(default=(), name="nonResourceURLs")


class AggregationRule(View, frozen=True, kw_only=True):
    """Which ClusterRoles a ClusterRole takes its rules from: those that any selector selects."""

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class Role(AnyObject, frozen=True, kw_only=True):
    """Rules in one namespace."""

    rules: tuple[PolicyRule, ...] = ()


class ClusterRole(AnyObject, frozen=True, kw_only=True):
    """Rules for the whole cluster, or for a namespace that binds them."""

    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class Subject(View, frozen=True, kw_only=True):
    """Whom a binding gives rights to; kind is User, Group or ServiceAccount.

    api_group: follows from the kind, and is checked when the binding is written.
    """

    kind: str = ""
    api_group: str = ""
    name: str = ""
    namespace: str = ""


class RoleRef(View, frozen=True, kw_only=True):
    """The role that is given; kind is Role or ClusterRole."""

    api_group: str = ""
    kind: str = ""
    name: str = ""


class RoleBinding(AnyObject, frozen=True, kw_only=True):
    """Gives a role in one namespace."""

    role_ref: RoleRef = field(default_factory=RoleRef)
    subjects: tuple[Subject, ...] = ()


class ClusterRoleBinding(AnyObject, frozen=True, kw_only=True):
    """Gives a ClusterRole everywhere."""

    role_ref: RoleRef = field(default_factory=RoleRef)
    subjects: tuple[Subject, ...] = ()
