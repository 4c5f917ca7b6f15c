"""Which objects are allowed, and which changes of them.

Mirrors ``pkg/apis/*/validation`` of Kubernetes v1.36, with its field paths and wording. Objects
come complete (``defaults.apply_defaults``) and well typed (``schemas.check_fields``). Rules that
need other objects (free addresses, existing service accounts) belong to admission.

netlab leaves out rules for fields it does not act on and that rarely go wrong: affinities, topology
spread, volume plug-ins of clouds, Windows options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from netlab.api.field_errors import FieldError
from netlab.api.kinds import Kind
from netlab.api.validation import (
    cluster,
    config,
    endpoints,
    pod,
    pod_update,
    quota,
    service,
    storage,
    workloads,
)
from netlab.api.validation.metadata import validate_metadata, validate_metadata_update
from netlab.api.view import Object

__all__ = ["validate_create", "validate_update"]

_Check: TypeAlias = Callable[[Object], list[FieldError]]
_UpdateCheck: TypeAlias = Callable[[Object, Object], list[FieldError]]

_CREATE: Final[Mapping[tuple[str, str], _Check]] = {
    ("", "Pod"): pod.validate_pod,
    ("", "Service"): service.validate_service,
    ("", "Endpoints"): endpoints.validate_endpoints,
    ("", "ConfigMap"): config.validate_config_map,
    ("", "Secret"): config.validate_secret,
    ("", "Node"): cluster.validate_node,
    ("", "Event"): cluster.validate_event,
    ("", "LimitRange"): quota.validate_limit_range,
    ("", "ResourceQuota"): quota.validate_resource_quota,
    ("", "PersistentVolume"): storage.validate_persistent_volume,
    ("", "PersistentVolumeClaim"): storage.validate_persistent_volume_claim,
    ("storage.k8s.io", "StorageClass"): storage.validate_storage_class,
    ("apps", "ReplicaSet"): workloads.validate_replica_set,
    ("apps", "Deployment"): workloads.validate_deployment,
    ("discovery.k8s.io", "EndpointSlice"): endpoints.validate_endpoint_slice,
    ("coordination.k8s.io", "Lease"): cluster.validate_lease,
}
_UPDATE: Final[Mapping[tuple[str, str], _UpdateCheck]] = {
    ("", "Pod"): pod_update.validate_pod_update,
    ("", "Service"): service.validate_service_update,
    ("", "ConfigMap"): config.validate_config_map_update,
    ("", "Secret"): config.validate_secret_update,
    ("", "Node"): cluster.validate_node_update,
    ("", "ResourceQuota"): quota.validate_resource_quota_update,
    ("", "PersistentVolume"): storage.validate_persistent_volume_update,
    ("", "PersistentVolumeClaim"): storage.validate_persistent_volume_claim_update,
    ("storage.k8s.io", "StorageClass"): storage.validate_storage_class_update,
    ("apps", "ReplicaSet"): workloads.validate_selector_update,
    ("apps", "Deployment"): workloads.validate_selector_update,
    ("discovery.k8s.io", "EndpointSlice"): endpoints.validate_endpoint_slice_update,
}
# a Pod's own update rules replace those for new pods: what was once accepted stays acceptable
_ONLY_UPDATE_RULES: Final = frozenset({("", "Pod")})


def validate_create(kind: Kind[Any], obj: Object) -> list[FieldError]:
    """Return what is wrong with a new object; an empty list when it is fine."""
    errors = validate_metadata(kind, obj.get("metadata") or {})
    check = _CREATE.get((kind.group, kind.kind))
    return errors + check(obj) if check else errors


def validate_update(kind: Kind[Any], old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with replacing ``old`` by ``new``."""
    key = (kind.group, kind.kind)
    errors = validate_metadata_update(kind, old.get("metadata") or {}, new.get("metadata") or {})
    check = _CREATE.get(key)
    if check and key not in _ONLY_UPDATE_RULES:
        errors += check(new)
    update_check = _UPDATE.get(key)
    return errors + update_check(old, new) if update_check else errors
