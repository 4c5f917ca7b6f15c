"""ReplicaSet and Deployment: pods of one template, kept at a number and replaced step by step.

Mirrors ``pkg/registry/apps`` and ``pkg/apis/apps/v1/defaults.go``.
"""

from __future__ import annotations

from collections.abc import Iterable

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.defaults_pod import default_template
from netlab.api.kind import Kind, spec_changed
from netlab.api.pod_warnings import pod_spec_warnings
from netlab.api.subresources import SCALE, STATUS
from netlab.api.tables.workloads import DEPLOYMENT_PRINTER, REPLICA_SET_PRINTER
from netlab.api.validation.workloads import (
    validate_deployment,
    validate_replica_set,
    validate_selector_update,
)
from netlab.api.view import Object


def _replica_set_defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("replicas", 1)
    spec["template"] = default_template(spec.get("template") or {})
    new["spec"] = spec
    new["status"] = {"replicas": 0, **(new.get("status") or {})}


def _begin_replica_set(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def _deployment_defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = dict(spec.get("strategy") or {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        bounds = {"maxUnavailable": "25%", "maxSurge": "25%"}
        strategy["rollingUpdate"] = {**bounds, **(strategy.get("rollingUpdate") or {})}
    spec["strategy"] = strategy
    spec["template"] = default_template(spec.get("template") or {})
    new["spec"] = spec
    new.setdefault("status", {})


def _begin_deployment(obj: Object) -> None:
    obj["status"] = {}


def _deployment_changed(new: Object, old: Object) -> bool:
    # kubectl records the cause of a change in an annotation, and the controller copies it
    return spec_changed(new, old) or (
        (new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {})
    )


def template_advice(obj: Object) -> Iterable[str]:
    """Return Kubernetes' warnings about the pod template of a workload."""
    template = (obj.get("spec") or {}).get("template") or {}
    return pod_spec_warnings(template.get("spec") or {}, "spec.template.spec")


REPLICA_SET = Kind(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    ReplicaSet,
    short_names=("rs",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    zeros=(
        ("ReplicaSetSpec", "minReadySeconds"),
        (
            "ReplicaSetStatus",
            "fullyLabeledReplicas readyReplicas availableReplicas observedGeneration",
        ),
        ("ReplicaSetCondition", "reason message"),
    ),
    defaults=_replica_set_defaults,
    validate=validate_replica_set,
    validate_update=validate_selector_update,
    prepare_create=_begin_replica_set,
    generation_changes=spec_changed,
    printer=REPLICA_SET_PRINTER,
    advice=template_advice,
)
DEPLOYMENT = Kind(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    Deployment,
    short_names=("deploy",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    zeros=(
        ("DeploymentSpec", "minReadySeconds paused"),
        ("DeploymentStrategy", "type"),
        (
            "DeploymentStatus",
            "observedGeneration replicas updatedReplicas readyReplicas availableReplicas"
            " unavailableReplicas",
        ),
        ("DeploymentCondition", "reason message"),
    ),
    defaults=_deployment_defaults,
    validate=validate_deployment,
    validate_update=validate_selector_update,
    prepare_create=_begin_deployment,
    generation_changes=_deployment_changed,
    printer=DEPLOYMENT_PRINTER,
    advice=template_advice,
)
KINDS = (REPLICA_SET, DEPLOYMENT)
