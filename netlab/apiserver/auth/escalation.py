"""Nobody gives rights that he does not have himself.

Mirrors ``pkg/registry/rbac/*/policybased``: whoever writes a role must have all its rules, or the
verb ``escalate`` on it; whoever binds a role must have all its rules, or the verb ``bind`` on it.
``system:masters`` may do both. Wired into the registry as admission, because a patch shows only
there what it would give.
"""

from __future__ import annotations

from typing import Any

from netlab.api.field_errors import forbidden, not_found
from netlab.api.kind import Kind
from netlab.api.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from netlab.api.rbac import PolicyRule, RoleRef
from netlab.api.view import Object
from netlab.apiserver.admission.attributes import Attributes, Plugin
from netlab.apiserver.auth.authorizer import MASTERS, Authorizer
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.auth.rules import EVERYTHING, compacted, describe, go_list, uncovered
from netlab.apiserver.requests import UserInfo


def escalation_plugins(authorizer: Authorizer) -> tuple[Plugin, ...]:
    """Return the rules of admission, for valid objects."""
    guard = _Guard(authorizer)
    writes = ("CREATE", "UPDATE")
    return (
        Plugin(guard.role, (ROLE, CLUSTER_ROLE), writes),
        Plugin(guard.binding, (ROLE_BINDING, CLUSTER_ROLE_BINDING), writes),
    )


class _Guard:
    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def role(self, attributes: Attributes) -> None:
        """Check a role that is to be written."""
        user, kind, obj = attributes.user, attributes.kind, attributes.object
        if MASTERS in user.groups or self._may(attributes, "escalate", kind, attributes.name):
            return
        if attributes.old is not None and _only_collectors_fields(obj, attributes.old):
            return
        view = kind.view.parse(obj)
        self._confirm(attributes, view.rules)
        if getattr(view, "aggregation_rule", None) is not None:
            owned = self._authorizer.rules(user, "")
            if uncovered(owned, EVERYTHING):
                reason = "must have cluster-admin privileges to use the aggregationRule"
                raise forbidden(kind, attributes.name, reason)

    def binding(self, attributes: Attributes) -> None:
        """Check a binding that is to be written."""
        ref: RoleRef = attributes.kind.view.parse(attributes.object).role_ref
        kind = ROLE if ref.kind == "Role" else CLUSTER_ROLE
        if MASTERS in attributes.user.groups or self._may(attributes, "bind", kind, ref.name):
            return
        if attributes.old is not None and _only_collectors_fields(
            attributes.object, attributes.old
        ):
            return
        rules = self._authorizer.bindings.rules_of_role(ref, attributes.namespace)
        if rules is None:
            raise not_found(kind, ref.name)
        self._confirm(attributes, rules)

    def _may(self, attributes: Attributes, verb: str, kind: Kind[Any], name: str) -> bool:
        access = Access(
            verb,
            group=kind.group,
            resource=kind.plural,
            namespace=attributes.namespace,
            name=name,
        )
        return self._authorizer.allows(attributes.user, access)

    def _confirm(self, attributes: Attributes, rules: tuple[PolicyRule, ...]) -> None:
        owned = self._authorizer.rules(attributes.user, attributes.namespace)
        missing = uncovered(owned, rules)
        if missing:
            reason = escalation_text(attributes.user, missing)
            raise forbidden(attributes.kind, attributes.name, reason)


def escalation_text(user: UserInfo, missing: list[PolicyRule]) -> str:
    """Return what Kubernetes says to somebody who would give the missing rights."""
    told = sorted({describe(rule) for rule in compacted(missing)})
    return (
        f'user "{user.name}" (groups={go_list(user.groups)}) is attempting to grant RBAC'
        " permissions not currently held:\n" + "\n".join(told)
    )


def _only_collectors_fields(new: Object, old: Object) -> bool:
    """True when only what the garbage collector writes changes, which must not be held up."""
    return _without_collectors_fields(new) == _without_collectors_fields(old)


def _without_collectors_fields(obj: Object) -> Object:
    dropped = ("finalizers", "ownerReferences", "resourceVersion")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in dropped}
    return {**obj, "metadata": metadata}
