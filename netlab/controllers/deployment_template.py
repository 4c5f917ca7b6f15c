"""The ReplicaSet that a Deployment makes of its template: hash, labels, annotations, revision.

Mirrors ``pkg/controller/deployment/util`` of kube-controller-manager. The pod-template-hash is a
32-bit FNV-1a written with Kubernetes' safe alphabet, but of the template's canonical JSON:
Kubernetes hashes a dump of its Go structs, so the hashes look alike and differ in value. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.kinds import DEPLOYMENT, REPLICA_SET
from netlab.api.names import int64
from netlab.api.pods import PodTemplateSpec
from netlab.api.view import Object
from netlab.controllers.actions import Announcement, Create, owner_reference
from netlab.controllers.rollout import max_surge

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_COPIED = {LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS}

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no 0, 1, 3: no hash spells a word or is misread."""


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    """Return 8 to 10 characters that stand for the template; collisions makes another name."""
    text = msgspec.json.encode(_canonical(template, ""), order="sorted")
    if collisions:
        text += collisions.to_bytes(4, "little")
    value = 0x811C9DC5
    for byte in text:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(ALPHABET[ord(char) % len(ALPHABET)] for char in f"{value:08d}")


def _canonical(template: PodTemplateSpec, without_label: str) -> Object:
    metadata = {key: value for key, value in template.metadata.items() if value}
    labels = dict(metadata.pop("labels", {}))
    labels.pop(without_label, None)
    return {"metadata": metadata, "labels": labels, "spec": template.spec}


def same_template(deployment: Deployment, rs: ReplicaSet) -> bool:
    """Return whether the ReplicaSet was made of the Deployment's present template."""
    return _canonical(rs.spec.template, HASH_LABEL) == _canonical(deployment.spec.template, "")


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """Return the oldest ReplicaSet with the present template."""
    matching = [rs for rs in sets if same_template(deployment, rs)]
    return min(matching, key=age_key, default=None)


def age_key(rs: ReplicaSet) -> tuple[str, str]:
    """Sort key: oldest first, then by name."""
    created = rs.metadata.creation_timestamp
    return (created.isoformat() if created is not None else "", rs.metadata.name)


def revision_of(annotations: Mapping[str, str]) -> int:
    """Return the revision number noted in annotations; 0 when there is none."""
    text = annotations.get(REVISION, "")
    return int64(text) or 0


def next_revision(old: Iterable[ReplicaSet]) -> int:
    """Return the revision that the new ReplicaSet gets."""
    return max((revision_of(rs.metadata.annotations) for rs in old), default=0) + 1


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """Return the annotations that let a later scaling keep the proportions of this one."""
    replicas = deployment.spec.replicas
    return {
        DESIRED_REPLICAS: str(replicas),
        MAX_REPLICAS: str(replicas + max_surge(deployment)),
    }


def new_replica_set(
    deployment: Deployment, hash_value: str, replicas: int, revision: int
) -> Create:
    """Return the creation of the ReplicaSet for the present template."""
    name = f"{deployment.metadata.name}-{hash_value}"
    template = deployment.spec.template
    labels = {**(template.metadata.get("labels") or {}), HASH_LABEL: hash_value}
    selector = deployment.spec.selector.to_object()
    selector["matchLabels"] = {**deployment.spec.selector.match_labels, HASH_LABEL: hash_value}
    annotations = copied_annotations(deployment) | size_annotations(deployment)
    spec: Object = {
        "replicas": replicas,
        "selector": selector,
        "template": {"metadata": {**template.metadata, "labels": labels}, "spec": template.spec},
    }
    if deployment.spec.min_ready_seconds:
        spec["minReadySeconds"] = deployment.spec.min_ready_seconds
    obj: Object = {
        "apiVersion": REPLICA_SET.api_version,
        "kind": REPLICA_SET.kind,
        "metadata": {
            "name": name,
            "namespace": deployment.metadata.namespace,
            "labels": labels,
            "annotations": annotations | {REVISION: str(revision)},
            "ownerReferences": [owner_reference(DEPLOYMENT, deployment)],
        },
        "spec": spec,
    }
    return Create(REPLICA_SET, obj, scaling(deployment, name, 0, replicas))


def scaling(deployment: Deployment, name: str, before: int, after: int) -> Announcement | None:
    """Return the event that tells a change of size; None when there is no change."""
    if before == after:
        return None
    direction = "up" if after > before else "down"
    text = f"Scaled {direction} replica set {name} from {before} to {after}"
    return Announcement(DEPLOYMENT, deployment, "ScalingReplicaSet", text)


def copied_annotations(deployment: Deployment) -> dict[str, str]:
    """Return the Deployment's annotations that its ReplicaSet carries too."""
    annotations = deployment.metadata.annotations
    return {key: value for key, value in annotations.items() if key not in NOT_COPIED}


def refreshed_annotations(deployment: Deployment, rs: ReplicaSet, revision: int) -> dict[str, Any]:
    """Return the annotations that the existing new ReplicaSet lacks.

    A ReplicaSet that becomes the new one again (a rollback) gets a new revision number, and its
    former ones are kept in the revision history.
    """
    wanted = copied_annotations(deployment)
    former = revision_of(rs.metadata.annotations)
    if former < revision:
        wanted[REVISION] = str(revision)
        if former:
            history = rs.metadata.annotations.get(REVISION_HISTORY, "")
            wanted[REVISION_HISTORY] = f"{history},{former}" if history else str(former)
    present = rs.metadata.annotations
    return {key: value for key, value in wanted.items() if present.get(key) != value}
