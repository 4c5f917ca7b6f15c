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
from netlab.api.validation.container import POD_FIELDS, validate_field_ref, validate_relative_path
from netlab.api.validation.numbers import file_mode

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


def _host_path(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    target = source.get("path") or ""
    if not target:
        errors.append(required(f"{path}.path"))
    elif ".." in target.split("/"):
        errors.append(invalid_value(f"{path}.path", target, "must not contain '..'"))
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
        errors += validate_relative_path(item.get("path") or "", f"{here}.path")
        errors += file_mode(item, "mode", here)
    return errors


def _downward(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = file_mode(source, "defaultMode", path)
    for index, item in enumerate(source.get("items") or ()):
        here = f"{path}.items[{index}]"
        if not item.get("path"):
            errors.append(required(f"{here}.path"))
        errors += validate_relative_path(item.get("path") or "", f"{here}.path")
        if item.get("fieldRef") is not None:
            errors += validate_field_ref(item["fieldRef"], f"{here}.fieldRef", _DOWNWARD_FIELDS)
        elif item.get("resourceFieldRef") is None:
            detail = "one of fieldRef and resourceFieldRef is required"
            errors.append(required(here, detail))
    return errors


def _projected(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = file_mode(source, "defaultMode", path)
    for index, entry in enumerate(source.get("sources") or ()):
        here = f"{path}.sources[{index}]"
        given = [name for name, value in entry.items() if value is not None]
        errors += [
            forbidden_field(f"{here}.{name}", "may not specify more than 1 volume type")
            for name in given[1:]
        ]
        for name in given[:1]:
            errors += _projection(name, entry[name], f"{here}.{name}")
    return errors


def _projection(name: str, source: Mapping[str, Any], path: str) -> list[FieldError]:
    if name == "downwardAPI":
        return _downward(source, path)
    if name == "serviceAccountToken":
        errors = [] if source.get("path") else [required(f"{path}.path")]
        lifetime = source.get("expirationSeconds", 0)
        if lifetime < 600:
            detail = "may not specify a duration less than 10 minutes"
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
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
}
