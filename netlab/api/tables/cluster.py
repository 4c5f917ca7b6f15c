"""Rows of Node, Namespace, ConfigMap, Secret, ServiceAccount, Lease and Event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from netlab.api.durations import UNKNOWN, age
from netlab.api.label_text import node_roles
from netlab.api.tables.columns import (
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
from netlab.api.view import Object

NODE_COLUMNS = (
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
NAMESPACE_COLUMNS = (NAME, Column("Status", description="Active or Terminating."), AGE)
CONFIG_MAP_COLUMNS = (NAME, Column("Data", description="Number of keys."), AGE)
SECRET_COLUMNS = (
    NAME,
    Column("Type", description="What the secret is for."),
    Column("Data", description="Number of keys."),
    AGE,
)
SERVICE_ACCOUNT_COLUMNS = (NAME, AGE)
LEASE_COLUMNS = (NAME, Column("Holder", description="Who holds the lease."), AGE)
EVENT_COLUMNS = (
    Column("Last Seen", description="When it happened last."),
    Column("Type", description="Normal or Warning."),
    Column("Reason", description="What happened, in one word."),
    Column("Object", description="What it happened to."),
    wide("Subobject", description="The part of the object it happened to."),
    wide("Source", description="Who reports it."),
    Column("Message", description="What happened, for people."),
    wide("First Seen", description="When it happened first."),
    wide("Count", description="How often it happened."),
    Column("Name", format="name", priority=1, description="Name of the event."),
)


def node_cells(node: Object, now: datetime) -> Cells:
    """Return the cells of ``NODE_COLUMNS``."""
    info = part(node, "status", "nodeInfo")
    return [
        name_of(node),
        _node_status(node),
        ",".join(node_roles(metadata(node).get("labels"))) or NONE,
        age_of(node, now),
        info.get("kubeletVersion", ""),
        _node_address(node, "InternalIP"),
        _node_address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(node: Object) -> str:
    words = [
        "Ready" if condition.get("status") == "True" else "NotReady"
        for condition in part(node, "status").get("conditions") or ()
        if condition.get("type") == "Ready"
    ] or ["Unknown"]
    if part(node, "spec").get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_address(node: Object, type: str) -> str:
    for address in part(node, "status").get("addresses") or ():
        if address.get("type") == type:
            return str(address.get("address"))
    return NONE


def namespace_cells(namespace: Object, now: datetime) -> Cells:
    """Return the cells of ``NAMESPACE_COLUMNS``."""
    phase = part(namespace, "status").get("phase", "")
    return [name_of(namespace), phase, age_of(namespace, now)]


def config_map_cells(config_map: Object, now: datetime) -> Cells:
    """Return the cells of ``CONFIG_MAP_COLUMNS``."""
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [name_of(config_map), count, age_of(config_map, now)]


def secret_cells(secret: Object, now: datetime) -> Cells:
    """Return the cells of ``SECRET_COLUMNS``."""
    count = len(secret.get("data") or ())
    return [name_of(secret), secret.get("type", ""), count, age_of(secret, now)]


def service_account_cells(service_account: Object, now: datetime) -> Cells:
    """Return the cells of ``SERVICE_ACCOUNT_COLUMNS``."""
    return [name_of(service_account), age_of(service_account, now)]


def lease_cells(lease: Object, now: datetime) -> Cells:
    """Return the cells of ``LEASE_COLUMNS``."""
    return [name_of(lease), part(lease, "spec").get("holderIdentity") or "", age_of(lease, now)]


def event_cells(event: Object, now: datetime) -> Cells:
    """Return the cells of ``EVENT_COLUMNS``."""
    first = age(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = age(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    series = event.get("series")
    if series:
        last = age(series.get("lastObservedTime"), now)
        count = series.get("count", 0)
    involved = event.get("involvedObject") or {}
    target = str(involved.get("kind", "")).lower()
    if involved.get("name"):
        target = f"{target}/{involved['name']}"
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        format_event_source(event),
        str(event.get("message", "")).strip(),
        first,
        count,
        name_of(event),
    ]


def format_event_source(event: Mapping[str, Any]) -> str:
    """Return who reports an event: ``kubelet, node0`` or ``replicaset-controller``."""
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


NODE_PRINTER = Printer(NODE_COLUMNS, node_cells)
NAMESPACE_PRINTER = Printer(NAMESPACE_COLUMNS, namespace_cells)
CONFIG_MAP_PRINTER = Printer(CONFIG_MAP_COLUMNS, config_map_cells)
SECRET_PRINTER = Printer(SECRET_COLUMNS, secret_cells)
SERVICE_ACCOUNT_PRINTER = Printer(SERVICE_ACCOUNT_COLUMNS, service_account_cells)
LEASE_PRINTER = Printer(LEASE_COLUMNS, lease_cells)
EVENT_PRINTER = Printer(EVENT_COLUMNS, event_cells)
