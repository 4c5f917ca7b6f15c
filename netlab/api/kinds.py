"""The kinds netlab serves, as a table.

A further kind is one entry here (and, where a component acts on it, a view). Names, short names,
categories and subresources are those of Kubernetes v1.36 (tests/golden/discovery).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.core import (
    ConfigMap,
    Endpoints,
    Event,
    Namespace,
    Node,
    Secret,
    Service,
    ServiceAccount,
)
from netlab.api.discovery import EndpointSlice, Lease
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.quota import LimitRange, ResourceQuota
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

T = TypeVar("T", bound=AnyObject, covariant=True)

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """One kind of object and the resource it is served as; compared by identity."""

    group: str
    version: str
    kind: str
    plural: str
    view: type[T]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS

    @property
    def singular(self) -> str:
        """The name for one of them: the kind in lower case."""
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        """``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, object or subresource."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def __repr__(self) -> str:
        return f"Kind({self.group_resource})"


NAMESPACE = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    Namespace,
    namespaced=False,
    short_names=("ns",),
    subresources=("finalize", "status"),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
)
NODE = Kind(
    "",
    "v1",
    "Node",
    "nodes",
    Node,
    namespaced=False,
    short_names=("no",),
    subresources=("proxy", "status"),
)
POD = Kind(
    "",
    "v1",
    "Pod",
    "pods",
    Pod,
    short_names=("po",),
    categories=("all",),
    subresources=(
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
        "status",
    ),
)
SERVICE = Kind(
    "",
    "v1",
    "Service",
    "services",
    Service,
    short_names=("svc",),
    categories=("all",),
    subresources=("proxy", "status"),
)
ENDPOINTS = Kind("", "v1", "Endpoints", "endpoints", Endpoints, short_names=("ep",))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap, short_names=("cm",))
SECRET = Kind("", "v1", "Secret", "secrets", Secret)
SERVICE_ACCOUNT = Kind(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    ServiceAccount,
    short_names=("sa",),
    subresources=("token",),
)
EVENT = Kind("", "v1", "Event", "events", Event, short_names=("ev",))
LIMIT_RANGE = Kind("", "v1", "LimitRange", "limitranges", LimitRange, short_names=("limits",))
RESOURCE_QUOTA = Kind(
    "",
    "v1",
    "ResourceQuota",
    "resourcequotas",
    ResourceQuota,
    short_names=("quota",),
    subresources=("status",),
)
PERSISTENT_VOLUME = Kind(
    "",
    "v1",
    "PersistentVolume",
    "persistentvolumes",
    PersistentVolume,
    namespaced=False,
    short_names=("pv",),
    subresources=("status",),
)
PERSISTENT_VOLUME_CLAIM = Kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    PersistentVolumeClaim,
    short_names=("pvc",),
    subresources=("status",),
)
STORAGE_CLASS = Kind(
    "storage.k8s.io",
    "v1",
    "StorageClass",
    "storageclasses",
    StorageClass,
    namespaced=False,
    short_names=("sc",),
)
REPLICA_SET = Kind(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    ReplicaSet,
    short_names=("rs",),
    categories=("all",),
    subresources=("scale", "status"),
)
DEPLOYMENT = Kind(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    Deployment,
    short_names=("deploy",),
    categories=("all",),
    subresources=("scale", "status"),
)
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", EndpointSlice)
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases", Lease)

KINDS: tuple[Kind[Any], ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    ENDPOINTS,
    CONFIG_MAP,
    SECRET,
    SERVICE_ACCOUNT,
    EVENT,
    REPLICA_SET,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    LEASE,
    LIMIT_RANGE,
    RESOURCE_QUOTA,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
)

BY_RESOURCE: dict[tuple[str, str, str], Kind[Any]] = {
    (kind.group, kind.version, kind.plural): kind for kind in KINDS
}
BY_KIND: dict[tuple[str, str], Kind[Any]] = {(kind.api_version, kind.kind): kind for kind in KINDS}
