"""Completes and guards PersistentVolumes and PersistentVolumeClaims as they are written.

Mirrors the admission plugins DefaultStorageClass, StorageObjectInUseProtection and
PersistentVolumeClaimResize of kube-apiserver. Pure but for what ``Attributes`` looks up.
"""

from __future__ import annotations

from netlab.api.field_errors import forbidden
from netlab.api.kinds import PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from netlab.api.storage import PersistentVolumeClaim, StorageClass
from netlab.api.storage_marks import CLAIM_PROTECTION, VOLUME_PROTECTION, default_class
from netlab.api.volume_match import storage_amount
from netlab.apiserver.admission.attributes import Attributes


def default_storage_class(attributes: Attributes) -> None:
    """Give a new claim that names no class the default one, if there is any."""
    spec = attributes.object["spec"]
    if spec.get("storageClassName") is not None:
        return  # "" asks for a volume without a class
    classes = StorageClass.parse_readable(attributes.all_of(STORAGE_CLASS, ""))
    chosen = default_class(classes)
    if chosen is not None:
        spec["storageClassName"] = chosen.metadata.name


def storage_protection(attributes: Attributes) -> None:
    """Keep a new claim or volume from vanishing while it is used."""
    is_claim = attributes.kind is PERSISTENT_VOLUME_CLAIM
    finalizer = CLAIM_PROTECTION if is_claim else VOLUME_PROTECTION
    metadata = attributes.object["metadata"]
    finalizers = list(metadata.get("finalizers") or ())
    if finalizer not in finalizers:
        metadata["finalizers"] = [*finalizers, finalizer]


def claim_expansion(attributes: Attributes) -> None:
    """Refuse to make a claim larger that is not bound, or whose class does not allow it."""
    if attributes.subresource or attributes.old is None:
        return
    old = PersistentVolumeClaim.parse(attributes.old)
    new = PersistentVolumeClaim.parse(attributes.object)
    before = storage_amount(old.spec.resources.requests)
    if storage_amount(new.spec.resources.requests) <= before:
        return
    if old.status.phase != "Bound":
        detail = "Only bound persistent volume claims can be expanded"
        raise forbidden(PERSISTENT_VOLUME_CLAIM, attributes.name, detail)
    found = attributes.lookup(STORAGE_CLASS, "", old.spec.storage_class_name or "")
    if found is None or not found.get("allowVolumeExpansion"):
        detail = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            "the pvc must support resize"
        )
        raise forbidden(PERSISTENT_VOLUME_CLAIM, attributes.name, detail)
