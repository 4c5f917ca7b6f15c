"""Discovery: which groups, versions, resources and verbs the server has, in each form clients ask
for.

Three forms of the catalog: aggregated v2 and v2beta1 (one document for ``/api``, one for
``/apis``), and the plain lists of old. Mirrors ``k8s.io/apiserver/pkg/endpoints/discovery``. All
documents are a few kilobytes and are made once for each state of the catalog. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from netlab.api.catalog import Catalog
from netlab.api.kind import Kind, Subresource, TypeName
from netlab.api.view import Object

ALWAYS_EMPTY: dict[tuple[str, str, str], str] = {
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"): "CustomResourceDefinition",
}
"""Lists that clients insist on, of kinds netlab has none of: (group, version, plural) -> kind.

kubectl looks for a CustomResourceDefinition before it says that it does not know a kind. They are
not told in discovery, because nothing can be created there.
"""


def resources(catalog: Catalog) -> list[Kind[Any]]:
    """Return every kind served, in order of group, version and plural name."""
    return sorted(catalog, key=lambda kind: (kind.group, kind.version, kind.plural))


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


def group_names(items: Iterable[Kind[Any]]) -> list[str]:
    """Return the named groups (not the core group), in Kubernetes' order."""
    names = {item.group for item in items if item.group}
    known = [name for name in _GROUP_ORDER if name in names]
    return [*known, *sorted(names - set(known))]


def versions_of(items: Iterable[Kind[Any]], group: str) -> list[str]:
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


def _group_versions(items: Sequence[Kind[Any]], group: str) -> Object:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in versions_of(items, group)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_group_list(items: Sequence[Kind[Any]]) -> Object:
    """Return the plain ``/apis``."""
    groups = [_group_versions(items, group) for group in group_names(items)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(items: Sequence[Kind[Any]], group: str) -> Object | None:
    """Return the plain ``/apis/GROUP``, or None for an unknown group."""
    if group not in group_names(items):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group_versions(items, group)}


def api_resource_list(items: Iterable[Kind[Any]], group: str, version: str) -> Object | None:
    """Return the plain list of one group version, or None when it is not served."""
    found = [item for item in items if (item.group, item.version) == (group, version)]
    if not found:
        return None
    lines = [line for item in found for line in _plain_lines(item)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": lines,
    }


def _plain_lines(item: Kind[Any]) -> list[Object]:
    line: Object = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": sorted(item.verbs),
    }
    if item.short_names:
        line["shortNames"] = list(item.short_names)
    if item.categories:
        line["categories"] = list(item.categories)
    return [line, *(_plain_subresource(item, sub) for sub in _subresources(item))]


def _subresources(item: Kind[Any]) -> list[Subresource]:
    return sorted(item.subresources, key=lambda sub: sub.name)


def _plain_subresource(item: Kind[Any], sub: Subresource) -> Object:
    answers = sub.type or item.type
    line: Object = {
        "name": f"{item.plural}/{sub.name}",
        "singularName": "",
        "namespaced": item.namespaced,
    }
    if (answers.group, answers.version) != (item.group, item.version):
        line |= {"group": answers.group, "version": answers.version}
    return {**line, "kind": answers.kind, "verbs": list(sub.verbs)}


def aggregated(items: Sequence[Kind[Any]], *, core: bool, version: str) -> Object:
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


def _aggregated_group(items: Sequence[Kind[Any]], group: str) -> Object:
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


def _aggregated_resource(item: Kind[Any]) -> Object:
    line: Object = {
        "resource": item.plural,
        "responseKind": _response_kind(item.type),
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": sorted(item.verbs),
    }
    if item.short_names:
        line["shortNames"] = list(item.short_names)
    if item.categories:
        line["categories"] = list(item.categories)
    if item.subresources:
        line["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _response_kind(sub.type or item.type),
                "verbs": list(sub.verbs),
            }
            for sub in _subresources(item)
        ]
    return line


def _response_kind(type_: TypeName) -> Object:
    return {"group": type_.group, "version": type_.version, "kind": type_.kind}


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
