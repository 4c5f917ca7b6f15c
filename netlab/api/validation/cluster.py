"""Rules for Nodes, Leases and Events.

Mirrors ``ValidateNode``, ``ValidateLeaseSpec`` and ``ValidateEventCreate``.
"""

from __future__ import annotations

from typing import Final

from netlab.api import names
from netlab.api.field_errors import FieldError, duplicate, forbidden_field, invalid_value
from netlab.api.validation.numbers import one_of
from netlab.api.view import Object

TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def validate_node(node: Object) -> list[FieldError]:
    """Return what is wrong with a Node, metadata aside."""
    spec = node.get("spec") or {}
    errors = []
    used: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        path = f"spec.taints[{index}]"
        key, value, effect = (taint.get(field) or "" for field in ("key", "value", "effect"))
        errors += [invalid_value(f"{path}.key", key, m) for m in names.qualified_name(key)]
        errors += [invalid_value(f"{path}.value", value, m) for m in names.label_value(value)]
        errors += one_of(effect, f"{path}.effect", TAINT_EFFECTS)
        if (key, effect) in used:
            errors.append(duplicate(path, taint))
        used.add((key, effect))
    networks = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    for index, network in enumerate(networks):
        path = f"spec.podCIDRs[{index}]"
        errors += [invalid_value(path, network, message) for message in names.ip_network(network)]
    return errors


def validate_node_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse a change of the pod address range that pods already use."""
    before = (old.get("spec") or {}).get("podCIDR")
    if not before or before == (new.get("spec") or {}).get("podCIDR"):
        return []
    detail = 'node updates may not change podCIDR except from "" to valid'
    return [forbidden_field("spec.podCIDRs", detail)]


def validate_lease(lease: Object) -> list[FieldError]:
    """Return what is wrong with a Lease, metadata aside."""
    spec = lease.get("spec") or {}
    errors = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        errors.append(
            invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")
        )
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        errors.append(invalid_value("spec.leaseTransitions", transitions, detail))
    return errors


def validate_event(event: Object) -> list[FieldError]:
    """Return what is wrong with an Event: it lives in the namespace of what it tells about."""
    namespace = (event.get("metadata") or {}).get("namespace") or ""
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    # events about cluster-scoped objects live in the namespace default
    if involved == namespace or (not involved and namespace in ("default", "kube-system")):
        return []
    return [invalid_value("involvedObject.namespace", involved, "does not match event.namespace")]
