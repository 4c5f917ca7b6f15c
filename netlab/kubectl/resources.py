"""Which resources the server serves, and which of them a word such as ``po`` means.

Mirrors client-go's discovery and RESTMapper. The resources that every cluster has are known here,
so that common commands need no question before their own; any other word asks the server, which
answers for all groups at once (aggregated discovery, or group by group on old servers). Nothing is
cached on disk, so a resource that appears is seen at once.
"""

from __future__ import annotations

from netlab.errors import ApiError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from netlab.client.blocking import BlockingClient

AGGREGATED = ",".join(
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    )
)


class Resource:
    """One resource of one version of one group."""

    __slots__ = (
        "categories",
        "group",
        "kind",
        "namespaced",
        "plural",
        "short_names",
        "singular",
        "subresources",
        "verbs",
        "version",
    )

    def __init__(
        self,
        group: str,
        version: str,
        kind: str,
        plural: str,
        namespaced: bool,
        short_names: Sequence[str] = (),
        *,
        singular: str = "",
        categories: Sequence[str] = (),
        verbs: Sequence[str] = (),
        subresources: Sequence[str] = (),
    ) -> None:
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.singular = singular or kind.lower()
        self.namespaced = namespaced
        self.short_names = tuple(short_names)
        self.categories = tuple(categories)
        self.verbs = tuple(verbs)
        self.subresources = tuple(subresources)

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """``pod`` or ``deployment.apps``, as messages and ``-o name`` say it."""
        kind = self.kind.lower()
        return f"{kind}.{self.group}" if self.group else kind

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, object or subresource."""
        from netlab.client.escape import quote

        parts = [f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace)]
        parts.append(self.plural)
        parts += [quote(part) for part in (name, subresource) if part]
        return "/".join(parts)

    def answers_to(self, word: str) -> bool:
        """True when ``word`` (lower case) is one of the resource's names."""
        return (
            word in (self.plural, self.singular)
            or word == self.kind.lower()
            or word in self.short_names
        )


EVERYWHERE = (
    Resource("", "v1", "Pod", "pods", True, ("po",)),
    Resource("", "v1", "Service", "services", True, ("svc",)),
    Resource("apps", "v1", "Deployment", "deployments", True, ("deploy",)),
    Resource("apps", "v1", "ReplicaSet", "replicasets", True, ("rs",)),
    Resource("", "v1", "Node", "nodes", False, ("no",)),
    Resource("", "v1", "Namespace", "namespaces", False, ("ns",)),
    Resource("", "v1", "Endpoints", "endpoints", True, ("ep",)),
    Resource("", "v1", "ConfigMap", "configmaps", True, ("cm",)),
    Resource("", "v1", "Secret", "secrets", True),
    Resource("", "v1", "ServiceAccount", "serviceaccounts", True, ("sa",)),
    Resource("", "v1", "Event", "events", True, ("ev",)),
    Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True),
    Resource("coordination.k8s.io", "v1", "Lease", "leases", True),
    Resource("", "v1", "LimitRange", "limitranges", True, ("limits",)),
    Resource("", "v1", "ResourceQuota", "resourcequotas", True, ("quota",)),
    Resource("", "v1", "PersistentVolume", "persistentvolumes", False, ("pv",)),
    Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", True, ("pvc",)),
    Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, ("sc",)),
)
"""Resources that are looked up without asking, because no cluster is without them."""


class Resources:
    """Looks resources up by name, kind or category."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self._discovered: list[Resource] | None = None

    def find(self, word: str) -> Resource:
        """Return the resource that ``word`` (``po``, ``deployments.apps``, …) means.

        Raises: UsageError in kubectl's words when the server has none.
        """
        name, _, group = word.lower().partition(".")
        for resource in EVERYWHERE:
            if resource.answers_to(name) and group in ("", resource.group):
                return resource
        for resource in self.all():
            if resource.answers_to(name) and _in_group(resource, group):
                return resource
        raise UsageError(f'the server doesn\'t have a resource type "{word}"')

    def for_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of a manifest's kind; None when the server has none."""
        for resource in EVERYWHERE:
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        for resource in self.all():
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        return None

    def in_category(self, word: str) -> list[Resource]:
        """Return the resources of a category such as ``all``, in the order of the groups."""
        found: dict[str, Resource] = {}
        for resource in self.all():
            if word in resource.categories:
                found.setdefault(resource.group_resource, resource)
        return list(found.values())

    def all(self) -> list[Resource]:
        """Return everything the server serves, preferred versions first within a group."""
        if self._discovered is None:
            self._discovered = [*self._discover("/api"), *self._discover("/apis")]
        return self._discovered

    def groups(self) -> list[str]:
        """Return the API versions the server serves: ``v1``, ``apps/v1``, …."""
        return sorted({resource.api_version for resource in self.all()})

    def _discover(self, path: str) -> Iterator[Resource]:
        document = self._client.call("GET", path, accept=AGGREGATED)
        kind = document.get("kind")
        if kind == "APIGroupDiscoveryList":
            for group in document.get("items") or ():
                yield from _from_aggregated(group)
        elif kind == "APIVersions":
            for version in document.get("versions") or ():
                yield from self._plain_version("", version, f"/api/{version}")
        else:
            for group in document.get("groups") or ():
                preferred = (group.get("preferredVersion") or {}).get("version")
                versions = [entry["version"] for entry in group.get("versions") or ()]
                for version in sorted(versions, key=lambda each: each != preferred):
                    name = group["name"]
                    yield from self._plain_version(name, version, f"/apis/{name}/{version}")

    def _plain_version(self, group: str, version: str, path: str) -> Iterator[Resource]:
        try:
            document = self._client.call("GET", path)
        except ApiError:
            return  # an aggregated API that is down hides only its own resources
        entries = document.get("resources") or ()
        for entry in entries:
            if "/" not in entry["name"]:
                prefix = entry["name"] + "/"
                names = [e["name"].removeprefix(prefix) for e in entries]
                yield _from_plain(group, version, entry, [n for n in names if "/" not in n])


def _in_group(resource: Resource, wanted: str) -> bool:
    if not wanted or resource.group == wanted or resource.group.startswith(wanted + "."):
        return True
    version, _, group = wanted.partition(".")
    return resource.version == version and resource.group == group


def _from_aggregated(group: Mapping[str, Any]) -> Iterator[Resource]:
    name = (group.get("metadata") or {}).get("name", "")
    for version in group.get("versions") or ():
        for entry in version.get("resources") or ():
            response_kind = entry.get("responseKind") or {}
            yield Resource(
                name,
                version["version"],
                response_kind.get("kind", ""),
                entry["resource"],
                entry.get("scope") == "Namespaced",
                entry.get("shortNames") or (),
                singular=entry.get("singularResource") or "",
                categories=entry.get("categories") or (),
                verbs=entry.get("verbs") or (),
                subresources=[s["subresource"] for s in entry.get("subresources") or ()],
            )


def _from_plain(
    group: str, version: str, entry: Mapping[str, Any], subresources: Sequence[str]
) -> Resource:
    return Resource(
        entry.get("group") or group,
        entry.get("version") or version,
        entry["kind"],
        entry["name"],
        bool(entry.get("namespaced")),
        entry.get("shortNames") or (),
        singular=entry.get("singularName") or "",
        categories=entry.get("categories") or (),
        verbs=entry.get("verbs") or (),
        subresources=subresources,
    )
