"""Rules for where volumes appear in a container.

Mirrors ``ValidateVolumeMounts`` and ``ValidateVolumeDevices``. Some paths name the list where one
would expect the entry: so does Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_found_field,
    not_supported,
    required,
)
from netlab.api.validation.numbers import no_backsteps, relative_path

_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")
_BLOCK_SOURCES: Final = ("persistentVolumeClaim", "ephemeral")


def validate_mounts(
    container: Mapping[str, Any], path: str, volumes: Mapping[str, Mapping[str, Any]]
) -> list[FieldError]:
    """Return what is wrong with a container's ``volumeMounts``."""
    devices = container.get("volumeDevices") or ()
    device_names = {device.get("name") for device in devices}
    device_paths = {device.get("devicePath") for device in devices}
    errors = []
    used: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        if name not in volumes:
            errors.append(not_found_field(f"{here}.name", name))
        if not target:
            errors.append(required(f"{here}.mountPath"))
        if target in used:
            errors.append(invalid_value(f"{here}.mountPath", target, "must be unique"))
        used.add(target)
        if name in device_names:
            detail = "must not already exist in volumeDevices"
            errors.append(invalid_value(f"{here}.name", name, detail))
        if target in device_paths:
            detail = "must not already exist as a path in volumeDevices"
            errors.append(invalid_value(f"{here}.mountPath", target, detail))
        errors += _validate_sub_paths(mount, here, path)
        errors += _validate_propagation(mount, container, f"{path}.mountPropagation")
        errors += _validate_recursive(mount, f"{path}.recursiveReadOnly")
    return errors


def _validate_sub_paths(mount: Mapping[str, Any], path: str, list_path: str) -> list[FieldError]:
    plain, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    errors = relative_path(plain, f"{list_path}.subPath")
    if expression:
        if plain:
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid_value(f"{path}.subPathExpr", expression, detail))
        errors += relative_path(expression, f"{list_path}.subPathExpr")
    return errors


def _validate_propagation(
    mount: Mapping[str, Any], container: Mapping[str, Any], path: str
) -> list[FieldError]:
    mode = mount.get("mountPropagation")
    if mode is None:
        return []
    if mode not in _PROPAGATIONS:
        return [not_supported(path, mode, _PROPAGATIONS)]
    privileged = (container.get("securityContext") or {}).get("privileged")
    if mode == "Bidirectional" and not privileged:
        detail = "Bidirectional mount propagation is available only to privileged containers"
        return [forbidden_field(path, detail)]
    return []


def _validate_recursive(mount: Mapping[str, Any], path: str) -> list[FieldError]:
    mode = mount.get("recursiveReadOnly")
    if mode in (None, "Disabled"):
        return []
    if mode not in ("Enabled", "IfPossible"):
        return [not_supported(path, mode, ("Disabled", "Enabled", "IfPossible"))]
    errors = []
    if not mount.get("readOnly"):
        errors.append(forbidden_field(path, "may only be specified when readOnly is true"))
    if (mount.get("mountPropagation") or "None") != "None":
        detail = "may only be specified when mountPropagation is None or not specified"
        errors.append(forbidden_field(path, detail))
    return errors


def validate_devices(
    container: Mapping[str, Any], path: str, volumes: Mapping[str, Mapping[str, Any]]
) -> list[FieldError]:
    """Return what is wrong with a container's ``volumeDevices``."""
    errors = []
    used_names: set[str] = set()
    used_paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        here = f"{path}[{index}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        if name in used_names:
            errors.append(invalid_value(f"{here}.name", name, "must be unique"))
        used_names.add(name)
        if name not in volumes:
            errors.append(not_found_field(f"{here}.name", name))
        elif not any(source in volumes[name] for source in _BLOCK_SOURCES):
            detail = (
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block"
                " mode"
            )
            errors.append(invalid_value(f"{here}.name", name, detail))
        if not target:
            errors.append(required(f"{here}.devicePath"))
        if target in used_paths:
            errors.append(invalid_value(f"{here}.devicePath", target, "must be unique"))
        used_paths.add(target)
        if no_backsteps(target, here):
            detail = "can not contain backsteps ('..')"
            errors.append(invalid_value(f"{here}.devicePath", target, detail))
    return errors
