"""What a request to the kubelet's server is called when rights are asked for.

Mirrors ``pkg/kubelet/server/auth.go`` with fine-grained authorization (GA in v1.36): verb by the
HTTP method, resource ``nodes`` with this node's name, subresource by the path. Where a path has a
subresource of its own (pods, healthz, configz), rights on ``nodes/proxy`` do as well. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_VERBS: Final = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_BY_PATH: Final = (
    ("/stats", "stats"),
    ("/metrics", "metrics"),
    ("/logs", "log"),
)
_FINE: Final = (
    ("/pods", "pods"),
    ("/runningpods", "pods"),
    ("/healthz", "healthz"),
    ("/configz", "configz"),
)


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """What a caller wants to do: any one of the subresources is enough to be allowed."""

    verb: str
    node: str
    subresources: tuple[str, ...]

    def attributes(self, subresource: str) -> dict[str, str]:
        """Return the ``resourceAttributes`` of a SubjectAccessReview."""
        return {
            "verb": self.verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": subresource,
            "name": self.node,
        }

    def forbidden(self, user: str) -> str:
        """Return what a caller without the right is told, as the kubelet words it."""
        asked = " ".join(self.subresources)
        return (
            f"Forbidden (user={user}, verb={self.verb}, resource=nodes, subresource(s)=[{asked}])\n"
        )


def access_of(method: str, path: str, node: str) -> NodeAccess:
    """Return what a request means. path: without the query."""
    verb = _VERBS.get(method.upper(), "")
    for prefix, subresource in _BY_PATH:
        if _below(path, prefix):
            return NodeAccess(verb, node, (subresource,))
    for prefix, subresource in _FINE:
        if _below(path, prefix):
            return NodeAccess(verb, node, (subresource, "proxy"))
    return NodeAccess(verb, node, ("proxy",))


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")
