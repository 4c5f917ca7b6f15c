"""Rules for PersistentVolumes, PersistentVolumeClaims and StorageClasses.

Mirrors ``ValidatePersistentVolume``, ``ValidatePersistentVolumeClaim`` and
``ValidateStorageClass`` with their updates, for the sources netlab can mount and for what a cloud's
volume has in common with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.quantities import Quantity, parse_quantity
from netlab.api.validation.metadata import IMMUTABLE
from netlab.api.validation.workloads import validate_label_selector
from netlab.api.view import Object

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")
VOLUME_MODES: Final = ("Block", "Filesystem")
BINDING_MODES: Final = ("Immediate", "WaitForFirstConsumer")
NOT_POSITIVE: Final = "must be greater than zero"
CLAIM_IMMUTABLE: Final = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)
_NO_SOURCES: Final = frozenset(
    (
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    )
)


def validate_persistent_volume(volume: Object) -> list[FieldError]:
    """Return what is wrong with a PersistentVolume, metadata aside."""
    spec = volume.get("spec") or {}
    errors = _access_modes(spec, "")
    errors += _capacity(spec)
    policy = spec.get("persistentVolumeReclaimPolicy") or ""
    if policy and policy not in RECLAIM_POLICIES:
        path = "spec.persistentVolumeReclaimPolicy"
        errors.append(not_supported(path, policy, RECLAIM_POLICIES))
    errors += _source(spec)
    if (spec.get("hostPath") or {}).get("path") == "/" and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden_field("spec.persistentVolumeReclaimPolicy", detail))
    return errors + _class_name(spec) + _volume_mode(spec)


def _capacity(spec: Mapping[str, Any]) -> list[FieldError]:
    capacity = spec.get("capacity") or {}
    if not capacity:
        return [required("spec.capacity")]
    if set(capacity) != {"storage"}:
        return [not_supported("spec.capacity", sorted(capacity), ("storage",))]
    return _positive(capacity["storage"], "spec.capacity[storage]")


def _source(spec: Mapping[str, Any]) -> list[FieldError]:
    sources = [name for name in spec if name not in _NO_SOURCES and spec[name] is not None]
    if not sources:
        return [required("spec", "must specify a volume type")]
    errors = [
        forbidden_field(f"spec.{name}", "may not specify more than 1 volume type")
        for name in sources[1:]
    ]
    if sources[0] in ("hostPath", "local"):
        path = f"spec.{sources[0]}.path"
        target = (spec[sources[0]] or {}).get("path") or ""
        if not target:
            errors.append(required(path))
        elif ".." in target.split("/"):
            errors.append(invalid_value(path, target, "must not contain '..'"))
    if sources[0] == "hostPath":
        errors += _host_path_type(spec["hostPath"])
    if sources[0] == "local" and not (spec.get("nodeAffinity") or {}).get("required"):
        errors.append(required("metadata.annotations", "Local volume requires node affinity"))
    return errors


_HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)


def _host_path_type(source: Mapping[str, Any]) -> list[FieldError]:
    kind = source.get("type") or ""
    if kind in _HOST_PATH_TYPES:
        return []
    return [not_supported("spec.hostPath.type", kind, _HOST_PATH_TYPES)]


def validate_persistent_volume_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse changes of where a volume is; all else may change."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    errors = []
    if _only_sources(before) != _only_sources(after):
        detail = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden_field("spec.persistentvolumesource", detail))
    if before.get("volumeMode") != after.get("volumeMode"):
        errors.append(invalid_value("spec.volumeMode", after.get("volumeMode"), IMMUTABLE))
    if before.get("nodeAffinity") and before["nodeAffinity"] != after.get("nodeAffinity"):
        errors.append(invalid_value("spec.nodeAffinity", after.get("nodeAffinity"), IMMUTABLE))
    return errors


def _only_sources(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in _NO_SOURCES}


def validate_persistent_volume_claim(claim: Object) -> list[FieldError]:
    """Return what is wrong with a PersistentVolumeClaim, metadata aside."""
    spec = claim.get("spec") or {}
    errors = _access_modes(spec, "at least 1 access mode is required")
    storage = _requested(spec)
    if storage is None:
        errors.append(required("spec.resources[storage]"))
    else:
        errors += _positive(storage, "spec.resources[storage]")
    if spec.get("selector") is not None:
        errors += validate_label_selector(spec["selector"], "spec.selector")
    return errors + _class_name(spec) + _volume_mode(spec)


def _requested(spec: Mapping[str, Any]) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


def validate_persistent_volume_claim_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse changes of a claim but those that binding, defaulting and expansion make."""
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    errors = []
    comparable = dict(after)
    if not before.get("volumeName"):
        # the volume is entered by whoever binds the claim
        before["volumeName"] = after.get("volumeName")
    if before.get("storageClassName") is None:
        # a claim made before there was a default class gets it later
        before["storageClassName"] = after.get("storageClassName")
    bound = (new.get("status") or {}).get("phase") == "Bound"
    if bound and _requested(after) is not None:
        comparable["resources"] = before.get("resources")
        comparable["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if _present(comparable) != _present(before):
        errors.append(forbidden_field("spec", CLAIM_IMMUTABLE))
    if bound:
        errors += _shrinking(old, after)
    if before.get("volumeMode") != after.get("volumeMode"):
        errors.append(invalid_value("spec.volumeMode", after.get("volumeMode"), IMMUTABLE))
    return errors


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {}, "")}


def _shrinking(old: Object, after: Mapping[str, Any]) -> list[FieldError]:
    wanted, before = _amount(_requested(after)), _amount(_requested(old.get("spec") or {}))
    capacity = _amount(((old.get("status") or {}).get("capacity") or {}).get("storage"))
    if wanted is None or before is None or wanted.value >= before.value:
        return []
    if capacity is not None and wanted.value > capacity.value:
        return []  # an expansion that could not be done may be taken back
    path = "spec.resources.requests.storage"
    return [forbidden_field(path, "field can not be less than status.capacity")]


def _amount(text: Any) -> Quantity | None:
    try:
        return None if text is None else parse_quantity(text)
    except ValueError:
        return None


def validate_storage_class(storage_class: Object) -> list[FieldError]:
    """Return what is wrong with a StorageClass, metadata aside."""
    errors = []
    provisioner = storage_class.get("provisioner") or ""
    if not provisioner:
        errors.append(required("provisioner"))
    else:
        errors += [
            invalid_value("provisioner", provisioner, message)
            for message in names.qualified_name(provisioner.lower())
        ]
    policy = storage_class.get("reclaimPolicy") or ""
    if policy and policy not in ("Delete", "Retain"):
        errors.append(not_supported("reclaimPolicy", policy, ("Delete", "Retain")))
    mode = storage_class.get("volumeBindingMode") or ""
    if not mode:
        errors.append(required("volumeBindingMode"))
    elif mode not in BINDING_MODES:
        errors.append(not_supported("volumeBindingMode", mode, BINDING_MODES))
    return errors


def validate_storage_class_update(old: Object, new: Object) -> list[FieldError]:
    """Refuse changes of what volumes were made by."""
    errors = [
        forbidden_field(field, f"updates to {field} are forbidden.")
        for field in ("parameters", "provisioner", "reclaimPolicy")
        if (old.get(field) or None) != (new.get(field) or None)
    ]
    if old.get("volumeBindingMode") != new.get("volumeBindingMode"):
        errors.append(invalid_value("volumeBindingMode", new.get("volumeBindingMode"), IMMUTABLE))
    return errors


def _access_modes(spec: Mapping[str, Any], missing: str) -> list[FieldError]:
    modes: Sequence[str] = spec.get("accessModes") or ()
    path = "spec.accessModes"
    if not modes:
        return [required(path, missing)]
    errors = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and set(modes) != {"ReadWriteOncePod"}:
        detail = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden_field(path, detail))
    return errors


def _positive(text: Any, path: str) -> list[FieldError]:
    amount = _amount(text)
    if amount is None or amount.value > 0:
        return []  # what is no quantity has been refused before
    return [invalid_value(path, text, NOT_POSITIVE)]


def _class_name(spec: Mapping[str, Any]) -> list[FieldError]:
    name = spec.get("storageClassName")
    rules: Iterable[str] = names.dns1123_subdomain(name) if name else ()
    return [invalid_value("spec.storageClassName", name, message) for message in rules]


def _volume_mode(spec: Mapping[str, Any]) -> list[FieldError]:
    mode = spec.get("volumeMode")
    if mode is None or mode in VOLUME_MODES:
        return []
    return [not_supported("spec.volumeMode", mode, VOLUME_MODES)]
