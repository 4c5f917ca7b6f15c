"""What a caller wants to do, what is decided about it, and how a refusal is told.

Mirrors ``k8s.io/apiserver/pkg/authorization/authorizer`` and ``responsewriters.Forbidden``. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from netlab.errors import ApiError


@dataclass(frozen=True, slots=True)
class Access:
    """One thing a caller wants to do.

    verb: as RBAC names it (get, list, watch, create, update, patch, delete, deletecollection), or
    the HTTP method in lower case for a path that is no resource. path: set only for such a path.
    name: also that which a field selector names in a list or watch.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed. reason: who gives the right, or why a node has none."""

    allowed: bool
    reason: str = ""


def forbidden(user: str, access: Access, reason: str = "") -> ApiError:
    """Return the 403 that Kubernetes answers."""
    because = f": {reason}" if reason else ""
    if access.path:
        message = f'forbidden: User "{user}" cannot {access.verb} path "{access.path}"{because}'
        return ApiError(403, "Forbidden", message, {})
    subject = f"{access.resource}.{access.group}" if access.group else access.resource
    if access.name:
        subject += f' "{access.name}"'
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user}" cannot {access.verb} resource '
        f'"{access.full_resource}" in API group "{access.group}" {where}{because}'
    )
    details = {"name": access.name, "group": access.group, "kind": access.resource}
    return ApiError(403, "Forbidden", message, {k: v for k, v in details.items() if v})
