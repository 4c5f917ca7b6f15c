"""The scale subresource: the number of replicas of a workload, as an object of its own.

Mirrors ``pkg/registry/apps/…/storage`` (ScaleREST). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from netlab.api import schemas
from netlab.api.field_errors import invalid, invalid_value
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, LabelSelector
from netlab.api.selectors import label_matcher
from netlab.api.view import Object
from netlab.apiserver.registry.metadata import check_type

SCALE: Kind[AnyObject] = Kind("autoscaling", "v1", "Scale", "scales", AnyObject)

_DEFINITION = "io.k8s.api.autoscaling.v1.Scale"
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


def check_scale(
    body: Object, mode: schemas.FieldValidation, duplicates: Sequence[str]
) -> tuple[Object, list[str]]:
    """Return the Scale with known fields only, and warnings about others.

    Raises: ApiError BadRequest for another kind of object, wrong types or, in mode Strict,
    unknown fields.
    """
    check_type(SCALE, body)
    return schemas.check_definition(
        _DEFINITION, SCALE.kind, SCALE.version, body, mode, duplicates=duplicates
    )


def with_scale(obj: Object, scale: Object) -> Object:
    """Return the object with the replicas of ``scale``, and the versions it was based on.

    Raises: ApiError Invalid for a number below zero.
    """
    wanted: Any = (scale.get("spec") or {}).get("replicas", 0)
    if wanted < 0:
        error = invalid_value("spec.replicas", wanted, "must be greater than or equal to 0")
        raise invalid(SCALE, obj["metadata"]["name"], [error])
    metadata = dict(obj["metadata"])
    given = scale.get("metadata") or {}
    for field in ("resourceVersion", "uid"):
        metadata.pop(field, None)
        if given.get(field):
            metadata[field] = given[field]
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": wanted}}
