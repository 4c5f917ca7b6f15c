"""Decides when a deleted claim or volume may really go: when nothing uses it any more.

Mirrors kube-controller-manager's ``pvc-protection-controller`` and ``pv-protection-controller``.
The API server gives each new claim and volume a finalizer; here it is taken away from those that
are being deleted, and given to those that lack it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, Kind
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim
from netlab.api.storage_marks import CLAIM_PROTECTION, VOLUME_PROTECTION
from netlab.controllers.actions import NOTHING, Decision, Patch

CLAIM_INDEX = "claims"


def by_claim(pod: Pod) -> Iterator[str]:
    """Index pods by the claims they use, as ``namespace/name``."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield f"{pod.metadata.namespace}/{volume.persistent_volume_claim.claim_name}"


def decide_claim_protection(claim: PersistentVolumeClaim, users: Collection[Pod]) -> Decision:
    """Return the write that lets a deleted claim go once no pod on a node names it.

    users: the pods that use the claim. One without a node does not count: the kubelet will not
    start it with a claim that is being deleted.
    """
    used = any(pod.spec.node_name for pod in users)
    return _decide(PERSISTENT_VOLUME_CLAIM, claim, CLAIM_PROTECTION, used=used)


def decide_volume_protection(volume: PersistentVolume) -> Decision:
    """Return the write that lets a deleted volume go once it is not bound."""
    used = volume.status.phase == "Bound"
    return _decide(PERSISTENT_VOLUME, volume, VOLUME_PROTECTION, used=used)


def _decide(kind: Kind[Any], obj: AnyObject, finalizer: str, *, used: bool) -> Decision:
    meta = obj.metadata
    held = finalizer in meta.finalizers
    if meta.deletion_timestamp is None:
        wanted = [*meta.finalizers, finalizer] if not held else None
    else:
        wanted = [each for each in meta.finalizers if each != finalizer] if held else None
        if used:
            wanted = None
    if wanted is None:
        return NOTHING
    patch = {
        "metadata": {
            "uid": meta.uid,
            "finalizers": wanted or None,
            "resourceVersion": meta.resource_version,
        }
    }
    return Decision((Patch(kind, meta.namespace or None, meta.name, patch, gone_ok=True),))
