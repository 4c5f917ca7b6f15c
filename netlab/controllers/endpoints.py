"""Decides the Endpoints object of a Service: the old, single-object form of its endpoints.

Mirrors kube-controller-manager's ``endpoints-controller``: addresses with the same ports share a
subset, ready and not ready ones apart; pods that end are left out, and so are pods that have none
of the Service's ports (a named port that no container has); at most 1000 addresses.
Kubernetes calls the API deprecated since v1.33 and still writes it, because people read it.

Services without a selector are left alone. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from netlab.api.core import Endpoints, Service
from netlab.api.kinds import ENDPOINTS
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.controllers.actions import NOTHING, Create, Decision, Delete, Patch
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

MAX_ADDRESSES = 1000
CAPACITY_ANNOTATION = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


def decide_endpoints(
    service: Service | None, pods: Sequence[Pod], old: Endpoints | None
) -> Decision:
    """Return the write that makes the Endpoints object show the Service's pods.

    service None: it is gone, and so goes what this controller made for it.
    """
    if service is None:
        return _clean_up(old)
    if not service.spec.selector or service.metadata.deletion_timestamp is not None:
        return NOTHING
    candidates = (
        backend(service, pod)
        for pod in pods
        if belongs_in_endpoints(pod)
        and (pod.metadata.deletion_timestamp is None or service.spec.publish_not_ready_addresses)
    )
    members = [each for each in candidates if _is_reachable(service, each)]
    subsets = build_subsets(members[:MAX_ADDRESSES])
    moment = trigger_time(service, list(pods))
    annotations: dict[str, str | None] = {
        TRIGGER_TIME_ANNOTATION: None if moment is None else rfc3339(moment),
        CAPACITY_ANNOTATION: "truncated" if len(members) > MAX_ADDRESSES else None,
    }
    if old is None:
        return Decision((_create(service, subsets, annotations),))
    if subsets == _subsets_of(old) and _labels(service) == old.metadata.labels:
        return NOTHING
    labels: dict[str, str | None] = dict.fromkeys(old.metadata.labels)
    patch: Object = {
        "metadata": {
            "labels": labels | _labels(service),
            "annotations": annotations,
            "resourceVersion": old.metadata.resource_version,
        },
        "subsets": subsets or None,
    }
    return Decision((Patch(ENDPOINTS, old.metadata.namespace, old.metadata.name, patch),))


def _is_reachable(service: Service, member: Backend) -> bool:
    """Return whether the pod serves a port; a headless Service may do without any."""
    return bool(member.ports) or (not service.spec.ports and is_headless(service))


def build_subsets(members: Sequence[Backend]) -> list[Object]:
    """Return the subsets: one per combination of ports, addresses in numeric order."""
    groups: dict[Ports, list[Backend]] = {}
    for member in members:
        groups.setdefault(member.ports, []).append(member)
    subsets = []
    for ports, group in sorted(groups.items(), key=lambda item: _sort_key(item[0])):
        group.sort(key=lambda member: IPv4Address(member.address))
        ready = [_address(member) for member in group if member.ready]
        not_ready = [_address(member) for member in group if not member.ready]
        subset: Object = {}
        if ready:
            subset["addresses"] = ready
        if not_ready:
            subset["notReadyAddresses"] = not_ready
        if ports:
            subset["ports"] = [port.to_object(empty_name=False) for port in ports]
        subsets.append(subset)
    return subsets


def _sort_key(ports: Ports) -> list[tuple[str, int, str]]:
    return [(port.name, port.port, port.protocol) for port in ports]


def _address(member: Backend) -> Object:
    entry: Object = {"ip": member.address}
    if member.hostname:
        entry["hostname"] = member.hostname
    if member.node_name:
        entry["nodeName"] = member.node_name
    entry["targetRef"] = member.target_ref()
    return entry


def _labels(service: Service) -> dict[str, str]:
    labels = {k: v for k, v in service.metadata.labels.items() if k != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    labels[MANAGED_BY_LABEL] = MANAGER
    return labels


def _create(service: Service, subsets: list[Object], annotations: dict[str, str | None]) -> Create:
    new: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": service.metadata.name,
            "namespace": service.metadata.namespace,
            "labels": _labels(service),
            "annotations": {key: value for key, value in annotations.items() if value},
        },
    }
    if subsets:
        new["subsets"] = subsets
    return Create(ENDPOINTS, new)


def _clean_up(old: Endpoints | None) -> Decision:
    if old is None or old.metadata.labels.get(MANAGED_BY_LABEL) != MANAGER:
        return NOTHING
    meta = old.metadata
    return Decision((Delete(ENDPOINTS, meta.namespace, meta.name, meta.uid),))


def _subsets_of(old: Endpoints) -> list[Object]:
    subsets = []
    for item in old.subsets:
        subset: Object = {}
        for key, addresses in (
            ("addresses", item.addresses),
            ("notReadyAddresses", item.not_ready_addresses),
        ):
            if addresses:
                subset[key] = [address.to_object() for address in addresses]
        if item.ports:
            # protocol always stands in the stored object; a view leaves its default out
            subset["ports"] = [{"protocol": "TCP"} | port.to_object() for port in item.ports]
        subsets.append(subset)
    return subsets
