"""Decides how claims and volumes are bound to each other, and what becomes of a volume afterwards.

Mirrors kube-controller-manager's ``persistentvolume-binder`` (``pkg/controller/volume/
persistentvolume/pv_controller.go``) with its events. A binding is four writes in a fixed order:
the volume names the claim, the volume is Bound, the claim names the volume, the claim is Bound.
Each decision starts from what is there, so a binding cut short is completed by the next one.

Volumes are made and removed by their provisioner (``kubelet.provisioner`` for folders of the node);
here a claim is only marked with who shall do it. A claim of a class with WaitForFirstConsumer
waits until the scheduler has marked it with a node; then a volume that can be used there is bound,
or one is provisioned. Pure.

netlab leaves out the policy Recycle, block devices, and a volume's migration to CSI.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from netlab.api.meta import ObjectMeta
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.storage_marks import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    LOCAL_PATH,
    NO_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
    WAIT_FOR_CONSUMER,
    default_class,
    names_claim,
)
from netlab.api.volume_match import Place, best_volume, mismatch
from netlab.controllers.actions import NOTHING, Action, Decision, Note, Patch
from netlab.timestamps import rfc3339

RELEASED, FAILED, AVAILABLE, BOUND = "Released", "Failed", "Available", "Bound"
YES = "yes"


@dataclass(frozen=True, slots=True)
class StorageWorld:
    """What a decision about a claim looks at.

    volumes: all of them. volume(name). classes: all of them, by name. node_labels(name): None for
    a node that does not exist. users: the pods that use the claim.
    """

    volumes: Sequence[PersistentVolume]
    volume: Callable[[str], PersistentVolume | None]
    classes: Mapping[str, StorageClass]
    node_labels: Callable[[str], Mapping[str, str] | None]
    users: Collection[Pod] = ()


def decide_claim(claim: PersistentVolumeClaim, world: StorageWorld, now: datetime) -> Decision:
    """Return what brings a claim nearer to its volume."""
    if BIND_COMPLETED in claim.metadata.annotations:
        return _bound_claim(claim, world, now)
    if claim.metadata.deletion_timestamp is not None:
        return NOTHING
    if claim.spec.volume_name:
        return _claim_of_volume(claim, world.volume(claim.spec.volume_name), now)
    return _open_claim(claim, world, now)


def _bound_claim(claim: PersistentVolumeClaim, world: StorageWorld, now: datetime) -> Decision:
    if not claim.spec.volume_name:
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return _lost(claim, "ClaimLost", text)
    volume = world.volume(claim.spec.volume_name)
    if volume is None:
        text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return _lost(claim, "ClaimLost", text)
    owner = volume.spec.claim_ref
    if owner is None or owner.uid == claim.metadata.uid:
        return _bind(claim, volume, now)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", text)


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Decision:
    if claim.status.phase == "Lost":
        return NOTHING
    status = {"phase": "Lost", "accessModes": None, "capacity": None}
    note = Note(PERSISTENT_VOLUME_CLAIM, claim, reason, message, "Warning")
    return Decision((_claim_status(claim, status), note))


def _claim_of_volume(
    claim: PersistentVolumeClaim, volume: PersistentVolume | None, now: datetime
) -> Decision:
    """The user has named the volume, or a binding was cut short."""
    if volume is None:
        return _pending(claim)
    owner = volume.spec.claim_ref
    if owner is None:
        why = mismatch(claim, volume)
        if why is None:
            return _bind(claim, volume, now)
        text = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
        return _pending(claim, _told(claim, "VolumeMismatch", text, "Warning"))
    if names_claim(volume, claim):
        return _bind(claim, volume, now)
    text = f'volume "{volume.metadata.name}" already bound to a different claim.'
    return _pending(claim, _told(claim, "FailedBinding", text, "Warning"))


def _open_claim(claim: PersistentVolumeClaim, world: StorageWorld, now: datetime) -> Decision:
    class_name = claim.spec.storage_class_name
    found_class = world.classes.get(class_name or "")
    node = claim.metadata.annotations.get(SELECTED_NODE, "")
    waits = found_class is not None and found_class.volume_binding_mode == WAIT_FOR_CONSUMER
    labels = world.node_labels(node) if node else None
    place = None if labels is None else Place(node, labels)
    volume = best_volume(claim, world.volumes, place=place, wait_for_node=waits)
    if volume is not None:
        return _bind(claim, volume, now)
    if waits and not node:
        return _pending(claim, _first_consumer(claim, world.users))
    if class_name:
        return _provision(claim, class_name, found_class)
    if class_name is None:
        chosen = default_class(world.classes.values())
        if chosen is not None:
            patch = {"spec": {"storageClassName": chosen.metadata.name}}
            return Decision((_claim_patch(claim, patch),))
    text = "no persistent volumes available for this claim and no storage class is set"
    return _pending(claim, _told(claim, "FailedBinding", text))


def _first_consumer(claim: PersistentVolumeClaim, users: Collection[Pod]) -> Note:
    waiting = sorted(pod.metadata.name for pod in users if not pod.spec.node_name)
    if not waiting:
        text = "waiting for first consumer to be created before binding"
        return _told(claim, "WaitForFirstConsumer", text)
    subject = f"pod {waiting[0]}" if len(waiting) == 1 else f"one of pods {','.join(waiting)}"
    return _told(claim, "WaitForPodScheduled", f"waiting for {subject} to be scheduled")


def _provision(
    claim: PersistentVolumeClaim, class_name: str, found: StorageClass | None
) -> Decision:
    if found is None:
        text = f'storageclass.storage.k8s.io "{class_name}" not found'
        return _pending(claim, _told(claim, "ProvisioningFailed", text, "Warning"))
    who = found.provisioner
    if who == NO_PROVISIONER:
        text = f"no volume plugin matched name: {who}"
        return _pending(claim, _told(claim, "ProvisioningFailed", text, "Warning"))
    notes: list[Action] = []
    if who != LOCAL_PATH:
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{who}' or "
            "manually by the system administrator. If volume creation is delayed, please verify "
            "that the provisioner is running and correctly registered."
        )
        notes.append(_told(claim, "ExternalProvisioning", text))
    if claim.metadata.annotations.get(STORAGE_PROVISIONER) == who:
        return _pending(claim, *notes)
    marks = {STORAGE_PROVISIONER: who, STORAGE_PROVISIONER_BETA: who}
    mark = _claim_patch(claim, {"metadata": {"annotations": marks}})
    return _pending(claim, mark, *notes)


def _told(claim: PersistentVolumeClaim, reason: str, message: str, kind: Any = "Normal") -> Note:
    return Note(PERSISTENT_VOLUME_CLAIM, claim, reason, message, kind)


def _pending(claim: PersistentVolumeClaim, *actions: Action) -> Decision:
    if claim.status.phase != "Pending":
        status = {"phase": "Pending", "accessModes": None, "capacity": None}
        return Decision((_claim_status(claim, status), *actions))
    return Decision(actions)


def _bind(claim: PersistentVolumeClaim, volume: PersistentVolume, now: datetime) -> Decision:
    """Return those of the four writes that are still to be done."""
    actions = [
        _volume_names_claim(volume, claim),
        _volume_phase(volume, BOUND, now),
        _claim_names_volume(claim, volume),
        _claim_is_bound(claim, volume),
    ]
    return Decision(tuple(action for action in actions if action is not None))


def _volume_names_claim(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Patch | None:
    owner = volume.spec.claim_ref
    if owner is not None and owner.uid == claim.metadata.uid:
        return None
    meta = claim.metadata
    reference = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    }
    patch: dict[str, Any] = {"spec": {"claimRef": reference}}
    if owner is None:
        patch["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: YES}}
    return _volume_patch(volume, patch)


def _claim_names_volume(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Patch | None:
    marks: dict[str, str] = {}
    patch: dict[str, Any] = {}
    if not claim.spec.volume_name:
        patch["spec"] = {"volumeName": volume.metadata.name}
        marks[BOUND_BY_CONTROLLER] = YES
    if BIND_COMPLETED not in claim.metadata.annotations:
        marks[BIND_COMPLETED] = YES
    if marks:
        patch["metadata"] = {"annotations": marks}
    return _claim_patch(claim, patch) if patch else None


def _claim_is_bound(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Patch | None:
    capacity = {"storage": volume.spec.capacity.get("storage", "0")}
    same = (
        claim.status.phase == BOUND
        and claim.status.access_modes == volume.spec.access_modes
        and claim.status.capacity.get("storage") == capacity["storage"]
    )
    if same:
        return None
    status = {
        "phase": BOUND,
        "accessModes": list(volume.spec.access_modes),
        "capacity": capacity,
    }
    return _claim_status(claim, status)


def decide_volume(
    volume: PersistentVolume, claim: PersistentVolumeClaim | None, now: datetime
) -> Decision:
    """Return what a volume's phase must be, and what becomes of a released one.

    claim: the one that the volume names, if it exists under that name.
    """
    owner = volume.spec.claim_ref
    if owner is None or not owner.uid:
        return _phase(volume, AVAILABLE, now)
    if claim is None or claim.metadata.uid != owner.uid:
        return _released(volume, now)
    if not claim.spec.volume_name:
        return NOTHING  # the decision about the claim completes the binding
    if claim.spec.volume_name == volume.metadata.name:
        return _phase(volume, BOUND, now)
    made_for_it = PROVISIONED_BY in volume.metadata.annotations
    if made_for_it and volume.spec.persistent_volume_reclaim_policy == "Delete":
        return _released(volume, now)
    return _unbind(volume, now)


def _phase(volume: PersistentVolume, phase: str, now: datetime) -> Decision:
    patch = _volume_phase(volume, phase, now)
    return NOTHING if patch is None else Decision((patch,))


def _released(volume: PersistentVolume, now: datetime) -> Decision:
    """The claim is gone. A provisioner removes its own volumes when it sees the phase."""
    if volume.status.phase == FAILED:
        return NOTHING
    why = _no_reclaim(volume)
    if why is None:
        return _phase(volume, RELEASED, now)
    reason, message = why
    patch = _volume_phase(volume, FAILED, now, message)
    assert patch is not None, "the volume has not failed before"
    return Decision((patch, Note(PERSISTENT_VOLUME, volume, reason, message, "Warning")))


def _no_reclaim(volume: PersistentVolume) -> tuple[str, str] | None:
    """Return why nobody can do what the reclaim policy asks for: (reason, message)."""
    policy = volume.spec.persistent_volume_reclaim_policy
    if policy == "Recycle":
        return "VolumeFailedRecycle", "No recycler plugin found for the volume!"
    if policy == "Delete" and PROVISIONED_BY not in volume.metadata.annotations:
        name = volume.metadata.name
        text = "no deletable volume plugin matched"
        return (
            "VolumeFailedDelete",
            f'error getting deleter volume plugin for volume "{name}": {text}',
        )
    return None


def _unbind(volume: PersistentVolume, now: datetime) -> Decision:
    """Let go of a claim that got another volume: we chose it, or else the user did."""
    if BOUND_BY_CONTROLLER in volume.metadata.annotations:
        patch: dict[str, Any] = {
            "metadata": {"annotations": {BOUND_BY_CONTROLLER: None}},
            "spec": {"claimRef": None},
        }
    else:
        patch = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    phase = _volume_phase(volume, AVAILABLE, now)
    return Decision((_volume_patch(volume, patch), *([phase] if phase else ())))


def _volume_phase(
    volume: PersistentVolume, phase: str, now: datetime, message: str = ""
) -> Patch | None:
    if volume.status.phase == phase:
        return None
    status = {
        "phase": phase,
        "message": message or None,
        "lastPhaseTransitionTime": rfc3339(now),
    }
    return Patch(
        PERSISTENT_VOLUME,
        None,
        volume.metadata.name,
        {"metadata": {"uid": volume.metadata.uid}, "status": status},
        subresource="status",
        gone_ok=True,
    )


def _volume_patch(volume: PersistentVolume, patch: Mapping[str, Any]) -> Patch:
    return Patch(
        PERSISTENT_VOLUME, None, volume.metadata.name, _unless_changed(volume.metadata, patch)
    )


def _claim_patch(claim: PersistentVolumeClaim, patch: Mapping[str, Any]) -> Patch:
    meta = claim.metadata
    return Patch(PERSISTENT_VOLUME_CLAIM, meta.namespace, meta.name, _unless_changed(meta, patch))


def _unless_changed(meta: ObjectMeta, patch: Mapping[str, Any]) -> dict[str, Any]:
    # two claims must not get the same volume, and a new claim of the same name none by mistake
    version = {"uid": meta.uid, "resourceVersion": meta.resource_version}
    return {**patch, "metadata": {**patch.get("metadata", {}), **version}}


def _claim_status(claim: PersistentVolumeClaim, status: Mapping[str, Any]) -> Patch:
    meta = claim.metadata
    return Patch(
        PERSISTENT_VOLUME_CLAIM,
        meta.namespace,
        meta.name,
        {"metadata": {"uid": meta.uid}, "status": status},
        subresource="status",
        gone_ok=True,
    )
