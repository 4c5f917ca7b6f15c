"""What the API server itself decides about a Pod: its first status, its class, its node, and what
a write through one of its subresources may change.

Mirrors ``pkg/registry/core/pod`` (the strategies and binding). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from netlab.api.field_errors import FieldError, conflict, invalid, not_supported, required
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.api.pod_resources import qos_class
from netlab.api.validation.pod_update import validate_ephemeral_update, validate_resize
from netlab.api.view import Object
from netlab.errors import ApiError

# errors name the kind when the Binding is wrong, and the subresource when the pod refuses it
_BINDING: Kind[AnyObject] = Kind("", "v1", "Binding", "pods/binding", AnyObject)


def prepare_create(pod: Object) -> None:
    """Replace whatever status the client sent by that of a pod nobody has seen yet."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod.get("spec") or {})}


def bind(pod: Object, binding: Object, now: str) -> Object:
    """Return the pod assigned to the node that the Binding names.

    Raises: ApiError Invalid for a Binding without a node, Conflict when the pod is bound or going.
    """
    name = pod["metadata"]["name"]
    target = binding.get("target") or {}
    node = target.get("name") or ""
    errors = []
    if (target.get("kind") or "Node") not in ("Node", "Minion"):
        errors.append(not_supported("target.kind", target.get("kind"), ["Node", "<empty>"]))
    if not node:
        errors.append(required("target.name"))
    if errors:
        raise invalid(_BINDING, name, errors)
    if pod["metadata"].get("deletionTimestamp"):
        raise _binding_conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise _binding_conflict(
            name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    annotations = (binding.get("metadata") or {}).get("annotations") or {}
    bound = {**pod, "metadata": dict(pod["metadata"]), "spec": {**pod["spec"], "nodeName": node}}
    if annotations:
        bound["metadata"]["annotations"] = {
            **(pod["metadata"].get("annotations") or {}),
            **annotations,
        }
    status = pod.get("status") or {}
    bound["status"] = {
        **status,
        "conditions": _with_scheduled(status.get("conditions") or (), now),
    }
    return bound


def _binding_conflict(name: str, reason: str) -> ApiError:
    return conflict(_BINDING, name, reason)


def _with_scheduled(conditions: Iterable[dict[str, Any]], now: str) -> list[dict[str, Any]]:
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }
    return [*(each for each in conditions if each.get("type") != "PodScheduled"), scheduled]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a pod that has a subresource of its own.

    merge(old, wanted): the old pod with that part of the wanted one; all else stays as it was.
    validate(old, new): what is wrong with the result.
    """

    merge: Callable[[Object, Object], Object]
    validate: Callable[[Object, Object], list[FieldError]]


def _with_ephemeral_containers(old: Object, wanted: Object) -> Object:
    spec = dict(old.get("spec") or {})
    containers = (wanted.get("spec") or {}).get("ephemeralContainers")
    spec.pop("ephemeralContainers", None)
    if containers:
        spec["ephemeralContainers"] = containers
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


def _with_resources(old: Object, wanted: Object) -> Object:
    spec = dict(old.get("spec") or {})
    asked = wanted.get("spec") or {}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = _resized(spec[field], asked.get(field) or ())
    return {**old, "metadata": dict(old["metadata"]), "spec": spec}


def _resized(
    containers: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]
) -> list[Object]:
    by_name = {container.get("name"): container for container in wanted}
    return [
        {
            **container,
            **{
                field: by_name[container["name"]][field]
                for field in ("resources", "resizePolicy")
                if field in by_name.get(container["name"], {})
            },
        }
        for container in containers
    ]


PARTS: Final[Mapping[str, Part]] = {
    "ephemeralcontainers": Part(_with_ephemeral_containers, validate_ephemeral_update),
    "resize": Part(_with_resources, validate_resize),
}
