"""ReplicationController: what ReplicaSet replaced, with a selector that is a plain map of labels.

Mirrors ``pkg/registry/core/replicationcontroller`` and its defaults: labels and selector are those
of the template when they are left out. Its controller is ReplicaSet's.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from netlab.api.apps import ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from netlab.api.defaults_pod import default_template
from netlab.api.field_selectors import paths
from netlab.api.kind import Kind, spec_changed
from netlab.api.kinds.apps import template_advice
from netlab.api.kinds.counted import counted_by_name
from netlab.api.meta import AnyObject, LabelSelector
from netlab.api.pods import PodTemplateSpec
from netlab.api.printing import Cells, Printer, format_labels, metadata, part
from netlab.api.subresources import SCALE, STATUS
from netlab.api.tables.workloads import REPLICA_SET_PRINTER
from netlab.api.validation.workloads import validate_replication_controller
from netlab.api.view import Object, View


class ReplicationControllerSpec(View, frozen=True, kw_only=True):
    """How many pods of one template shall run."""

    replicas: int = 1
    min_ready_seconds: int = 0
    selector: dict[str, str] = {}
    template: PodTemplateSpec = msgspec.field(default_factory=PodTemplateSpec)


class ReplicationController(AnyObject, frozen=True, kw_only=True):
    """Keeps a number of equal pods running."""

    spec: ReplicationControllerSpec = msgspec.field(default_factory=ReplicationControllerSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)

    def as_replica_set(self) -> ReplicaSet:
        """Return the ReplicaSet that wants the same."""
        spec = ReplicaSetSpec(
            replicas=self.spec.replicas,
            min_ready_seconds=self.spec.min_ready_seconds,
            selector=LabelSelector(match_labels=self.spec.selector),
            template=self.spec.template,
        )
        return ReplicaSet(
            api_version=self.api_version,
            kind=self.kind,
            metadata=self.metadata,
            spec=spec,
            status=self.status,
        )


def _defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("replicas", 1)
    if spec.get("template") is not None:
        spec["template"] = default_template(spec["template"])
        labels = metadata(spec["template"]).get("labels")
        if labels and not spec.get("selector"):
            spec["selector"] = labels
        if labels and not metadata(new).get("labels"):
            new["metadata"] = {**new["metadata"], "labels": labels}
    new["spec"] = spec
    new["status"] = {"replicas": 0, **(new.get("status") or {})}


def _begin(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def _cells(obj: Object, now: datetime) -> Cells:
    spec = part(obj, "spec")
    bare = {**obj, "spec": {name: spec[name] for name in spec if name != "selector"}}
    *cells, _ = REPLICA_SET_PRINTER.cells(bare, now)
    return [*cells, format_labels(spec.get("selector"))]


REPLICATION_CONTROLLER = Kind(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    ReplicationController,
    short_names=("rc",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    zeros=(
        ("ReplicationControllerSpec", "minReadySeconds"),
        (
            "ReplicationControllerStatus",
            "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
        ),
        ("ReplicationControllerCondition", "reason message"),
    ),
    defaults=_defaults,
    validate=validate_replication_controller,
    prepare_create=_begin,
    generation_changes=spec_changed,
    printer=Printer(REPLICA_SET_PRINTER.columns, _cells),
    selectable=paths("status.replicas"),
    counting=counted_by_name("replicationcontrollers"),
    advice=template_advice,
)
KINDS = (REPLICATION_CONTROLLER,)
