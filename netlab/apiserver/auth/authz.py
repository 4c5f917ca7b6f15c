"""Who may do what, as a table of grants.

Stands where Kubernetes' RBAC authorizer and its default ClusterRoles stand. A request is allowed
when any grant that names the user or one of its groups covers it; nothing forbids what another
grant allows. Pure.

netlab leaves out Role and RoleBinding objects: the table is fixed. It holds what a new kubeadm
cluster grants, as far as netlab's own components and its users need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netlab.errors import ApiError

EVERYTHING = ("*",)
READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Access:
    """One thing a caller wants to do.

    verb: as RBAC names it (get, list, watch, create, update, patch, delete, deletecollection), or
    the HTTP method in lower case for a path that is no resource. path: set only for such a path.
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
class Grant:
    """Verbs on resources, or on paths, for users and groups. ``*`` means all.

    users, groups: any one that matches is enough. paths: a trailing ``*`` matches the rest.
    """

    verbs: tuple[str, ...]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def concerns(self, user: str, user_groups: Iterable[str]) -> bool:
        """True when the grant is given to that user."""
        return user in self.users or any(group in self.groups for group in user_groups)

    def covers(self, access: Access) -> bool:
        """True when the grant allows ``access``."""
        if not _has(self.verbs, access.verb):
            return False
        if access.path:
            return any(_path_matches(path, access.path) for path in self.paths)
        return _has(self.api_groups, access.group) and (
            _has(self.resources, access.full_resource)
            or (bool(access.subresource) and f"*/{access.subresource}" in self.resources)
        )


def _has(allowed: Sequence[str], wanted: str) -> bool:
    return "*" in allowed or wanted in allowed


def _path_matches(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern


HEALTH_PATHS = ("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*")

GRANTS: tuple[Grant, ...] = (
    Grant(
        EVERYTHING,
        groups=("system:masters", "system:nodes"),
        api_groups=EVERYTHING,
        resources=EVERYTHING,
        paths=EVERYTHING,
    ),
    Grant(
        ("get",),
        groups=("system:authenticated",),
        paths=(
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/openapi",
            "/openapi/*",
            "/version",
            "/version/",
            *HEALTH_PATHS,
        ),
    ),
    Grant(("get",), groups=("system:unauthenticated",), paths=HEALTH_PATHS),
    Grant(
        ("create",),
        groups=("system:authenticated",),
        api_groups=("authorization.k8s.io",),
        resources=("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    ),
    Grant(
        ("create",),
        groups=("system:authenticated",),
        api_groups=("authentication.k8s.io",),
        resources=("selfsubjectreviews",),
    ),
    Grant(
        READ,
        users=("system:serviceaccount:kube-system:coredns",),
        api_groups=("",),
        resources=("endpoints", "services", "pods", "namespaces", "nodes"),
    ),
    Grant(
        READ,
        users=("system:serviceaccount:kube-system:coredns",),
        api_groups=("discovery.k8s.io",),
        resources=("endpointslices",),
    ),
)


def grants_of(user: str, groups: Sequence[str], grants: Sequence[Grant] = GRANTS) -> list[Grant]:
    """Return the grants given to that user, in the order of the table."""
    return [grant for grant in grants if grant.concerns(user, groups)]


def allowed(
    user: str, groups: Sequence[str], access: Access, grants: Sequence[Grant] = GRANTS
) -> bool:
    """True when any grant allows it."""
    return any(grant.covers(access) for grant in grants if grant.concerns(user, groups))


def forbidden(user: str, access: Access) -> ApiError:
    """Return the 403 that Kubernetes answers."""
    if access.path:
        return ApiError(
            403, "Forbidden", f'forbidden: User "{user}" cannot {access.verb} path "{access.path}"'
        )
    subject = f"{access.resource}.{access.group}" if access.group else access.resource
    if access.name:
        subject += f' "{access.name}"'
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user}" cannot {access.verb} resource '
        f'"{access.full_resource}" in API group "{access.group}" {where}'
    )
    details = {"name": access.name, "group": access.group, "kind": access.resource}
    return ApiError(403, "Forbidden", message, {k: v for k, v in details.items() if v})
