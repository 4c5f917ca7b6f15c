"""What the API server itself decides about a Pod: its first status, its class, its node.

Mirrors ``pkg/registry/core/pod`` (strategy and binding) and ``pkg/apis/core/v1/helper/qos``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netlab.api.field_errors import conflict, invalid, not_supported, required
from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.api.quantities import parse_quantity
from netlab.api.view import Object
from netlab.errors import ApiError

# errors name the kind when the Binding is wrong, and the subresource when the pod refuses it
_BINDING: Kind[AnyObject] = Kind("", "v1", "Binding", "pods/binding", AnyObject)
_COMPUTE = ("cpu", "memory")


def prepare_create(pod: Object) -> None:
    """Replace whatever status the client sent by that of a pod nobody has seen yet."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod.get("spec") or {})}


def qos_class(spec: dict[str, Any]) -> str:
    """Return Guaranteed, Burstable or BestEffort, from the containers' requests and limits."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    if not any(_amounts(each, "requests") or _amounts(each, "limits") for each in resources):
        return "BestEffort"
    guaranteed = all(
        set(_amounts(each, "limits")) == set(_COMPUTE)
        and _amounts(each, "requests") in ({}, _amounts(each, "limits"))
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _amounts(resources: dict[str, Any], field: str) -> dict[str, int]:
    """CPU and memory in thousandths; zero counts as not given."""
    given = resources.get(field) or {}
    amounts = {name: parse_quantity(given[name]).milli() for name in _COMPUTE if name in given}
    return {name: amount for name, amount in amounts.items() if amount}


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
