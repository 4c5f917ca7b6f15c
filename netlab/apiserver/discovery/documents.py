"""Discovery: which groups, versions, resources and verbs the server has, in each form clients ask
for.

Three forms of the same table (``api.kinds`` plus the resources that are only asked, never stored):
aggregated v2 and v2beta1 (one document for ``/api``, one for ``/apis``), and the plain lists of
old. Mirrors ``k8s.io/apiserver/pkg/endpoints/discovery``. Pure; all documents are a few kilobytes
and are made once. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from netlab.api.kinds import KINDS
from netlab.api.view import Object

Gvk = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource and the kind it answers with."""

    name: str
    kind: Gvk
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One line of discovery; kind is (group, version, kind)."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()

    @property
    def group_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version


_GET_PATCH_UPDATE = ("get", "patch", "update")

# Subresources that answer with a kind other than their parent's; all others answer with the parent.
_SUBRESOURCES: dict[str, tuple[Gvk | None, tuple[str, ...]]] = {
    "status": (None, _GET_PATCH_UPDATE),
    "finalize": (None, ("update",)),
    "log": (None, ("get",)),
    "binding": (("", "v1", "Binding"), ("create",)),
    "eviction": (("policy", "v1", "Eviction"), ("create",)),
    "scale": (("autoscaling", "v1", "Scale"), _GET_PATCH_UPDATE),
    "token": (("authentication.k8s.io", "v1", "TokenRequest"), ("create",)),
    "exec": (("", "v1", "PodExecOptions"), ("create", "get")),
    "attach": (("", "v1", "PodAttachOptions"), ("create", "get")),
    "portforward": (("", "v1", "PodPortForwardOptions"), ("create", "get")),
    "ephemeralcontainers": (None, _GET_PATCH_UPDATE),
    "resize": (None, _GET_PATCH_UPDATE),
}
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def _review(group: str, kind: str) -> Resource:
    return Resource(
        group, "v1", f"{kind.lower()}s", kind.lower(), kind, namespaced=False, verbs=("create",)
    )


REVIEWS: tuple[Resource, ...] = (
    _review("authentication.k8s.io", "SelfSubjectReview"),
    _review("authentication.k8s.io", "TokenReview"),
    _review("authorization.k8s.io", "SelfSubjectAccessReview"),
    _review("authorization.k8s.io", "SelfSubjectRulesReview"),
    _review("authorization.k8s.io", "SubjectAccessReview"),
    replace(_review("authorization.k8s.io", "LocalSubjectAccessReview"), namespaced=True),
)
"""Resources that are only asked (POST), never stored."""

MEASURED: tuple[Resource, ...] = tuple(
    Resource(
        "metrics.k8s.io", "v1beta1", plural, "", kind, namespaced=namespaced, verbs=("get", "list")
    )
    for plural, kind, namespaced in (("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True))
)
"""Resources that are measured when they are asked for, never stored (see ``metrics``)."""

ALWAYS_EMPTY: dict[tuple[str, str, str], str] = {
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"): "CustomResourceDefinition",
}
"""Lists that clients insist on, of kinds netlab has none of: (group, version, plural) -> kind.

kubectl looks for a CustomResourceDefinition before it says that it does not know a kind. They are
not told in discovery, because nothing can be created there.
"""


def resources() -> list[Resource]:
    """Return every resource served, in order of group, version and plural name."""
    stored = [
        Resource(
            kind.group,
            kind.version,
            kind.plural,
            kind.singular,
            kind.kind,
            kind.namespaced,
            tuple(sorted(kind.verbs)),
            kind.short_names,
            kind.categories,
            tuple(
                _subresource((kind.group, kind.version, kind.kind), name)
                for name in sorted(kind.subresources)
            ),
        )
        for kind in KINDS
    ]
    every = [*stored, *REVIEWS, *MEASURED]
    return sorted(every, key=lambda item: (item.group, item.version, item.plural))


def _subresource(parent: Gvk, name: str) -> Subresource:
    if name == "proxy":
        group, version, kind_name = parent
        return Subresource(name, (group, version, f"{kind_name}ProxyOptions"), _PROXY_VERBS)
    kind, verbs = _SUBRESOURCES[name]
    return Subresource(name, kind or parent, verbs)


# Kubernetes lists its groups by priority; clients that look for a resource by its short name take
# the first group that has it.
_GROUP_ORDER = (
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
)


def group_names(items: Iterable[Resource]) -> list[str]:
    """Return the named groups (not the core group), in Kubernetes' order."""
    names = {item.group for item in items if item.group}
    known = [name for name in _GROUP_ORDER if name in names]
    return [*known, *sorted(names - set(known))]


def versions_of(items: Iterable[Resource], group: str) -> list[str]:
    """Return the versions of a group, the preferred one first."""
    return sorted({item.version for item in items if item.group == group}, reverse=True)


def api_versions(server_address: str) -> Object:
    """Return the plain ``/api``: the versions of the core group."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
        ],
    }


def _group_versions(items: Sequence[Resource], group: str) -> Object:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in versions_of(items, group)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_group_list(items: Sequence[Resource]) -> Object:
    """Return the plain ``/apis``."""
    groups = [_group_versions(items, group) for group in group_names(items)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(items: Sequence[Resource], group: str) -> Object | None:
    """Return the plain ``/apis/GROUP``, or None for an unknown group."""
    if group not in group_names(items):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_versions(items, group)}


def api_resource_list(items: Iterable[Resource], group: str, version: str) -> Object | None:
    """Return the plain list of one group version, or None when it is not served."""
    found = [item for item in items if (item.group, item.version) == (group, version)]
    if not found:
        return None
    lines = [line for item in found for line in _plain_lines(item)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].group_version,
        "resources": lines,
    }


def _plain_lines(item: Resource) -> list[Object]:
    line: Object = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": list(item.verbs),
    }
    if item.short_names:
        line["shortNames"] = list(item.short_names)
    if item.categories:
        line["categories"] = list(item.categories)
    return [line, *(_plain_subresource(item, sub) for sub in item.subresources)]


def _plain_subresource(item: Resource, sub: Subresource) -> Object:
    group, version, kind = sub.kind
    line: Object = {
        "name": f"{item.plural}/{sub.name}",
        "singularName": "",
        "namespaced": item.namespaced,
    }
    if (group, version) != (item.group, item.version):
        line |= {"group": group, "version": version}
    return {**line, "kind": kind, "verbs": list(sub.verbs)}


def aggregated(items: Sequence[Resource], *, core: bool, version: str) -> Object:
    """Return an APIGroupDiscoveryList: of the core group, or of all named groups.

    version: ``v2`` or ``v2beta1``; only the apiVersion differs.
    """
    groups = [""] if core else group_names(items)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [_aggregated_group(items, group) for group in groups],
    }


def _aggregated_group(items: Sequence[Resource], group: str) -> Object:
    metadata: Object = {"creationTimestamp": None}
    if group:
        metadata["name"] = group
    return {
        "metadata": metadata,
        "versions": [
            {
                "version": version,
                "resources": [
                    _aggregated_resource(item)
                    for item in items
                    if (item.group, item.version) == (group, version)
                ],
                "freshness": "Current",
            }
            for version in versions_of(items, group)
        ],
    }


def _aggregated_resource(item: Resource) -> Object:
    line: Object = {
        "resource": item.plural,
        "responseKind": _response_kind((item.group, item.version, item.kind)),
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": list(item.verbs),
    }
    if item.short_names:
        line["shortNames"] = list(item.short_names)
    if item.categories:
        line["categories"] = list(item.categories)
    if item.subresources:
        line["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _response_kind(sub.kind),
                "verbs": list(sub.verbs),
            }
            for sub in item.subresources
        ]
    return line


def _response_kind(kind: Gvk) -> Object:
    return {"group": kind[0], "version": kind[1], "kind": kind[2]}


@dataclass(frozen=True, slots=True)
class Document:
    """A ready answer: its bytes and the ETag clients send back."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, obj: Object) -> Document:
        """Return the document that ``obj`` is."""
        body = msgspec.json.encode(obj)
        return cls(body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
