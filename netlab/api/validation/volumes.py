"""Rules for the volumes of a pod.

Mirrors ``ValidateVolumes`` and ``validateVolumeSource`` of Kubernetes for the sources a lab uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.quantities import parse_quantity
from netlab.api.validation.env import POD_FIELDS, validate_field_ref, validate_resource_ref
from netlab.api.validation.numbers import file_mode, file_path, no_backsteps

HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_MEDIUMS: Final = ("", "HugePages", "Memory")
_LONGEST_TOKEN_S: Final = 2**32
_DOWNWARD_FIELDS: Final = (
    *(field for field in POD_FIELDS if field.startswith("metadata.")),
    "metadata.annotations",
    "metadata.labels",
)


def validate_volumes(volumes: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Return what is wrong with a pod's volumes."""
    errors = []
    used: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        name = volume.get("name") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        else:
            errors += [invalid_value(f"{here}.name", name, m) for m in names.dns1123_label(name)]
            if name in used:
                errors.append(duplicate(f"{here}.name", name))
            used.add(name)
        errors += _validate_source(volume, here)
    return errors


def _validate_source(volume: Mapping[str, Any], path: str) -> list[FieldError]:
    sources = [name for name, value in volume.items() if name != "name" and value is not None]
    if not sources:
        return [required(path, "must specify a volume type")]
    errors = [
        forbidden_field(f"{path}.{name}", "may not specify more than 1 volume type")
        for name in sources[1:]
    ]
    check = _BY_SOURCE.get(sources[0])
    return errors + check(volume[sources[0]], f"{path}.{sources[0]}") if check else errors


def _empty_dir(source: Mapping[str, Any], path: str) -> list[FieldError]:
    size, medium = source.get("sizeLimit"), source.get("medium") or ""
    errors = []
    if size is not None and parse_quantity(size).value < 0:
        detail = "SizeLimit field must be a valid resource quantity"
        errors.append(forbidden_field(f"{path}.sizeLimit", detail))
    if medium not in ("", "Memory", "HugePages") and not medium.startswith("HugePages-"):
        errors.append(not_supported(f"{path}.medium", medium, _MEDIUMS))
    return errors


def _host_path(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    target = source.get("path") or ""
    if not target:
        return [required(f"{path}.path")]
    errors += no_backsteps(target, f"{path}.path")
    if (source.get("type") or "") not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES))
    return errors


def _secret(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [] if source.get("secretName") else [required(f"{path}.secretName")]
    return errors + file_mode(source, "defaultMode", path) + _items(source, path)


def _config_map(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name")]
    return errors + file_mode(source, "defaultMode", path) + _items(source, path)


def _items(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    for index, item in enumerate(source.get("items") or ()):
        here = f"{path}.items[{index}]"
        if not item.get("key"):
            errors.append(required(f"{here}.key"))
        if not item.get("path"):
            errors.append(required(f"{here}.path"))
        errors += file_path(item.get("path") or "", f"{here}.path")
        errors += file_mode(item, "mode", here)
    return errors


def _downward(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = file_mode(source, "defaultMode", path)
    for index, item in enumerate(source.get("items") or ()):
        here = f"{path}.items[{index}]"
        if not item.get("path"):
            errors.append(required(f"{here}.path"))
        errors += file_path(item.get("path") or "", f"{here}.path")
        resource = item.get("resourceFieldRef")
        if item.get("fieldRef") is not None:
            errors += validate_field_ref(item["fieldRef"], f"{here}.fieldRef", _DOWNWARD_FIELDS)
            if resource is not None:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(invalid_value(here, "resource", detail))
        elif resource is not None:
            errors += validate_resource_ref(resource, f"{here}.resourceFieldRef", in_volume=True)
        else:
            detail = "one of fieldRef and resourceFieldRef is required"
            errors.append(required(here, detail))
        errors += file_mode(item, "mode", here)
    return errors


def _projected(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = file_mode(source, "defaultMode", path)
    used: set[str] = set()
    for index, entry in enumerate(source.get("sources") or ()):
        here = f"{path}.sources[{index}]"
        given = [name for name, value in entry.items() if value is not None]
        errors += [
            forbidden_field(f"{here}.{name}", "may not specify more than 1 volume type")
            for name in given[1:]
        ]
        for name in given[:1]:
            errors += _projection(name, entry[name], f"{here}.{name}")
            errors += _conflicts(name, entry[name], path, used)
    return errors


def _conflicts(name: str, source: Mapping[str, Any], path: str, used: set[str]) -> list[FieldError]:
    """Refuse two sources that put different things at the same path."""
    listed = [source] if name == "serviceAccountToken" else source.get("items") or ()
    errors = []
    for item in listed:
        target = item.get("path") or ""
        if target and target in used:
            shown = source.get("name") if name in ("secret", "configMap") else target
            errors.append(invalid_value(path, shown, "conflicting duplicate paths"))
        used.add(target)
    return errors


def _projection(name: str, source: Mapping[str, Any], path: str) -> list[FieldError]:
    if name == "downwardAPI":
        return _downward(source, path)
    if name == "serviceAccountToken":
        target = source.get("path") or ""
        errors = file_path(target, f"{path}.path") if target else [required(f"{path}.path")]
        lifetime = source.get("expirationSeconds", 0)
        if lifetime < 600:
            detail = "may not specify a duration less than 10 minutes"
            errors.append(invalid_value(f"{path}.expirationSeconds", lifetime, detail))
        if lifetime > _LONGEST_TOKEN_S:
            detail = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid_value(f"{path}.expirationSeconds", lifetime, detail))
        return errors
    if name in ("secret", "configMap"):
        errors = [] if source.get("name") else [required(f"{path}.name")]
        return errors + _items(source, path)
    return []


def _claim(source: Mapping[str, Any], path: str) -> list[FieldError]:
    return [] if source.get("claimName") else [required(f"{path}.claimName")]


def _nfs(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [required(f"{path}.{field}") for field in ("server", "path") if not source.get(field)]
    target = source.get("path") or ""
    if target and not target.startswith("/"):
        errors.append(invalid_value(f"{path}.path", target, "must be an absolute path"))
    return errors


_BY_SOURCE: Final[Mapping[str, Callable[[Mapping[str, Any], str], list[FieldError]]]] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
}
