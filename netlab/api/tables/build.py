"""Build the Table of a list of objects, and say which printer serves which resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from netlab.api.kinds import Kind
from netlab.api.tables import cluster, network, quota, storage, workloads
from netlab.api.tables.columns import NAME, Cells, Column, Printer, metadata
from netlab.api.tables.pods import POD_PRINTER
from netlab.api.view import Object

PRINTERS: Mapping[str, Printer] = {
    "pods": POD_PRINTER,
    "services": network.SERVICE_PRINTER,
    "endpoints": network.ENDPOINTS_PRINTER,
    "endpointslices.discovery.k8s.io": network.ENDPOINT_SLICE_PRINTER,
    "ingresses.networking.k8s.io": network.INGRESS_PRINTER,
    "ingressclasses.networking.k8s.io": network.INGRESS_CLASS_PRINTER,
    "networkpolicies.networking.k8s.io": network.NETWORK_POLICY_PRINTER,
    "nodes": cluster.NODE_PRINTER,
    "namespaces": cluster.NAMESPACE_PRINTER,
    "configmaps": cluster.CONFIG_MAP_PRINTER,
    "secrets": cluster.SECRET_PRINTER,
    "serviceaccounts": cluster.SERVICE_ACCOUNT_PRINTER,
    "events": cluster.EVENT_PRINTER,
    "events.events.k8s.io": cluster.EVENT_PRINTER,
    "leases.coordination.k8s.io": cluster.LEASE_PRINTER,
    "persistentvolumes": storage.VOLUME_PRINTER,
    "persistentvolumeclaims": storage.CLAIM_PRINTER,
    "storageclasses.storage.k8s.io": storage.CLASS_PRINTER,
    "resourcequotas": quota.RESOURCE_QUOTA_PRINTER,
    "nodes.metrics.k8s.io": quota.NODE_METRICS_PRINTER,
    "pods.metrics.k8s.io": quota.POD_METRICS_PRINTER,
    "replicasets.apps": workloads.REPLICA_SET_PRINTER,
    "deployments.apps": workloads.DEPLOYMENT_PRINTER,
    "daemonsets.apps": workloads.DAEMON_SET_PRINTER,
    "statefulsets.apps": workloads.STATEFUL_SET_PRINTER,
}
"""Printers by ``Kind.group_resource``."""


def _default_cells(obj: Object, now: datetime) -> Cells:
    meta = metadata(obj)
    return [meta.get("name", ""), meta.get("creationTimestamp") or ""]


DEFAULT_PRINTER = Printer(
    (NAME, Column("Created At", "date", description="When the object was created.")),
    _default_cells,
)


def table_for(
    kind: Kind[Any],
    objects: Iterable[Object],
    now: datetime,
    *,
    include_object: str = "Metadata",
    list_metadata: Mapping[str, Any] | None = None,
) -> Object:
    """Return the Table of ``objects``, one row each, in their order.

    include_object: what each row carries beside its cells: ``None``, ``Metadata`` (a
    PartialObjectMetadata) or ``Object``. list_metadata: the list's own metadata
    (resourceVersion, continue, …); a single object's Table carries its resourceVersion instead.
    """
    printer = PRINTERS.get(kind.group_resource, DEFAULT_PRINTER)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(list_metadata or {}),
        "columnDefinitions": [column.definition() for column in printer.columns],
        "rows": [_row(printer, obj, now, include_object) for obj in objects],
    }


def _row(printer: Printer, obj: Object, now: datetime, include_object: str) -> Object:
    row: Object = {"cells": printer.cells(obj, now)}
    conditions = printer.conditions(obj) if printer.conditions else []
    if conditions:
        row["conditions"] = conditions
    if include_object == "Object":
        row["object"] = obj
    elif include_object == "Metadata":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata(obj),
        }
    return row
