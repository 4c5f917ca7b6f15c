"""Rights from Roles, ClusterRoles and their bindings.

Mirrors ``plugin/pkg/auth/authorizer/rbac`` and ``pkg/registry/rbac/validation/rule.go``. Reads the
store's committed state, on the event loop, without waiting; what was found for a user is kept until
one of the four kinds changes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from netlab.api.kind import Kind
from netlab.api.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from netlab.api.rbac import PolicyRule, RoleRef, Subject
from netlab.api.view import UNREADABLE
from netlab.apiserver.auth.authz import Access, Decision
from netlab.apiserver.auth.rules import allows
from netlab.apiserver.requests import UserInfo
from netlab.store.records import Key
from netlab.store.store import Store

log = logging.getLogger(__name__)

KINDS = (ROLE, CLUSTER_ROLE, ROLE_BINDING, CLUSTER_ROLE_BINDING)
ACCOUNT_PREFIX = "system:serviceaccount:"
REMEMBERED_USERS = 1024


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives to a user. source: how Kubernetes tells of it."""

    rules: tuple[PolicyRule, ...]
    source: str


@dataclass(slots=True)
class _Rights:
    """What one user has: everywhere, and by namespace."""

    everywhere: list[Grant] = field(default_factory=list)
    inside: dict[str, list[Grant]] = field(default_factory=dict)


class RoleBindings:
    """Answers from the roles and bindings in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state: tuple[int, ...] = ()
        self._rights: dict[tuple[str, tuple[str, ...]], _Rights] = {}

    def decide(self, user: UserInfo, access: Access) -> Decision:
        """Return whether a rule that the user has allows it, and by which binding."""
        for grant in self.grants(user, access.namespace):
            if any(allows(rule, access) for rule in grant.rules):
                return Decision(allowed=True, reason=f"RBAC: allowed by {grant.source}")
        return Decision(allowed=False)

    def grants(self, user: UserInfo, namespace: str) -> Iterator[Grant]:
        """Yield what the user has everywhere and, unless it is "", in the namespace."""
        rights = self._rights_of(user)
        yield from rights.everywhere
        if namespace:
            yield from rights.inside.get(namespace, ())

    def rules(self, user: UserInfo, namespace: str) -> list[PolicyRule]:
        """Return the rules that the user has there."""
        return [rule for grant in self.grants(user, namespace) for rule in grant.rules]

    def rules_of_role(self, ref: RoleRef, namespace: str) -> tuple[PolicyRule, ...] | None:
        """Return the rules of the role that a binding there names; None: no such role."""
        kind = ROLE if ref.kind == "Role" else CLUSTER_ROLE
        key = Key(kind.group_resource, namespace if kind is ROLE else "", ref.name)
        record = self._store.get(key)
        if record is None:
            return None
        view = _view(kind, key, record.json)
        return () if view is None else view.rules

    def _rights_of(self, user: UserInfo) -> _Rights:
        state = tuple(self._store.last_change(kind.group_resource) for kind in KINDS)
        if state != self._state or len(self._rights) > REMEMBERED_USERS:
            self._rights.clear()
            self._state = state
        key = (user.name, user.groups)
        rights = self._rights.get(key)
        if rights is None:
            rights = self._rights[key] = self._collect(user)
        return rights

    def _collect(self, user: UserInfo) -> _Rights:
        rights = _Rights()
        for kind in (CLUSTER_ROLE_BINDING, ROLE_BINDING):
            for key, record in self._store.records(kind.group_resource, None):
                binding = _view(kind, key, record.json)
                subject = None if binding is None else _subject_of(binding, user, key.namespace)
                if binding is None or subject is None:
                    continue
                rules = self.rules_of_role(binding.role_ref, key.namespace)
                if not rules:
                    continue
                grant = Grant(rules, _source(kind, key, binding.role_ref, subject))
                if kind is CLUSTER_ROLE_BINDING:
                    rights.everywhere.append(grant)
                else:
                    rights.inside.setdefault(key.namespace, []).append(grant)
        return rights


def _view(kind: Kind[Any], key: Key, json: bytes) -> Any:
    """Return the object's view, or None for one that cannot be read: it gives nothing."""
    try:
        return msgspec.json.decode(json, type=kind.view)
    except UNREADABLE as error:
        log.warning("%s %s/%s cannot be read: %s", key.kind, key.namespace, key.name, error)
        return None


def _subject_of(binding: Any, user: UserInfo, namespace: str) -> Subject | None:
    subjects: Iterable[Subject] = binding.subjects
    return next((each for each in subjects if _is_meant(each, user, namespace)), None)


def _is_meant(subject: Subject, user: UserInfo, namespace: str) -> bool:
    if subject.kind == "User":
        return subject.name == user.name
    if subject.kind == "Group":
        return subject.name in user.groups
    where = subject.namespace or namespace
    account = f"{ACCOUNT_PREFIX}{where}:{subject.name}"
    return subject.kind == "ServiceAccount" and bool(where) and user.name == account


def _source(kind: Kind[Any], key: Key, ref: RoleRef, subject: Subject) -> str:
    name = f"{key.name}/{key.namespace}" if key.namespace else key.name
    who = f'{subject.kind} "{subject.name}"'
    if subject.kind == "ServiceAccount":
        who = f'ServiceAccount "{subject.name}/{subject.namespace or key.namespace}"'
    return f'{kind.kind} "{name}" of {ref.kind} "{ref.name}" to {who}'
