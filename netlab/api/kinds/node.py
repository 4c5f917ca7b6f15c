"""Node: a machine that runs pods.

Mirrors ``pkg/registry/core/node`` and ``ValidateNode``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from netlab.api import names
from netlab.api.core import Node
from netlab.api.durations import UNKNOWN
from netlab.api.field_errors import FieldError, duplicate, forbidden_field, invalid_value
from netlab.api.field_selectors import flag_at
from netlab.api.kind import Kind
from netlab.api.label_text import node_roles
from netlab.api.printing import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Printer,
    age_of,
    metadata,
    name_of,
    part,
    wide,
)
from netlab.api.subresources import STATUS, proxied
from netlab.api.validation.numbers import one_of
from netlab.api.view import Object

TAINT_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_FACTS: Final = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def _defaults(new: Object) -> None:
    new.setdefault("spec", {})
    status = dict(new.get("status") or {})
    if status.get("capacity"):
        status["allocatable"] = {**status["capacity"], **(status.get("allocatable") or {})}
    # Go writes these structs even when they are empty
    daemon = status.get("daemonEndpoints") or {}
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 0}, **daemon}
    facts = dict.fromkeys(_FACTS, "")
    status["nodeInfo"] = {**facts, **(status.get("nodeInfo") or {})}
    new["status"] = status


def _validate(node: Object) -> list[FieldError]:
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


def _validate_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse a change of the pod address range that pods already use."""
    before = (old.get("spec") or {}).get("podCIDR")
    if not before or before == (new.get("spec") or {}).get("podCIDR"):
        return []
    detail = 'node updates may not change podCIDR except from "" to valid'
    return [forbidden_field("spec.podCIDRs", detail)]


_COLUMNS: Final = (
    NAME,
    Column("Status", description="Ready or not, and whether pods may be scheduled."),
    Column("Roles", description="What the node is for, from its labels."),
    AGE,
    Column("Version", description="The kubelet's version."),
    wide("Internal-IP", description="The node's address inside the cluster."),
    wide("External-IP", description="The node's address from outside."),
    wide("OS-Image", description="The operating system."),
    wide("Kernel-Version", description="The kernel."),
    wide("Container-Runtime", description="What runs the containers."),
)


def _cells(node: Object, now: datetime) -> Cells:
    info = part(node, "status", "nodeInfo")
    return [
        name_of(node),
        _status(node),
        ",".join(node_roles(metadata(node).get("labels"))) or NONE,
        age_of(node, now),
        info.get("kubeletVersion", ""),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _status(node: Object) -> str:
    words = [
        "Ready" if condition.get("status") == "True" else "NotReady"
        for condition in part(node, "status").get("conditions") or ()
        if condition.get("type") == "Ready"
    ] or ["Unknown"]
    if part(node, "spec").get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _address(node: Object, type: str) -> str:
    for address in part(node, "status").get("addresses") or ():
        if address.get("type") == type:
            return str(address.get("address"))
    return NONE


NODE = Kind(
    "",
    "v1",
    "Node",
    "nodes",
    Node,
    namespaced=False,
    short_names=("no",),
    subresources=(proxied("NodeProxyOptions"), STATUS),
    zeros=(
        ("Taint", "value"),
        ("NodeSpec", "podCIDR providerID unschedulable"),
        ("NodeCondition", "reason message"),
    ),
    defaults=_defaults,
    validate=_validate,
    validate_update=_validate_update,
    printer=Printer(_COLUMNS, _cells),
    selectable={"spec.unschedulable": flag_at("spec", "unschedulable")},
)
KINDS = (NODE,)
