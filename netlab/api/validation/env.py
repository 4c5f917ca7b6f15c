"""Rules for environment variables and for references to fields, resources and keys.

Mirrors ``ValidateEnv``, ``ValidateEnvFrom`` and what they call in
``pkg/apis/core/validation/validation.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import FieldError, invalid_value, not_supported, required
from netlab.api.quantities import canonical

POD_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_SOURCES: Final = (
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
)
_RESOURCES: Final = tuple(
    f"{part}.{name}"
    for part in ("limits", "requests")
    for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE_PAGES: Final = ("limits.hugepages-", "requests.hugepages-")
_BYTES: Final = ("1", *(f"1{s}" for s in "kMGTPE"), *(f"1{s}i" for s in "KMGTPE"))
_SPOKEN: Final = {
    "cpu": "cpu",
    "memory": "memory",
    "ephemeral-storage": "local ephemeral storage",
}
_ONE_SOURCE: Final = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`,"
    " `secretKeyRef` or `fileKeyRef`"
)
_NOT_TWO: Final = "may not have more than one field specified at a time"


def validate_env(variables: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Return what is wrong with a container's ``env``."""
    errors = []
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        name = variable.get("name") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        else:
            messages = names.env_var_name(name)
            errors += [invalid_value(f"{here}.name", name, message) for message in messages]
        if variable.get("valueFrom") is not None:
            errors += _validate_source(variable, f"{here}.valueFrom")
    return errors


def _validate_source(variable: Mapping[str, Any], path: str) -> list[FieldError]:
    source = variable["valueFrom"]
    given = [name for name in _SOURCES if source.get(name) is not None]
    errors = []
    if "fieldRef" in given:
        errors += validate_field_ref(source["fieldRef"], f"{path}.fieldRef", POD_FIELDS)
    if "resourceFieldRef" in given:
        errors += validate_resource_ref(source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            errors += _validate_key_selector(source[name], f"{path}.{name}")
    if not given:
        errors.append(invalid_value(path, "", _ONE_SOURCE))
    elif variable.get("value"):
        errors.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(invalid_value(path, "", _NOT_TWO))
    return errors


def validate_field_ref(
    reference: Mapping[str, Any], path: str, supported: Sequence[str]
) -> list[FieldError]:
    """Return what is wrong with a reference to a field of the pod."""
    field = reference.get("fieldPath") or ""
    version = reference.get("apiVersion") or ""
    if not version:
        return [required(f"{path}.apiVersion")]
    if not field:
        return [required(f"{path}.fieldPath")]
    if version != "v1":
        detail = f"error converting fieldPath: unsupported pod version: {version}"
        return [invalid_value(f"{path}.fieldPath", field, detail)]
    bare, bracket, key = field.partition("['")
    if bracket and key.endswith("']"):
        return _validate_subscript(bare, key.removesuffix("']"), path)
    if field in supported:
        return []
    if field in POD_FIELDS or field in ("metadata.labels", "metadata.annotations"):
        return [not_supported(f"{path}.fieldPath", field, supported)]
    detail = f"error converting fieldPath: field label not supported: {field}"
    return [invalid_value(f"{path}.fieldPath", field, detail)]


def _validate_subscript(field: str, key: str, path: str) -> list[FieldError]:
    if field == "metadata.annotations":
        return [invalid_value(path, key.lower(), m) for m in names.qualified_name(key.lower())]
    if field == "metadata.labels":
        return [invalid_value(path, key, message) for message in names.qualified_name(key)]
    if field in POD_FIELDS:
        return [invalid_value(path, field, "does not support subscript")]
    text = f"{field}['{key}']"
    detail = f"error converting fieldPath: field label does not support subscript: {text}"
    return [invalid_value(f"{path}.fieldPath", text, detail)]


def validate_resource_ref(
    reference: Mapping[str, Any], path: str, *, in_volume: bool = False
) -> list[FieldError]:
    """Return what is wrong with a reference to a resource; in a volume it names the container."""
    resource = reference.get("resource") or ""
    errors = []
    if in_volume and not reference.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        errors.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    return errors + _validate_divisor(resource, reference.get("divisor"), f"{path}.divisor")


def _validate_divisor(resource: str, divisor: Any, path: str) -> list[FieldError]:
    written = canonical(divisor) if divisor else "0"
    part, _, name = resource.partition(".")
    if written == "0" or part not in ("limits", "requests"):
        return []
    allowed = ("1m", "1") if name == "cpu" else _BYTES
    if written in allowed:
        return []
    listed = "1m and 1" if name == "cpu" else ", ".join(allowed)
    spoken = _SPOKEN.get(name, "hugepages")
    detail = f"only divisor's values {listed} are supported with the {spoken} resource"
    return [invalid_value(path, resource, detail)]


def _validate_key_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    name, key = selector.get("name") or "", selector.get("key") or ""
    errors = [invalid_value(f"{path}.name", name, m) for m in names.dns1123_subdomain(name)]
    if not key:
        errors.append(required(f"{path}.key"))
    else:
        errors += [invalid_value(f"{path}.key", key, m) for m in names.config_key(key)]
    return errors


def validate_env_from(sources: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Return what is wrong with a container's ``envFrom``."""
    errors = []
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        prefix = source.get("prefix")
        if prefix:
            messages = names.env_var_name(prefix)
            errors += [invalid_value(f"{here}.prefix", prefix, message) for message in messages]
        given = [n for n in ("configMapRef", "secretRef") if source.get(n) is not None]
        for kind in given:
            errors += _validate_source_name(source[kind].get("name") or "", f"{here}.{kind}.name")
        # Kubernetes names the list here, not the entry
        if not given:
            detail = "must specify one of: `configMapRef` or `secretRef`"
            errors.append(invalid_value(path, "", detail))
        elif len(given) > 1:
            errors.append(invalid_value(path, "", _NOT_TWO))
    return errors


def _validate_source_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    return [invalid_value(path, name, message) for message in names.dns1123_subdomain(name)]
