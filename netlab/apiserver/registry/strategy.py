"""What is particular to each kind when it is written, as a table.

Mirrors the ``strategy.go`` of each kind below ``pkg/registry``. A kind that is not in the table is
stored as it comes: a further kind needs an entry only for what is special about it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from netlab.api.kinds import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    LEASE,
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
    Kind,
)
from netlab.api.view import Object
from netlab.apiserver.storage import pods, services

PrepareCreate: TypeAlias = Callable[[Object], None]
PrepareUpdate: TypeAlias = Callable[[Object, Object], None]
Changed: TypeAlias = Callable[[Object, Object], bool]

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
NAMESPACE_FINALIZER = "kubernetes"


def _keep_object(obj: Object) -> None:
    """Nothing is special."""


def _keep_update(new: Object, old: Object) -> None:
    """Nothing is special."""


def spec_changed(new: Object, old: Object) -> bool:
    """True when the specs differ."""
    return bool(new.get("spec") != old.get("spec"))


@dataclass(frozen=True, slots=True)
class Strategy:
    """How one kind is written.

    prepare_create(obj) and prepare_update(new, old) change the object before validation.
    generation_changes(new, old): whether ``metadata.generation`` counts up; None for kinds without
    one. create_on_update: PUT to a name that does not exist creates. unconditional_update: PUT
    without resourceVersion is allowed. returns_deleted: DELETE answers with the object.
    """

    prepare_create: PrepareCreate = _keep_object
    prepare_update: PrepareUpdate = _keep_update
    generation_changes: Changed | None = None
    create_on_update: bool = False
    unconditional_update: bool = True
    returns_deleted: bool = False


def _prepare_namespace(obj: Object) -> None:
    obj["status"] = {"phase": "Active"}
    spec = obj.setdefault("spec", {})
    finalizers = list(spec.get("finalizers") or ())
    if NAMESPACE_FINALIZER not in finalizers:
        finalizers.append(NAMESPACE_FINALIZER)
    spec["finalizers"] = finalizers
    _label_namespace(obj)


def _label_namespace(obj: Object) -> None:
    metadata = obj["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {
            **(metadata.get("labels") or {}),
            NAMESPACE_NAME_LABEL: metadata["name"],
        }


def _update_namespace(new: Object, old: Object) -> None:
    # spec.finalizers change only through the finalize subresource
    new["spec"] = old.get("spec") or {}
    _label_namespace(new)


def _prepare_service(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj["status"] = {"loadBalancer": {}}
    services.prepare_create(obj)


def _update_service(new: Object, old: Object) -> None:
    new.setdefault("spec", {})
    services.prepare_update(new, old)


def _prepare_replica_set(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def _prepare_deployment(obj: Object) -> None:
    obj["status"] = {}


def _prepare_quota(obj: Object) -> None:
    obj["status"] = {}


def _prepare_storage(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _deployment_changed(new: Object, old: Object) -> bool:
    # kubectl records the cause of a change in an annotation, and the controller copies it
    return spec_changed(new, old) or (
        (new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {})
    )


def _slice_changed(new: Object, old: Object) -> bool:
    def content(obj: Object) -> dict[str, Any]:
        return {key: value for key, value in obj.items() if key != "metadata"}

    same_labels = (new["metadata"].get("labels") or {}) == (old["metadata"].get("labels") or {})
    return content(new) != content(old) or not same_labels


STRATEGIES: dict[Kind[Any], Strategy] = {
    NAMESPACE: Strategy(_prepare_namespace, _update_namespace),
    POD: Strategy(pods.prepare_create, generation_changes=spec_changed, returns_deleted=True),
    SERVICE: Strategy(_prepare_service, _update_service, returns_deleted=True),
    ENDPOINTS: Strategy(create_on_update=True),
    SERVICE_ACCOUNT: Strategy(returns_deleted=True),
    EVENT: Strategy(create_on_update=True),
    REPLICA_SET: Strategy(_prepare_replica_set, generation_changes=spec_changed),
    DEPLOYMENT: Strategy(_prepare_deployment, generation_changes=_deployment_changed),
    ENDPOINT_SLICE: Strategy(generation_changes=_slice_changed),
    RESOURCE_QUOTA: Strategy(_prepare_quota, returns_deleted=True),
    PERSISTENT_VOLUME: Strategy(_prepare_storage, returns_deleted=True),
    PERSISTENT_VOLUME_CLAIM: Strategy(_prepare_storage, returns_deleted=True),
    STORAGE_CLASS: Strategy(returns_deleted=True),
    LEASE: Strategy(create_on_update=True, unconditional_update=False),
}

_PLAIN = Strategy()


def strategy_of(kind: Kind[Any]) -> Strategy:
    """Return how the kind is written."""
    return STRATEGIES.get(kind, _PLAIN)


def separate_status(new: Object, old: Object, kind: Kind[Any], subresource: str) -> Object:
    """Return what a write may change: through ``status`` that and annotations, otherwise the rest.

    Annotations too, as in Kubernetes: controllers note there what belongs to a status, such as a
    Deployment's revision.
    """
    if subresource == "status":
        kept = {**old, "metadata": {**old["metadata"]}}
        # the versions the client based its write on are checked later
        for field in ("annotations", "resourceVersion", "uid"):
            if field in new["metadata"]:
                kept["metadata"][field] = new["metadata"][field]
            else:
                kept["metadata"].pop(field, None)
        _move(new, kept)
        return kept
    if "status" in kind.subresources:
        _move(old, new)
    return new


def _move(source: Object, target: Object) -> None:
    if "status" in source:
        target["status"] = source["status"]
    else:
        target.pop("status", None)
