"""Decides the rules of ClusterRoles that take theirs from others.

Mirrors kube-controller-manager's ``clusterroleaggregation``: ``admin``, ``edit`` and ``view`` have
no rules of their own but those of every ClusterRole with their label, so that whoever adds a kind
adds the rights to it. Rules are taken in order of the roles' names, each once. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.api.kinds.rbac import CLUSTER_ROLE
from netlab.api.rbac import ClusterRole, PolicyRule
from netlab.api.selectors import label_matcher
from netlab.controllers.actions import NOTHING, Decision, Patch
from netlab.errors import ApiError


def aggregated_rules(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """Return the rules that the role's selectors gather, without its own."""
    if role.aggregation_rule is None:
        return role.rules
    others = sorted(roles, key=lambda each: each.metadata.name)
    rules: dict[PolicyRule, None] = {}
    for selector in role.aggregation_rule.cluster_role_selectors:
        try:
            matcher = label_matcher(selector)
        except ApiError:
            continue  # validation refuses it now; an older object may have it
        for other in others:
            if other.metadata.name != role.metadata.name and matcher.matches(other.metadata.labels):
                rules.update(dict.fromkeys(other.rules))
    return tuple(rules)


def decide_cluster_role(role: ClusterRole | None, roles: Iterable[ClusterRole]) -> Decision:
    """Return the change that gives the role the rules it gathers."""
    if role is None or role.aggregation_rule is None:
        return NOTHING
    rules = aggregated_rules(role, roles)
    if rules == role.rules:
        return NOTHING
    patch = {"rules": [rule.to_object() for rule in rules]}
    return Decision((Patch(CLUSTER_ROLE, None, role.metadata.name, patch, gone_ok=True),))
