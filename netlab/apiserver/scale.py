"""The scale subresource: the number of replicas of a workload, as an object of its own.

Mirrors ``pkg/registry/apps/…/storage`` (ScaleREST). Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netlab.api.field_errors import FieldError, invalid, invalid_value
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, LabelSelector
from netlab.api.selectors import label_matcher
from netlab.api.view import Object

SCALE: Kind[AnyObject] = Kind("autoscaling", "v1", "Scale", "scales", AnyObject)

_SHARED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Object) -> Object:
    """Return the Scale of a ReplicaSet or Deployment."""
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    selector = msgspec.convert(spec.get("selector") or {}, LabelSelector)
    replicas = spec.get("replicas", 1)
    return {
        "kind": SCALE.kind,
        "apiVersion": SCALE.api_version,
        "metadata": {field: metadata[field] for field in _SHARED if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": str(label_matcher(selector)),
        },
    }


def with_scale(obj: Object, scale: Object) -> Object:
    """Return the object with the replicas of ``scale``, and the versions it was based on.

    Raises: ApiError Invalid for a number below zero.
    """
    wanted: Any = (scale.get("spec") or {}).get("replicas", 0)
    errors: list[FieldError] = []
    if not isinstance(wanted, int) or wanted < 0:
        errors.append(
            invalid_value("spec.replicas", wanted, "must be greater than or equal to 0")
        )
    if errors:
        raise invalid(SCALE, obj["metadata"]["name"], errors)
    metadata = dict(obj["metadata"])
    given = scale.get("metadata") or {}
    for field in ("resourceVersion", "uid"):
        metadata.pop(field, None)
        if given.get(field):
            metadata[field] = given[field]
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": wanted}}
