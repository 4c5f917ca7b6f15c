"""Decides the EndpointSlices that show Endpoints which no controller wrote.

Mirrors kube-controller-manager's ``endpointslice-mirroring-controller``: kube-proxy reads slices
only, so Endpoints that a person or a program keeps for a Service without a selector are copied into
slices, one for each family of addresses and set of ports, at most 1,000 addresses of each subset.
Not mirrored are Endpoints with the label ``endpointslice.kubernetes.io/skip-mirror``, those that
serve as a lock for leader election, and those of a Service with a selector or of none; slices that
were made before go.

netlab leaves out the time stamp of the last change. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, TypeAlias

import msgspec

from netlab.api.core import EndpointAddress, Endpoints, EndpointSubset, Service
from netlab.api.discovery import SERVICE_NAME_LABEL, Endpoint, EndpointSlice
from netlab.api.kinds import ENDPOINT_SLICE, ENDPOINTS
from netlab.api.view import Object
from netlab.controllers.actions import (
    Burst,
    Create,
    Decision,
    Delete,
    Note,
    Patch,
    Single,
    owner_reference,
)
from netlab.controllers.backends import TRIGGER_TIME_ANNOTATION
from netlab.controllers.endpointslice import MANAGED_BY_LABEL, port_object

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER_ANNOTATION: Final = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ADDRESSES: Final = 1000
MIRROR_INDEX: Final = "mirrored"

_Group: TypeAlias = tuple[str, bytes]
"""(family of addresses, ports as JSON): what one slice has one of."""


def by_mirrored(mirror: EndpointSlice) -> tuple[str, ...]:
    """Index the slices of this controller by ``namespace/name`` of their Service."""
    if mirror.metadata.labels.get(MANAGED_BY_LABEL) != MANAGER or not mirror.service_name:
        return ()
    return (f"{mirror.metadata.namespace}/{mirror.service_name}",)


def is_mirrored(endpoints: Endpoints) -> bool:
    """Return whether these Endpoints ask to be mirrored; the Service has a say too."""
    meta = endpoints.metadata
    return meta.labels.get(SKIP_LABEL) != "true" and LEADER_ANNOTATION not in meta.annotations


def decide_mirrored_slices(
    endpoints: Endpoints | None, service: Service | None, own: Sequence[EndpointSlice]
) -> Decision:
    """Return the writes that make the slices show the Endpoints.

    own: the slices this controller has made for a Service of that name.
    """
    if endpoints is None or service is None or service.spec.selector or not is_mirrored(endpoints):
        return _all_of([_delete(old) for old in own])
    if endpoints.metadata.deletion_timestamp is not None:
        return Decision()  # the slices name it as their owner and are collected
    wanted, skipped = _groups(endpoints.subsets)
    actions: list[Single] = []
    for old in sorted(own, key=lambda each: each.metadata.name):
        group = (old.address_type, _port_key([port_object(port) for port in old.ports]))
        entries = wanted.pop(group, None)
        if entries is None:
            actions.append(_delete(old))
        elif _differs(endpoints, old, entries):
            actions.append(_patch(endpoints, old, entries))
    actions += [_create(endpoints, group, entries) for group, entries in wanted.items()]
    if skipped:
        actions.append(_too_many(endpoints, skipped))
    return _all_of(actions)


def _all_of(actions: Sequence[Single]) -> Decision:
    return Decision((Burst(actions),) if actions else ())


def _groups(subsets: Iterable[EndpointSubset]) -> tuple[dict[_Group, list[Object]], int]:
    """Return the entries of each slice, and how many addresses are too many."""
    groups: dict[_Group, list[Object]] = {}
    skipped = 0
    for subset in subsets:
        key = _port_key([port_object(port) for port in subset.ports])
        entries = list(_entries(subset))
        skipped += max(len(entries) - MAX_ADDRESSES, 0)
        for family, entry in entries[:MAX_ADDRESSES]:
            group = groups.setdefault((family, key), [])
            if entry not in group:
                group.append(entry)
    return groups, skipped


def _entries(subset: EndpointSubset) -> Iterator[tuple[str, Object]]:
    for addresses, ready in ((subset.addresses, True), (subset.not_ready_addresses, False)):
        for address in addresses:
            version = ip_address(address.ip).version
            yield f"IPv{version}", _entry(address, ready)


def _entry(address: EndpointAddress, ready: bool) -> Object:
    entry: Object = {"addresses": [address.ip], "conditions": {"ready": ready}}
    if address.target_ref is not None:
        entry["targetRef"] = address.target_ref.to_object()
    if address.node_name:
        entry["nodeName"] = address.node_name
    if address.hostname:
        entry["hostname"] = address.hostname
    return entry


def _port_key(ports: list[Object]) -> bytes:
    return msgspec.json.encode(ports, order="sorted")


def _labels(endpoints: Endpoints) -> dict[str, str]:
    return {
        **endpoints.metadata.labels,
        SERVICE_NAME_LABEL: endpoints.metadata.name,
        MANAGED_BY_LABEL: MANAGER,
    }


def _annotations(endpoints: Endpoints) -> dict[str, str]:
    dropped = (TRIGGER_TIME_ANNOTATION, LAST_APPLIED_ANNOTATION)
    given = endpoints.metadata.annotations
    return {name: text for name, text in given.items() if name not in dropped}


def _differs(endpoints: Endpoints, old: EndpointSlice, entries: list[Object]) -> bool:
    meta = old.metadata
    return (
        msgspec.convert(entries, tuple[Endpoint, ...]) != old.endpoints
        or meta.labels != _labels(endpoints)
        or meta.annotations != _annotations(endpoints)
    )


def _create(endpoints: Endpoints, group: _Group, entries: list[Object]) -> Create:
    family, ports = group
    meta = endpoints.metadata
    return Create(
        ENDPOINT_SLICE,
        {
            "apiVersion": ENDPOINT_SLICE.api_version,
            "kind": ENDPOINT_SLICE.kind,
            "metadata": {
                "generateName": f"{meta.name}-",
                "namespace": meta.namespace,
                "labels": _labels(endpoints),
                "annotations": _annotations(endpoints),
                "ownerReferences": [owner_reference(ENDPOINTS, endpoints)],
            },
            "addressType": family,
            "endpoints": entries,
            "ports": msgspec.json.decode(ports),
        },
    )


def _patch(endpoints: Endpoints, old: EndpointSlice, entries: list[Object]) -> Patch:
    def replacing(present: Mapping[str, str], wanted: Mapping[str, str]) -> Object:
        return {**dict.fromkeys(present), **wanted}

    meta = old.metadata
    patch: Object = {
        "metadata": {
            "labels": replacing(meta.labels, _labels(endpoints)),
            "annotations": replacing(meta.annotations, _annotations(endpoints)),
            "resourceVersion": meta.resource_version,
        },
        "endpoints": entries,
    }
    return Patch(ENDPOINT_SLICE, meta.namespace, meta.name, patch)


def _delete(old: EndpointSlice) -> Delete:
    meta = old.metadata
    return Delete(ENDPOINT_SLICE, meta.namespace, meta.name, meta.uid)


def _too_many(endpoints: Endpoints, skipped: int) -> Note:
    return Note(
        ENDPOINTS,
        endpoints,
        "TooManyAddressesToMirror",
        f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints"
        f" subset. {skipped} addresses were skipped",
        "Warning",
    )
