"""The roles and bindings that every cluster has, as objects.

Mirrors ``plugin/pkg/auth/authorizer/rbac/bootstrappolicy``: which ClusterRoles exist and what they
grant stands in ``data/bootstrap-roles.txt``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

from netlab.api.rbac import RBAC_GROUP
from netlab.api.view import Object

BOOTSTRAPPING: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"
MANAGER: Final = "system:kube-controller-manager"
CONTROLLER: Final = "system:controller:"

_READ: Final = ("get", "list", "watch")
_VERBS: Final = {
    "R": _READ,
    "W": ("create", "delete", "deletecollection", "patch", "update"),
    "E": ("create", "patch", "update"),
}
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"

# role -> who gets it: group:…, user:… or account:NAMESPACE:NAME
_BOUND: Final[dict[str, tuple[str, ...]]] = {
    "cluster-admin": ("group:system:masters",),
    "system:basic-user": (f"group:{_AUTHENTICATED}",),
    "system:discovery": (f"group:{_AUTHENTICATED}",),
    "system:public-info-viewer": (f"group:{_AUTHENTICATED}", f"group:{_UNAUTHENTICATED}"),
    "system:monitoring": ("group:system:monitoring",),
    "system:kube-controller-manager": (f"user:{MANAGER}",),
    "system:kube-scheduler": ("user:system:kube-scheduler",),
    "system:volume-scheduler": ("user:system:kube-scheduler",),
    "system:node-proxier": ("user:system:kube-proxy",),
    "system:kube-dns": ("account:kube-system:kube-dns",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("group:system:serviceaccounts",),
    "system:coredns": ("account:kube-system:coredns",),
}
# netlab runs its controllers as one user; a node's agent runs its proxy with the node's credential
_OWN_BINDINGS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "netlab:controllers": ("netlab:controllers", (f"user:{MANAGER}",)),
    "netlab:scheduler": ("netlab:scheduler", ("user:system:kube-scheduler",)),
    "netlab:informers": ("netlab:informers", ("user:system:netlab-informers",)),
    "netlab:node-proxier": ("system:node-proxier", ("group:system:nodes",)),
    "netlab:local-path-provisioner": (
        "netlab:local-path-provisioner",
        ("account:kube-system:local-path-provisioner",),
    ),
    "netlab:persistent-volume-provisioner": (
        "system:persistent-volume-provisioner",
        ("account:kube-system:local-path-provisioner",),
    ),
}


def cluster_roles() -> list[Object]:
    """Return the ClusterRoles, in the order of the file."""
    text = resources.files("netlab.apiserver.auth").joinpath("data/bootstrap-roles.txt")
    roles: list[Object] = []
    for line in text.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            roles[-1]["rules"].append(_rule(line.split()))
        else:
            roles.append(_role(line))
    return roles


def _role(line: str) -> Object:
    words, _, source = line.partition(" = ")
    name, _, feeds = words.strip().partition(" +")
    labels = {**BOOTSTRAPPING, **({f"{AGGREGATE}{feeds}": "true"} if feeds else {})}
    role: Object = {"metadata": _metadata(name, labels), "rules": []}
    if source:
        selector = {"matchLabels": {f"{AGGREGATE}{source}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return role


def _metadata(name: str, labels: dict[str, str]) -> Object:
    return {"name": name, "labels": labels, "annotations": {AUTOUPDATE: "true"}}


def _rule(words: list[str]) -> Object:
    verbs = [verb for word in words[0].split(",") for verb in _VERBS.get(word, (word,))]
    if words[1].startswith("/"):
        urls = ["*"] if words[1] == "/*" else words[1].split(",")
        return {"verbs": verbs, "nonResourceURLs": urls}
    things, _, names = words[2].partition(":")
    groups = ["" if group == "core" else group for group in words[1].split(",")]
    rule: Object = {"verbs": verbs, "apiGroups": groups, "resources": things.split(",")}
    return {**rule, "resourceNames": names.split(",")} if names else rule


def cluster_role_bindings() -> list[Object]:
    """Return the ClusterRoleBindings."""
    return [_binding(name, role, subjects) for name, role, subjects in _bindings()]


def _bindings() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for role, subjects in _BOUND.items():
        yield role, role, subjects
    for role in _controller_roles():
        account = f"account:kube-system:{role.removeprefix(CONTROLLER)}"
        # without accounts of their own, Kubernetes' manual gives these roles to the manager
        yield role, role, (account, f"user:{MANAGER}")
    for name, (role, subjects) in _OWN_BINDINGS.items():
        yield name, role, subjects


@cache
def _controller_roles() -> tuple[str, ...]:
    names = (role["metadata"]["name"] for role in cluster_roles())
    return tuple(name for name in names if name.startswith(CONTROLLER))


def _binding(name: str, role: str, subjects: tuple[str, ...]) -> Object:
    binding: Object = {
        "metadata": _metadata(name, dict(BOOTSTRAPPING)),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
    }
    if subjects:
        binding["subjects"] = [_subject(text) for text in subjects]
    return binding


def _subject(text: str) -> Object:
    kind, _, name = text.partition(":")
    if kind == "account":
        namespace, _, account = name.partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": account}
    return {"kind": kind.capitalize(), "apiGroup": RBAC_GROUP, "name": name}
