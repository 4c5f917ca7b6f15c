"""Decides the EndpointSlices of a Service: which pods it leads to, and their state.

Mirrors kube-controller-manager's ``endpointslice-controller``. Pods are grouped by their port
numbers (a named port may differ from pod to pod; one that no container of a pod has is left out,
so that a group may have no port at all, as in Kubernetes); each group fills slices of at most 100
endpoints. An endpoint stays in the slice where it is, so that a change of one pod writes one
slice. A Service without endpoints keeps one empty slice.

Services without a selector are left alone: their slices are somebody else's, and so is every
slice whose managed-by label names another manager. netlab leaves out topology hints and IPv6. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from netlab.api.core import Service
from netlab.api.discovery import SERVICE_NAME_LABEL, EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, SERVICE
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.controllers.actions import (
    NOTHING,
    Burst,
    Create,
    Decision,
    Delete,
    Patch,
    Single,
    owner_reference,
)
from netlab.controllers.backends import (
    HEADLESS_LABEL,
    TRIGGER_TIME_ANNOTATION,
    Backend,
    Ports,
    backend,
    belongs_in_endpoints,
    is_headless,
    trigger_time,
)
from netlab.timestamps import rfc3339

MAX_ENDPOINTS = 100
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"


@dataclass
class _Plan:
    """One slice while its endpoints are decided; old is None for a slice to be made."""

    old: EndpointSlice | None
    ports: list[Object]
    endpoints: list[Object] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        if self.old is None or self.endpoints != _endpoints_of(self.old):
            return True
        return self.ports != [port_object(port) for port in self.old.ports]


def decide_endpoint_slices(
    service: Service, pods: Sequence[Pod], slices: Iterable[EndpointSlice]
) -> Decision:
    """Return the writes that make the Service's slices show its pods.

    pods: those the selector matches; slices: those labelled with the Service's name.
    """
    if not service.spec.selector or service.metadata.deletion_timestamp is not None:
        return NOTHING
    own = [s for s in slices if s.metadata.labels.get(MANAGED_BY_LABEL) == MANAGER]
    if service.spec.type == "ExternalName":
        return Decision(tuple(_delete(old) for old in own))
    groups: dict[Ports, dict[str, Object]] = {}
    for pod in pods:
        if belongs_in_endpoints(pod):
            member = backend(service, pod)
            groups.setdefault(member.ports, {})[member.pod_uid] = endpoint(member)
    plans = _place(groups, [s for s in own if s.address_type == "IPv4"])
    actions = _writes(service, pods, plans)
    actions += [_delete(old) for old in own if old.address_type != "IPv4"]
    return Decision((Burst(actions),) if actions else ())


def endpoint(member: Backend) -> Object:
    """Return the slice entry of one pod."""
    entry: Object = {
        "addresses": [member.address],
        "conditions": {
            "ready": member.ready,
            "serving": member.serving,
            "terminating": member.terminating,
        },
        "targetRef": member.target_ref(),
    }
    if member.node_name:
        entry["nodeName"] = member.node_name
    if member.hostname:
        entry["hostname"] = member.hostname
    return entry


def _place(groups: dict[Ports, dict[str, Object]], slices: Iterable[EndpointSlice]) -> list[_Plan]:
    """Return the plans of all slices: endpoints stay where they are, new ones fill the gaps."""
    wanted = {
        _port_key([p.to_object(empty_name=True) for p in ports]): dict(members)
        for ports, members in groups.items()
    }
    plans = []
    for old in sorted(slices, key=lambda s: s.metadata.name):
        ports = [port_object(port) for port in old.ports]
        plan = _Plan(old, ports)
        members = wanted.get(_port_key(ports), {})
        for entry in old.endpoints:
            uid = entry.target_ref.uid if entry.target_ref is not None else ""
            if uid in members:
                plan.endpoints.append(members.pop(uid))
        plans.append(plan)
    for key, members in wanted.items():
        _fill(plans, key, list(members.values()))
    return plans


def _fill(plans: list[_Plan], key: bytes, entries: list[Object]) -> None:
    # slices that are written anyway take the new endpoints first; then the fullest with room
    same = [plan for plan in plans if _port_key(plan.ports) == key]
    for plan in sorted(same, key=lambda p: (not p.changed, -len(p.endpoints))):
        room = MAX_ENDPOINTS - len(plan.endpoints)
        if plan.changed or len(entries) <= room:
            plan.endpoints += entries[:room]
            del entries[:room]
    ports: list[Object] = msgspec.json.decode(key)
    while entries:
        plans.append(_Plan(None, ports, entries[:MAX_ENDPOINTS]))
        del entries[:MAX_ENDPOINTS]


def _writes(service: Service, pods: Sequence[Pod], plans: list[_Plan]) -> list[Single]:
    used = [plan for plan in plans if plan.endpoints]
    spare = [plan for plan in plans if not plan.endpoints]
    if not used:
        # one empty slice says that the controller has seen the Service
        used = [_Plan(spare.pop(0).old if spare else None, [])]
    moment = trigger_time(service, list(pods))
    stamp = None if moment is None else rfc3339(moment)
    actions: list[Single] = []
    for plan in used:
        if plan.old is None:
            actions.append(_create(service, plan, stamp))
        elif plan.changed or _labels(service) != plan.old.metadata.labels:
            actions.append(_patch(service, plan.old, plan, stamp))
    return actions + [_delete(plan.old) for plan in spare if plan.old is not None]


def _create(service: Service, plan: _Plan, stamp: str | None) -> Create:
    name = service.metadata.name
    metadata: Object = {
        "generateName": f"{name}-",
        "namespace": service.metadata.namespace,
        "labels": _labels(service),
        "ownerReferences": [owner_reference(SERVICE, service)],
    }
    if stamp is not None:
        metadata["annotations"] = {TRIGGER_TIME_ANNOTATION: stamp}
    new = {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": plan.endpoints,
        "ports": plan.ports,
    }
    return Create(ENDPOINT_SLICE, new)


def _patch(service: Service, old: EndpointSlice, plan: _Plan, stamp: str | None) -> Patch:
    labels: dict[str, str | None] = dict.fromkeys(old.metadata.labels)
    patch: Object = {
        "metadata": {
            "labels": labels | _labels(service),
            "annotations": {TRIGGER_TIME_ANNOTATION: stamp},
            "resourceVersion": old.metadata.resource_version,
        },
        "endpoints": plan.endpoints,
        "ports": plan.ports,
    }
    return Patch(ENDPOINT_SLICE, old.metadata.namespace, old.metadata.name, patch)


def _delete(old: EndpointSlice) -> Delete:
    meta = old.metadata
    return Delete(ENDPOINT_SLICE, meta.namespace, meta.name, meta.uid)


def _labels(service: Service) -> dict[str, str]:
    labels = {k: v for k, v in service.metadata.labels.items() if k != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    labels[SERVICE_NAME_LABEL] = service.metadata.name
    labels[MANAGED_BY_LABEL] = MANAGER
    return labels


def _endpoints_of(old: EndpointSlice) -> list[Object]:
    entries = []
    for item in old.endpoints:
        conditions = item.conditions
        entry: Object = {
            "addresses": list(item.addresses),
            "conditions": {
                "ready": conditions.ready,
                "serving": conditions.serving,
                "terminating": conditions.terminating,
            },
        }
        if item.target_ref is not None:
            entry["targetRef"] = item.target_ref.to_object()
        if item.node_name:
            entry["nodeName"] = item.node_name
        if item.hostname:
            entry["hostname"] = item.hostname
        entries.append(entry)
    return entries


def port_object(port: Any) -> Object:
    """Return a port of a slice, or of a subset of Endpoints, as a slice writes it."""
    entry: Object = {"port": port.port, "protocol": port.protocol, "name": port.name}
    if port.app_protocol is not None:
        entry["appProtocol"] = port.app_protocol
    return entry


def _port_key(ports: list[Object]) -> bytes:
    return msgspec.json.encode(ports, order="sorted")
