"""PersistentVolume, PersistentVolumeClaim and StorageClass: storage that outlives pods."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from netlab.api.kind import Counting, Kind
from netlab.api.kinds.counted import ONE
from netlab.api.pod_resources import Amounts
from netlab.api.printing import (
    AGE,
    NAME,
    Cells,
    Column,
    Printer,
    age_of,
    metadata,
    name_of,
    part,
    wide,
)
from netlab.api.quantities import parse_quantity
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.storage_marks import DEFAULT_CLASS, DEFAULT_CLASS_BETA
from netlab.api.subresources import STATUS
from netlab.api.validation.storage import (
    validate_persistent_volume,
    validate_persistent_volume_claim,
    validate_persistent_volume_claim_update,
    validate_persistent_volume_update,
    validate_storage_class,
    validate_storage_class_update,
)
from netlab.api.view import Object

UNSET = "<unset>"
_SHORT_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}

VOLUME_COLUMNS = (
    NAME,
    Column("Capacity", description="How much the volume holds."),
    Column("Access Modes", description="In which ways it can be mounted."),
    Column("Reclaim Policy", description="What becomes of it when its claim is deleted."),
    Column("Status", description="Where it is in its life."),
    Column("Claim", description="The claim it is bound to."),
    Column("StorageClass", description="The class it belongs to."),
    Column("VolumeAttributesClass", description="The class of its changeable attributes."),
    Column("Reason", description="Why its status is what it is."),
    AGE,
    wide("VolumeMode", description="Filesystem or Block."),
)
CLAIM_COLUMNS = (
    NAME,
    Column("Status", description="Where the claim is in its life."),
    Column("Volume", description="The volume it is bound to."),
    Column("Capacity", description="How much that volume holds."),
    Column("Access Modes", description="In which ways it can be mounted."),
    Column("StorageClass", description="The class it asks for."),
    Column("VolumeAttributesClass", description="The class of its changeable attributes."),
    AGE,
    wide("VolumeMode", description="Filesystem or Block."),
)
CLASS_COLUMNS = (
    NAME,
    Column("Provisioner", description="Who makes its volumes."),
    Column("ReclaimPolicy", description="What becomes of them when their claim is deleted."),
    Column("VolumeBindingMode", description="When claims are bound."),
    Column("AllowVolumeExpansion", description="Whether claims can be made larger."),
    AGE,
)


def short_modes(modes: Iterable[str]) -> str:
    """Return access modes as ``RWO,ROX``, in Kubernetes' order, each once."""
    given = set(modes)
    return ",".join(short for mode, short in _SHORT_MODES.items() if mode in given)


def volume_cells(volume: Object, now: datetime) -> Cells:
    """Return the cells of ``VOLUME_COLUMNS``."""
    spec = part(volume, "spec")
    claim = spec.get("claimRef")
    return [
        name_of(volume),
        part(spec, "capacity").get("storage", "0"),
        short_modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(volume),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        part(volume, "status").get("reason", ""),
        age_of(volume, now),
        spec.get("volumeMode") or UNSET,
    ]


def claim_cells(claim: Object, now: datetime) -> Cells:
    """Return the cells of ``CLAIM_COLUMNS``; capacity and modes are those of the volume."""
    spec, status = part(claim, "spec"), part(claim, "status")
    volume = spec.get("volumeName", "")
    return [
        name_of(claim),
        _phase(claim),
        volume,
        part(status, "capacity").get("storage", "0") if volume else "",
        short_modes(status.get("accessModes") or ()) if volume else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(claim, now),
        spec.get("volumeMode") or UNSET,
    ]


def class_cells(storage_class: Object, now: datetime) -> Cells:
    """Return the cells of ``CLASS_COLUMNS``."""
    annotations = metadata(storage_class).get("annotations") or {}
    default = any(annotations.get(name) == "true" for name in (DEFAULT_CLASS, DEFAULT_CLASS_BETA))
    return [
        name_of(storage_class) + (" (default)" if default else ""),
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or UNSET,
        bool(storage_class.get("allowVolumeExpansion")),
        age_of(storage_class, now),
    ]


def _phase(obj: Object) -> str:
    if metadata(obj).get("deletionTimestamp"):
        return "Terminating"
    return str(part(obj, "status").get("phase", ""))


VOLUME_PRINTER = Printer(VOLUME_COLUMNS, volume_cells)
CLAIM_PRINTER = Printer(CLAIM_COLUMNS, claim_cells)
CLASS_PRINTER = Printer(CLASS_COLUMNS, class_cells)


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
