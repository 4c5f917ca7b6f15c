"""Rules for security contexts of pods and containers.

Mirrors ``validatePodSpecSecurityContext`` and ``ValidateSecurityContext``.

netlab leaves out Windows options and SELinux, on which it does not act.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from netlab.api.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.validation.numbers import relative_path

SECCOMP_TYPES: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_MAX_ID: Final = 2**31 - 1
_SYSCTL_MAX_LENGTH: Final = 253
_SYSCTL_SEGMENT: Final = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL: Final = rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$"
_is_sysctl = re.compile(_SYSCTL).match
_BAD_ESCALATION: Final = "cannot set `allowPrivilegeEscalation` to false and "
_NET_SYSCTLS: Final = ("net.",)
_IPC_SYSCTLS: Final = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def validate_pod_security(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with a pod's security context; path is that of the spec."""
    here = f"{path}.securityContext"
    security = spec.get("securityContext") or {}
    errors = _validate_ids(security, here, ("fsGroup", "runAsUser", "runAsGroup"))
    for index, group in enumerate(security.get("supplementalGroups") or ()):
        errors += _validate_id(group, f"{here}.supplementalGroups[{index}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid_value(f"{here}.shareProcessNamespace", True, detail))
    errors += _validate_sysctls(spec, security, f"{here}.sysctls")
    for field, options in _POLICIES.items():
        value = security.get(field)
        if value is not None and value not in options:
            errors.append(not_supported(f"{here}.{field}", value, options))
    errors += _validate_seccomp(security.get("seccompProfile"), f"{here}.seccompProfile")
    errors += _validate_app_armor(security.get("appArmorProfile"), f"{here}.appArmorProfile")
    return errors + _validate_host_users(spec, path)


_POLICIES: Final = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def _validate_host_users(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    if spec.get("hostUsers") is not False:
        return []
    detail = "when `pod.Spec.HostUsers` is false"
    # upstream spells two of the three paths in capitals
    shown = {"hostNetwork": "hostNetwork", "hostPID": "HostPID", "hostIPC": "HostIPC"}
    return [forbidden_field(f"{path}.{shown[field]}", detail) for field in shown if spec.get(field)]


def _validate_sysctls(
    spec: Mapping[str, Any], security: Mapping[str, Any], path: str
) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for index, sysctl in enumerate(security.get("sysctls") or ()):
        name, here = sysctl.get("name") or "", f"{path}[{index}].name"
        if not name:
            errors.append(required(here))
        elif len(name) > _SYSCTL_MAX_LENGTH or not _is_sysctl(name):
            detail = f"must have at most {_SYSCTL_MAX_LENGTH} characters and match regex {_SYSCTL}"
            errors.append(invalid_value(here, name, detail))
        elif name in used:
            errors.append(duplicate(here, name))
        used.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith(_NET_SYSCTLS):
            detail = "may not be specified when 'hostNetwork' is true"
            errors.append(invalid_value(here, name, detail))
        elif spec.get("hostIPC") and dotted.startswith(_IPC_SYSCTLS):
            errors.append(invalid_value(here, name, "may not be specified when 'hostIPC' is true"))
    return errors


def validate_container_security(
    security: Mapping[str, Any], path: str, *, host_users: bool = True
) -> list[FieldError]:
    """Return what is wrong with a container's security context."""
    errors = _validate_ids(security, path, ("runAsUser", "runAsGroup"))
    proc = security.get("procMount")
    if proc is not None:
        if proc not in ("Default", "Unmasked"):
            errors.append(not_supported(f"{path}.procMount", proc, ("Default", "Unmasked")))
        elif host_users and proc == "Unmasked":
            detail = "`hostUsers` must be false to use `Unmasked`"
            errors.append(invalid_value(f"{path}.procMount", proc, detail))
    errors += _validate_seccomp(security.get("seccompProfile"), f"{path}.seccompProfile")
    if security.get("allowPrivilegeEscalation") is False:
        if security.get("privileged"):
            errors.append(invalid_value(path, security, f"{_BAD_ESCALATION}`privileged` to true"))
        if "CAP_SYS_ADMIN" in ((security.get("capabilities") or {}).get("add") or ()):
            detail = f"{_BAD_ESCALATION}`capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid_value(path, security, detail))
    return errors + _validate_app_armor(security.get("appArmorProfile"), f"{path}.appArmorProfile")


def _validate_ids(
    security: Mapping[str, Any], path: str, fields: tuple[str, ...]
) -> list[FieldError]:
    return [
        error
        for field in fields
        if security.get(field) is not None
        for error in _validate_id(security[field], f"{path}.{field}")
    ]


def _validate_id(value: int, path: str) -> list[FieldError]:
    if 0 <= value <= _MAX_ID:
        return []
    return [invalid_value(path, value, f"must be between 0 and {_MAX_ID}, inclusive")]


def _validate_seccomp(profile: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    if profile is None:
        return []
    kind, file = profile.get("type") or "", profile.get("localhostProfile")
    errors = []
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in SECCOMP_TYPES:
        errors.append(not_supported(f"{path}.type", kind, SECCOMP_TYPES))
    if kind == "Localhost":
        if file is None:
            detail = "must be set when seccomp type is Localhost"
            errors.append(required(f"{path}.localhostProfile", detail))
        else:
            errors += relative_path(file, f"{path}.localhostProfile")
    elif file is not None:
        detail = "can only be set when seccomp type is Localhost"
        errors.append(invalid_value(f"{path}.localhostProfile", profile, detail))
    return errors


def _validate_app_armor(profile: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    if profile is None:
        return []
    kind, name = profile.get("type") or "", profile.get("localhostProfile")
    if not kind:
        return [required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in SECCOMP_TYPES:
        return [not_supported(f"{path}.type", kind, SECCOMP_TYPES)]
    here = f"{path}.localhostProfile"
    if kind != "Localhost":
        detail = "can only be set when AppArmor type is Localhost"
        return [] if name is None else [invalid_value(here, name, detail)]
    if not (name or "").strip():
        return [required(here, "must be set when AppArmor type is Localhost")]
    if name != str(name).strip():
        return [invalid_value(here, name, "must not be padded with whitespace")]
    return []
