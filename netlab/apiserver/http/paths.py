"""What a request's path asks for: a kind, a namespace, a name, a subresource.

Mirrors ``k8s.io/apiserver`` ``RequestInfo``. One function does by hand what hundreds of routes
would do, because it runs for every request. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from netlab.api.catalog import Catalog
from netlab.api.kind import Kind


@dataclass(frozen=True, slots=True)
class Target:
    """What an API path points at.

    kind: None for a resource that is not served.
    namespace: "" for cluster scope or all namespaces. name: "" for the collection. tail: what
    follows subresource ``proxy``, as it stands in the path, from its slash on.
    """

    group: str
    version: str
    resource: str
    kind: Kind[Any] | None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""


_PROXY = re.compile(
    r"(/api/v1/(?:namespaces/[^/]+/(?:pods|services)|nodes)/[^/]+/proxy)(/.*)", re.DOTALL
)


def parse_target(catalog: Catalog, path: str) -> Target | None:
    """Return what ``/api/v1/…`` or ``/apis/GROUP/VERSION/…`` points at.

    None when the path is not that of a resource: discovery, health, or nothing netlab knows.
    A path that names a namespace for a cluster-scoped kind points at nothing.
    """
    proxied = _PROXY.fullmatch(path)
    if proxied is not None:
        # the rest is the path of another server, in which a slash more or less has a meaning
        found = parse_target(catalog, proxied.group(1))
        return None if found is None else replace(found, tail=proxied.group(2))
    parts = path.split("/")
    if len(parts) > 3 and parts[1] == "api":
        group, version, rest = "", parts[2], parts[3:]
    elif len(parts) > 4 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    if "%" in path:
        rest = [unquote(part) for part in rest]
    if rest and not rest[-1]:
        rest = rest[:-1]
    if not rest or not all(rest) or len(rest) > 6:
        return None
    return _target(catalog, group, version, rest)


def _target(catalog: Catalog, group: str, version: str, rest: list[str]) -> Target | None:
    namespace = ""
    # /namespaces/NAME and its subresources are the Namespace itself; anything longer lies inside it
    inside = (
        rest[0] == "namespaces"
        and len(rest) > 2
        and not (group == "" and len(rest) == 3 and rest[2] in ("status", "finalize"))
    )
    if inside:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    resource = rest[0]
    kind = catalog.by_resource(group, version, resource)
    if kind is not None and namespace and not kind.namespaced:
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return Target(group, version, resource, kind, namespace, name, subresource)
