"""Says who may do what, for the HTTPS front and the in-process client alike.

Mirrors the union of authorizers that a cluster of kubeadm has (``--authorization-mode=Node,RBAC``)
behind the superuser group ``system:masters``: the first that allows decides.
"""

from __future__ import annotations

from netlab.api.rbac import PolicyRule
from netlab.apiserver.auth.authz import Access, Decision, forbidden
from netlab.apiserver.auth.node import NodeRights, node_of
from netlab.apiserver.auth.rbac import RoleBindings
from netlab.apiserver.requests import UserInfo
from netlab.store.store import Store

MASTERS = "system:masters"
"""May do everything, whatever roles and bindings say: nobody locks himself out."""


class Authorizer:
    """Decides from what is in the store."""

    def __init__(self, store: Store) -> None:
        self.bindings = RoleBindings(store)
        self._nodes = NodeRights(store, self.bindings)

    def decide(self, user: UserInfo, access: Access) -> Decision:
        """Return whether the user may do it."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        node = node_of(user)
        of_node = self._nodes.decide(node, access) if node else Decision(allowed=False)
        if of_node.allowed:
            return of_node
        decision = self.bindings.decide(user, access)
        return decision if decision.allowed else of_node

    def allows(self, user: UserInfo, access: Access) -> bool:
        """True when the user may do it."""
        return self.decide(user, access).allowed

    def require(self, user: UserInfo, access: Access) -> None:
        """Let pass what the user may do.

        Raises: ApiError Forbidden.
        """
        if MASTERS in user.groups:
            return
        decision = self.decide(user, access)
        if not decision.allowed:
            raise forbidden(user.name, access, decision.reason)

    def rules(self, user: UserInfo, namespace: str) -> list[PolicyRule]:
        """Return the rules that the user has in a namespace, and everywhere."""
        return self.bindings.rules(user, namespace)
