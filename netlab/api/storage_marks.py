"""The annotations, finalizers and names by which the parts of storage tell each other things.

Mirrors ``component-helpers/storage/volume`` and ``volume/util``. The API server, the controllers,
the scheduler and the node read and write them; they never meet otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
"""On a claim: it was bound; losing its volume afterwards is a loss of data."""

BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
"""On a claim or volume: the controller chose the other side, and may undo that."""

PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
"""On a volume: who made it, and therefore removes it."""

STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
STORAGE_PROVISIONER_BETA: Final = "volume.beta.kubernetes.io/storage-provisioner"
"""On a claim: who shall make a volume for it."""

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""On a claim: where its first consumer will run."""

DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
DEFAULT_CLASS_BETA: Final = "storageclass.beta.kubernetes.io/is-default-class"

CLAIM_PROTECTION: Final = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION: Final = "kubernetes.io/pv-protection"

LOCAL_PATH: Final = "netlab.io/local-path"
"""The provisioner that makes folders of the node."""

NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
"""Of a class whose volumes are made by people."""

WAIT_FOR_CONSUMER: Final = "WaitForFirstConsumer"

C = TypeVar("C", bound=StorageClass)


def default_class(classes: Iterable[C]) -> C | None:
    """Return the class of claims that name none: of several, the one made last, then by name."""
    marked = [
        each
        for each in classes
        if "true"
        in (
            each.metadata.annotations.get(DEFAULT_CLASS),
            each.metadata.annotations.get(DEFAULT_CLASS_BETA),
        )
    ]
    marked.sort(key=lambda each: each.metadata.name)
    marked.sort(key=lambda each: str(each.metadata.creation_timestamp or ""), reverse=True)
    return marked[0] if marked else None


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Return whether the claim's binding is complete."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def names_claim(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Return whether the volume is kept for, or bound to, this very claim."""
    owner = volume.spec.claim_ref
    return (
        owner is not None
        and (owner.namespace, owner.name) == (claim.metadata.namespace, claim.metadata.name)
        and owner.uid in ("", claim.metadata.uid)
    )
