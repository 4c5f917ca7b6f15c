"""What a pod's claims say about where it may run.

Mirrors kube-scheduler's plugins VolumeBinding, VolumeRestrictions (ReadWriteOncePod) and the volume
part of VolumeZone, with their reasons. A claim of a class with WaitForFirstConsumer follows the
pod: the scheduler marks it with the node it has chosen, the binder binds or has a volume made
there, and only then the pod is bound.

A volume that somebody made beforehand for such a class is bound by the binder too, after the mark;
kube-scheduler writes that binding itself. What a student sees is the same. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolumeClaim
from netlab.api.storage_marks import NO_PROVISIONER, WAIT_FOR_CONSUMER, is_bound
from netlab.api.volume_affinity import volume_fits_node
from netlab.api.volume_match import Place, best_volume
from netlab.scheduler.filters import Context, Rejection

UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
WRONG_NODE = "node(s) didn't match PersistentVolume's node affinity"
CLAIM_IN_USE = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)


def claim_names(pod: Pod) -> list[str]:
    """Return the names of the claims that a pod uses, each once."""
    sources = (volume.persistent_volume_claim for volume in pod.spec.volumes)
    return list(dict.fromkeys(source.claim_name for source in sources if source is not None))


def claims_are_usable(pod: Pod, context: Context) -> Rejection | None:
    """Refuse a pod whose claims do not exist, are going, or must be bound before it is placed."""
    waiting = False
    for name in claim_names(pod):
        claim = context.claim(pod.metadata.namespace, name)
        if claim is None:
            return Rejection((f'persistentvolumeclaim "{name}" not found',))
        if claim.status.phase == "Lost":
            lost = claim.spec.volume_name
            text = f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
            return Rejection((text,))
        if claim.metadata.deletion_timestamp is not None:
            return Rejection((f'persistentvolumeclaim "{name}" is being deleted',))
        waiting |= not is_bound(claim) and not _waits_for_consumer(claim, context)
    return Rejection((UNBOUND_IMMEDIATE,)) if waiting else None


def _waits_for_consumer(claim: PersistentVolumeClaim, context: Context) -> bool:
    if claim.spec.volume_name:
        return False  # it is being bound to the volume it names
    found = context.storage_class(claim.spec.storage_class_name or "")
    return found is not None and found.volume_binding_mode == WAIT_FOR_CONSUMER


def volumes_are_reachable(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse nodes on which the pod's volumes are not, and cannot be made."""
    place = Place(node.metadata.name, node.metadata.labels)
    for claim in _claims(pod, context):
        if is_bound(claim):
            volume = context.volume(claim.spec.volume_name)
            if volume is not None and not volume_fits_node(volume, place.name, place.labels):
                return Rejection((WRONG_NODE,))
        elif not _can_be_had(claim, place, context):
            return Rejection((NO_VOLUME,))
    return None


def _can_be_had(claim: PersistentVolumeClaim, place: Place, context: Context) -> bool:
    found = context.storage_class(claim.spec.storage_class_name or "")
    if found is not None and found.provisioner != NO_PROVISIONER:
        return True
    return best_volume(claim, context.volumes(), place=place) is not None


def claims_are_not_taken(pod: Pod, node: Node, context: Context) -> Rejection | None:
    """Refuse a pod whose ReadWriteOncePod claim another pod uses."""
    alone = {
        claim.metadata.name
        for claim in _claims(pod, context)
        if "ReadWriteOncePod" in claim.spec.access_modes
    }
    if not alone:
        return None
    for other in context.pods_on(node.metadata.name):
        same_namespace = other.metadata.namespace == pod.metadata.namespace
        if same_namespace and alone.intersection(claim_names(other)):
            return Rejection((CLAIM_IN_USE,), pods_in_the_way=True)
    return None


def claims_to_place(pod: Pod, context: Context) -> Sequence[PersistentVolumeClaim]:
    """Return the claims that must learn of the pod's node and be bound before the pod is."""
    return [claim for claim in _claims(pod, context) if not is_bound(claim)]


def _claims(pod: Pod, context: Context) -> Iterator[PersistentVolumeClaim]:
    for name in claim_names(pod):
        claim = context.claim(pod.metadata.namespace, name)
        if claim is not None:
            yield claim
