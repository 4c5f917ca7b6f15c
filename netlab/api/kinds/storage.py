"""PersistentVolume, PersistentVolumeClaim and StorageClass: storage that outlives pods."""

from __future__ import annotations

from netlab.api.kind import Counting, Kind
from netlab.api.kinds.counted import ONE
from netlab.api.pod_resources import Amounts
from netlab.api.quantities import parse_quantity
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.subresources import STATUS
from netlab.api.tables.storage import CLAIM_PRINTER, CLASS_PRINTER, VOLUME_PRINTER
from netlab.api.validation.storage import (
    validate_persistent_volume,
    validate_persistent_volume_claim,
    validate_persistent_volume_claim_update,
    validate_persistent_volume_update,
    validate_storage_class,
    validate_storage_class_update,
)
from netlab.api.view import Object


def _volume_defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"] = {"type": "", **spec["hostPath"]}
    new["spec"] = spec
    new["status"] = {"phase": "Pending", **(new.get("status") or {})}


def _claim_defaults(new: Object) -> None:
    spec = dict(new.get("spec") or {})
    spec.setdefault("resources", {})
    spec.setdefault("volumeMode", "Filesystem")
    new["spec"] = spec
    new["status"] = {"phase": "Pending", **(new.get("status") or {})}


def _class_defaults(new: Object) -> None:
    new.setdefault("reclaimPolicy", "Delete")
    new.setdefault("volumeBindingMode", "Immediate")


def _begin(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _claim_amounts(claim: Object) -> Amounts:
    spec = claim.get("spec") or {}
    usage: Amounts = {"persistentvolumeclaims": ONE}
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is not None:
        usage["requests.storage"] = parse_quantity(storage)
    name = spec.get("storageClassName")
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io/"
        usage |= {prefix + resource: amount for resource, amount in usage.items()}
    return usage


PERSISTENT_VOLUME = Kind(
    "",
    "v1",
    "PersistentVolume",
    "persistentvolumes",
    PersistentVolume,
    namespaced=False,
    short_names=("pv",),
    subresources=(STATUS,),
    defaults=_volume_defaults,
    validate=validate_persistent_volume,
    validate_update=validate_persistent_volume_update,
    prepare_create=_begin,
    returns_deleted=True,
    printer=VOLUME_PRINTER,
)
PERSISTENT_VOLUME_CLAIM = Kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    PersistentVolumeClaim,
    short_names=("pvc",),
    subresources=(STATUS,),
    defaults=_claim_defaults,
    validate=validate_persistent_volume_claim,
    validate_update=validate_persistent_volume_claim_update,
    prepare_create=_begin,
    returns_deleted=True,
    printer=CLAIM_PRINTER,
    counting=Counting(_claim_amounts),
)
STORAGE_CLASS = Kind(
    "storage.k8s.io",
    "v1",
    "StorageClass",
    "storageclasses",
    StorageClass,
    namespaced=False,
    short_names=("sc",),
    defaults=_class_defaults,
    validate=validate_storage_class,
    validate_update=validate_storage_class_update,
    returns_deleted=True,
    printer=CLASS_PRINTER,
)
KINDS = (PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS)
