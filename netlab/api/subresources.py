"""The subresources that several kinds have in common: ``status`` and ``scale``.

Mirrors ``StatusStrategy`` of each kind and ``ScaleREST`` of the workloads. Pure.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from netlab.api.field_errors import invalid, invalid_value
from netlab.api.kind import GET_PATCH_UPDATE, Kind, Subresource, TypeName
from netlab.api.meta import AnyObject, LabelSelector
from netlab.api.selectors import label_matcher
from netlab.api.view import Object

_SHARED: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def take_status(target: Object, source: Object) -> None:
    """Give ``target`` the status of ``source``, or none when it has none."""
    if "status" in source:
        target["status"] = source["status"]
    else:
        target.pop("status", None)


def _with_status(old: Object, wanted: Object) -> Object:
    """Return the old object with the wanted status and annotations.

    Annotations too, as in Kubernetes: controllers note there what belongs to a status, such as a
    Deployment's revision.
    """
    new = {**old, "metadata": {**old["metadata"]}}
    if "annotations" in wanted["metadata"]:
        new["metadata"]["annotations"] = wanted["metadata"]["annotations"]
    else:
        new["metadata"].pop("annotations", None)
    take_status(new, wanted)
    return new


STATUS: Final = Subresource("status", GET_PATCH_UPDATE, merge=_with_status)

SCALE_TYPE: Final = TypeName("autoscaling", "v1", "Scale")
# errors about a Scale name it as a resource
_SCALES: Final[Kind[AnyObject]] = Kind("autoscaling", "v1", "Scale", "scales", AnyObject)


def _selector_text(selector: Any) -> str:
    """The selector as text; that of a ReplicationController is a plain map of labels."""
    given = selector or {}
    if given and not ("matchLabels" in given or "matchExpressions" in given):
        given = {"matchLabels": given}
    return str(label_matcher(msgspec.convert(given, LabelSelector)))


def scale_of(obj: Object) -> Object:
    """Return the Scale of a workload: how many replicas it shall have and has."""
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    replicas = spec.get("replicas", 1)
    return {
        "kind": SCALE_TYPE.kind,
        "apiVersion": SCALE_TYPE.api_version,
        "metadata": {field: metadata[field] for field in _SHARED if field in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": _selector_text(spec.get("selector")),
        },
    }


def _with_scale(old: Object, wanted: Object) -> Object:
    """Return the old object with the replicas of the wanted Scale.

    Raises: ApiError Invalid for a number below zero.
    """
    replicas: Any = (wanted.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        error = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid(_SCALES, old["metadata"]["name"], [error])
    spec = {**(old.get("spec") or {}), "replicas": replicas}
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


SCALE: Final = Subresource(
    "scale", GET_PATCH_UPDATE, SCALE_TYPE, project=scale_of, merge=_with_scale, whole=True
)


def proxied(options: str) -> Subresource:
    """Return ``proxy``, whose requests go on to a port of the object; options: its type in core."""
    verbs = ("create", "delete", "get", "patch", "update")
    return Subresource("proxy", verbs, TypeName("", "v1", options), streamed=True)
