"""Rows of ReplicaSet, Deployment, DaemonSet and StatefulSet."""

from __future__ import annotations

from datetime import datetime

from netlab.api.printing import (
    AGE,
    NAME,
    Cells,
    Column,
    Printer,
    age_of,
    format_label_selector,
    format_labels,
    name_of,
    part,
    wide,
)
from netlab.api.view import Object

CONTAINERS = wide("Containers", description="Names of the template's containers.")
IMAGES = wide("Images", description="Images of the template's containers.")
SELECTOR = wide("Selector", description="Which pods belong to the object.")

REPLICA_SET_COLUMNS = (
    NAME,
    Column("Desired", "integer", description="Pods that shall run."),
    Column("Current", "integer", description="Pods that exist."),
    Column("Ready", "integer", description="Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
DEPLOYMENT_COLUMNS = (
    NAME,
    Column("Ready", description="Pods that are ready, of those that shall run."),
    Column("Up-to-date", description="Pods made from the newest template."),
    Column("Available", description="Pods that have been ready long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
DAEMON_SET_COLUMNS = (
    NAME,
    Column("Desired", "integer", description="Nodes that shall run a pod."),
    Column("Current", "integer", description="Nodes that have a pod."),
    Column("Ready", "integer", description="Nodes whose pod is ready."),
    Column("Up-to-date", "integer", description="Nodes whose pod has the newest template."),
    Column("Available", "integer", description="Nodes whose pod has been ready long enough."),
    Column("Node Selector", description="Labels of the nodes that get a pod."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)
STATEFUL_SET_COLUMNS = (
    NAME,
    Column("Ready", description="Pods that are ready, of those that shall run."),
    AGE,
    CONTAINERS,
    IMAGES,
)


def _names_and_images(obj: Object) -> list[str]:
    containers = part(obj, "spec", "template", "spec", "containers") or ()
    return [",".join(c.get(key, "") for c in containers) for key in ("name", "image")]


def replica_set_cells(replica_set: Object, now: datetime) -> Cells:
    """Return the cells of ``REPLICA_SET_COLUMNS``."""
    spec, status = part(replica_set, "spec"), part(replica_set, "status")
    return [
        name_of(replica_set),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age_of(replica_set, now),
        *_names_and_images(replica_set),
        format_label_selector(spec.get("selector")),
    ]


def deployment_cells(deployment: Object, now: datetime) -> Cells:
    """Return the cells of ``DEPLOYMENT_COLUMNS``."""
    spec, status = part(deployment, "spec"), part(deployment, "status")
    return [
        name_of(deployment),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age_of(deployment, now),
        *_names_and_images(deployment),
        format_label_selector(spec.get("selector")),
    ]


def daemon_set_cells(daemon_set: Object, now: datetime) -> Cells:
    """Return the cells of ``DAEMON_SET_COLUMNS``."""
    spec, status = part(daemon_set, "spec"), part(daemon_set, "status")
    return [
        name_of(daemon_set),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        format_labels(part(spec, "template", "spec").get("nodeSelector")),
        age_of(daemon_set, now),
        *_names_and_images(daemon_set),
        format_label_selector(spec.get("selector")),
    ]


def stateful_set_cells(stateful_set: Object, now: datetime) -> Cells:
    """Return the cells of ``STATEFUL_SET_COLUMNS``."""
    spec, status = part(stateful_set, "spec"), part(stateful_set, "status")
    return [
        name_of(stateful_set),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        age_of(stateful_set, now),
        *_names_and_images(stateful_set),
    ]


REPLICA_SET_PRINTER = Printer(REPLICA_SET_COLUMNS, replica_set_cells)
DEPLOYMENT_PRINTER = Printer(DEPLOYMENT_COLUMNS, deployment_cells)
DAEMON_SET_PRINTER = Printer(DAEMON_SET_COLUMNS, daemon_set_cells)
STATEFUL_SET_PRINTER = Printer(STATEFUL_SET_COLUMNS, stateful_set_cells)
