"""Decides the Node object and its heartbeat.

Mirrors ``pkg/kubelet/nodestatus`` and the registration in ``kubelet_node_status.go``. The pressure
conditions are computed with the kubelet's default eviction thresholds. Pure.

netlab leaves out eviction: pressure is shown, but no pod is removed for it; and taints for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from netlab import __version__
from netlab.api.core import Node
from netlab.api.release import RELEASE
from netlab.api.view import Object
from netlab.kubelet.node.machine import Machine, Pressure
from netlab.runtime.cri import ImageInfo
from netlab.timestamps import rfc3339, rfc3339_micro

MAX_PODS = 110
MAX_IMAGES = 50
MAX_IMAGE_NAMES = 5
KUBELET_PORT = 10250
OWNED_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION_S = 40

MEMORY_THRESHOLD_BYTES = 100 * 1024 * 1024
DISK_THRESHOLD_SHARE = 0.10
PID_THRESHOLD_SHARE = 0.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a Node tells. problems: why the node is not ready; none means that it is."""

    name: str
    address: str
    machine: Machine
    pressure: Pressure
    pod_cidr: IPv4Network | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    images: Sequence[ImageInfo] = ()
    problems: Sequence[str] = ()
    port: int = KUBELET_PORT


def node_object(facts: NodeFacts, now: datetime) -> Object:
    """Return the Node to create."""
    machine = facts.machine
    spec: Object = {}
    if facts.pod_cidr is not None:
        spec = {"podCIDR": str(facts.pod_cidr), "podCIDRs": [str(facts.pod_cidr)]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": facts.name,
            "labels": node_labels(facts.name, machine.architecture) | dict(facts.labels),
        },
        "spec": spec,
        "status": node_status(facts, {}, now),
    }


def node_labels(name: str, architecture: str) -> dict[str, str]:
    """Return the labels every node has."""
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def missing_labels(shown: Mapping[str, Any], facts: NodeFacts) -> dict[str, str]:
    """Return those of the labels every node has that the Node, as shown, lacks or has otherwise."""
    have = (shown.get("metadata") or {}).get("labels") or {}
    wanted = node_labels(facts.name, facts.machine.architecture)
    return {key: value for key, value in wanted.items() if have.get(key) != value}


def node_status(facts: NodeFacts, shown: Mapping[str, Any], now: datetime) -> Object:
    """Return the Node's status.

    shown: the status as the API server tells it. Its conditions of other writers and its amounts of
    resources that the kubelet does not know (extended resources) are kept, and so are the times of
    conditions that did not change.
    """
    machine = facts.machine
    resources = {
        "cpu": str(machine.processors),
        "ephemeral-storage": f"{machine.disk_kib}Ki",
        "memory": f"{machine.memory_kib}Ki",
        "pods": str(MAX_PODS),
    }
    capacity = {**(shown.get("capacity") or {}), **resources}
    return {
        "addresses": [
            {"type": "InternalIP", "address": facts.address},
            {"type": "Hostname", "address": facts.name},
        ],
        "capacity": capacity,
        "allocatable": dict(capacity),
        "conditions": _conditions(facts, shown.get("conditions") or [], now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": facts.port}},
        "images": _images(facts.images),
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": f"netlab://{__version__}",
            "kernelVersion": machine.kernel_version,
            "kubeProxyVersion": "",
            "kubeletVersion": RELEASE,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "swap": {"capacity": machine.swap_bytes},
            "systemUUID": machine.system_uuid,
        },
    }


def _images(images: Sequence[ImageInfo]) -> list[Object]:
    here = [image for image in images if image.present]
    largest = sorted(here, key=lambda image: image.size_bytes, reverse=True)[:MAX_IMAGES]
    return [
        {"names": list(image.names[:MAX_IMAGE_NAMES]), "sizeBytes": image.size_bytes}
        for image in largest
    ]


def _conditions(facts: NodeFacts, old: Sequence[Object], now: datetime) -> list[Object]:
    pressure = facts.pressure
    pressed = {
        "MemoryPressure": pressure.memory_available_bytes < MEMORY_THRESHOLD_BYTES,
        "DiskPressure": pressure.disk_available_share < DISK_THRESHOLD_SHARE,
        "PIDPressure": pressure.pids_available_share <= PID_THRESHOLD_SHARE,
    }
    texts = {
        "MemoryPressure": (
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ),
        "DiskPressure": (
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ),
        "PIDPressure": (
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ),
    }
    conditions = [
        _condition(kind, is_true, *texts[kind][is_true], old, now)
        for kind, is_true in pressed.items()
    ]
    if facts.problems:
        ready = _condition("Ready", False, "KubeletNotReady", ", ".join(facts.problems), old, now)
    else:
        message = "kubelet is posting ready status"
        ready = _condition("Ready", True, "KubeletReady", message, old, now)
    foreign = [dict(c) for c in old if c.get("type") not in OWNED_CONDITIONS]
    return [*foreign, *conditions, ready]


def _condition(
    kind: str, is_true: bool, reason: str, message: str, old: Sequence[Object], now: datetime
) -> Object:
    status = "True" if is_true else "False"
    before = next((c for c in old if c.get("type") == kind), {})
    same = before.get("status") == status
    changed = (before.get("lastTransitionTime") if same else None) or rfc3339(now)
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": changed,
        "reason": reason,
        "message": message,
    }


def node_patch(shown: Mapping[str, Any], wanted: Object) -> Object:
    """Return the merge patch of a Node that makes ``wanted`` its status.

    Mappings lose the members that only the status as shown has: an amount that nobody has.
    """
    exact = {key: dict(wanted[key]) for key in ("capacity", "allocatable")}
    for key, members in exact.items():
        members.update(dict.fromkeys((shown.get(key) or {}).keys() - members.keys()))
    return {"status": {**wanted, **exact}}


def is_shown(shown: Mapping[str, Any], wanted: Object) -> bool:
    """True when the status as shown says all of ``wanted``, the times of heartbeats apart."""
    return all(_comparable(key, shown.get(key)) == _comparable(key, wanted[key]) for key in wanted)


def _comparable(key: str, value: Any) -> object:
    if key != "conditions":
        return value
    return {
        c.get("type"): {name: v for name, v in c.items() if name != "lastHeartbeatTime"}
        for c in value or []
    }


def is_ready(node: Mapping[str, Any]) -> bool:
    """True when the Node, as the API server has it, tells that it is Ready."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def lease_object(node: Node, now: datetime) -> Object:
    """Return the Lease by which the node says that it lives."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": node.metadata.name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "name": node.metadata.name,
                    "uid": node.metadata.uid,
                }
            ],
        },
        "spec": {
            "holderIdentity": node.metadata.name,
            "leaseDurationSeconds": LEASE_DURATION_S,
            "renewTime": rfc3339_micro(now),
        },
    }
