"""Rules for containers: names, images, ports, environment, mounts, probes, resources.

Mirrors ``validateContainers`` and what it calls in ``pkg/apis/core/validation/validation.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_field,
    not_supported,
    required,
)
from netlab.api.quantities import parse_quantity
from netlab.api.validation.numbers import not_negative, one_of, port_or_name

PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES: Final = ("FallbackToLogsOnError", "File")
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
_ENV_SOURCES: Final = (
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
)
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_MAX_ID: Final = 2**31 - 1
_STANDARD_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


@dataclass(frozen=True, slots=True)
class PodContext:
    """What the rules for one container need to know of its pod."""

    volumes: frozenset[str]
    host_network: bool = False


def validate_containers(
    containers: Sequence[Mapping[str, Any]], path: str, context: PodContext, taken: Iterable[str]
) -> list[FieldError]:
    """Return what is wrong with a list of containers; ``taken`` are names used by other lists."""
    errors = []
    used = set(taken)
    host_ports: set[tuple[str, str, int]] = set()
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_name(container.get("name") or "", f"{here}.name", used)
        errors += validate_container(container, here, context)
        errors += _host_port_clashes(container, here, host_ports)
    return errors


def _validate_name(name: str, path: str, used: set[str]) -> list[FieldError]:
    if not name:
        return [required(path)]
    errors = [invalid_value(path, name, message) for message in names.dns1123_label(name)]
    if name in used:
        errors.append(duplicate(path, name))
    used.add(name)
    return errors


def validate_container(
    container: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    """Return what is wrong with one container, apart from its name."""
    errors = _validate_image(container, path)
    if container.get("ports"):
        errors += _validate_ports(container["ports"], f"{path}.ports", context)
    if container.get("env"):
        errors += _validate_env(container["env"], f"{path}.env")
    if container.get("envFrom"):
        errors += _validate_env_from(container["envFrom"], f"{path}.envFrom")
    if container.get("volumeMounts"):
        errors += _validate_mounts(container["volumeMounts"], f"{path}.volumeMounts", context)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None:
            errors += _validate_probe(container[probe], f"{path}.{probe}", probe)
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            errors += _validate_handler(handler, f"{path}.lifecycle.{hook}")
    if container.get("resources"):
        errors += validate_resources(container["resources"], f"{path}.resources")
    if container.get("securityContext"):
        errors += _validate_security(container["securityContext"], f"{path}.securityContext")
    return errors


def _validate_image(container: Mapping[str, Any], path: str) -> list[FieldError]:
    image = container.get("image") or ""
    errors = []
    if not image:
        errors.append(required(f"{path}.image"))
    elif image != image.strip():
        detail = "must not have leading or trailing whitespace"
        errors.append(invalid_value(f"{path}.image", image, detail))
    errors += one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", PULL_POLICIES)
    policy = container.get("terminationMessagePolicy")
    return errors + one_of(policy, f"{path}.terminationMessagePolicy", MESSAGE_POLICIES)


def _validate_ports(
    ports: Sequence[Mapping[str, Any]], path: str, context: PodContext
) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        name = port.get("name") or ""
        if name:
            messages = names.iana_svc_name(name)
            errors += [invalid_value(f"{here}.name", name, message) for message in messages]
            if not messages and name in used:
                errors.append(duplicate(f"{here}.name", name))
            used.add(name)
        errors += _validate_port_numbers(port, here, context)
        errors += one_of(port.get("protocol"), f"{here}.protocol", PROTOCOLS)
    return errors


def _validate_port_numbers(
    port: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    number, host = port.get("containerPort", 0), port.get("hostPort", 0)
    if number == 0:
        return [required(f"{path}.containerPort")]
    errors = [invalid_value(f"{path}.containerPort", number, m) for m in names.port_number(number)]
    if host:
        errors += [invalid_value(f"{path}.hostPort", host, m) for m in names.port_number(host)]
        if context.host_network and host != number:
            detail = "must match `hostPort` when `hostNetwork` is set to true"
            errors.append(invalid_value(f"{path}.containerPort", number, detail))
    return errors


def _host_port_clashes(
    container: Mapping[str, Any], path: str, used: set[tuple[str, str, int]]
) -> list[FieldError]:
    errors = []
    for index, port in enumerate(container.get("ports") or ()):
        if not port.get("hostPort"):
            continue
        key = (port.get("protocol", "TCP"), port.get("hostIP", ""), port["hostPort"])
        if key in used:
            errors.append(
                duplicate(f"{path}.ports[{index}].hostPort", "/".join(str(part) for part in key))
            )
        used.add(key)
    return errors


def _validate_env(variables: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
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
            errors += _validate_env_source(variable, f"{here}.valueFrom")
    return errors


def _validate_env_source(variable: Mapping[str, Any], path: str) -> list[FieldError]:
    source = variable["valueFrom"]
    given = [name for name in _ENV_SOURCES if source.get(name) is not None]
    errors = []
    if not given:
        detail = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`,"
            " `secretKeyRef` or `fileKeyRef`"
        )
        errors.append(invalid_value(path, "", detail))
    elif variable.get("value"):
        errors.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(
            invalid_value(path, "", "may not have more than one field specified at a time")
        )
    if "fieldRef" in given:
        errors += validate_field_ref(source["fieldRef"], f"{path}.fieldRef", POD_FIELDS)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            errors += _validate_key_selector(source[name], f"{path}.{name}")
    return errors


def validate_field_ref(
    reference: Mapping[str, Any], path: str, supported: Sequence[str]
) -> list[FieldError]:
    """Return what is wrong with a reference to a field of the pod."""
    field = reference.get("fieldPath") or ""
    if not field:
        return [required(f"{path}.fieldPath")]
    bare, bracket, key = field.partition("['")
    if bracket and bare in ("metadata.annotations", "metadata.labels"):
        messages = names.qualified_name(key.removesuffix("']").lower())
        return [invalid_value(path, key.removesuffix("']"), message) for message in messages]
    if field in supported:
        return []
    if field in POD_FIELDS or field in ("metadata.labels", "metadata.annotations"):
        return [not_supported(f"{path}.fieldPath", field, supported)]
    detail = f"error converting fieldPath: field label not supported: {field}"
    return [invalid_value(f"{path}.fieldPath", field, detail)]


def _validate_key_selector(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    if not selector.get("name"):
        errors.append(required(f"{path}.name"))
    key = selector.get("key") or ""
    if not key:
        errors.append(required(f"{path}.key"))
    else:
        errors += [invalid_value(f"{path}.key", key, m) for m in names.config_key(key)]
    return errors


def _validate_env_from(sources: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors = []
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        prefix = source.get("prefix")
        if prefix:
            messages = names.env_var_name(prefix)
            errors += [invalid_value(f"{here}.prefix", prefix, message) for message in messages]
        given = [n for n in ("configMapRef", "secretRef") if source.get(n) is not None]
        if not given:
            detail = "must specify one of: `configMapRef` or `secretRef`"
            errors.append(invalid_value(here, "", detail))
        elif len(given) > 1:
            detail = "may not have more than one field specified at a time"
            errors.append(invalid_value(here, "", detail))
        errors += [
            required(f"{here}.{name}.name") for name in given if not source[name].get("name")
        ]
    return errors


def _validate_mounts(
    mounts: Sequence[Mapping[str, Any]], path: str, context: PodContext
) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        elif name not in context.volumes:
            errors.append(not_found_field(f"{here}.name", name))
        if not target:
            errors.append(required(f"{here}.mountPath"))
        if target in used:
            errors.append(invalid_value(f"{here}.mountPath", target, "must be unique"))
        used.add(target)
        errors += validate_relative_path(mount.get("subPath") or "", f"{here}.subPath")
    return errors


def validate_relative_path(value: str, path: str) -> list[FieldError]:
    """Refuse a path that leaves the folder it is relative to; "" is fine."""
    if value.startswith("/"):
        return [invalid_value(path, value, "must be a relative path")]
    if ".." in value.split("/"):
        return [invalid_value(path, value, "must not contain '..'")]
    return []


def _validate_probe(probe: Mapping[str, Any], path: str, name: str) -> list[FieldError]:
    errors = _validate_handler(probe, path)
    for field in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        errors += not_negative(probe, field, path)
    threshold = probe.get("successThreshold", 1)
    if name != "readinessProbe" and threshold != 1:
        errors.append(invalid_value(f"{path}.successThreshold", threshold, "must be 1"))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and name == "readinessProbe":
        detail = "must not be set for readinessProbes"
        errors.append(invalid_value(f"{path}.terminationGracePeriodSeconds", grace, detail))
    elif grace is not None and grace <= 0:
        detail = "must be greater than 0"
        errors.append(invalid_value(f"{path}.terminationGracePeriodSeconds", grace, detail))
    return errors


def _validate_handler(handler: Mapping[str, Any], path: str) -> list[FieldError]:
    given = [name for name in _HANDLERS if handler.get(name) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    errors = [
        forbidden_field(f"{path}.{name}", "may not specify more than 1 handler type")
        for name in given[1:]
    ]
    if "exec" in given and not handler["exec"].get("command"):
        errors.append(required(f"{path}.exec.command"))
    if "httpGet" in given:
        errors += _validate_http_get(handler["httpGet"], f"{path}.httpGet")
    for name in ("tcpSocket", "grpc"):
        if name in given:
            errors += port_or_name(handler[name].get("port", 0), f"{path}.{name}.port")
    return errors


def _validate_http_get(action: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    if not action.get("path"):
        errors.append(required(f"{path}.path"))
    errors += port_or_name(action.get("port", 0), f"{path}.port")
    return errors + one_of(action.get("scheme"), f"{path}.scheme", ("HTTP", "HTTPS"))


def validate_resources(resources: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with requests and limits."""
    errors = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            here = f"{path}.{field}[{name}]"
            if not _is_resource_name(name):
                detail = "must be a standard resource for containers"
                errors.append(invalid_value(f"{path}.{field}", name, detail))
            if parse_quantity(amount).value < 0:
                detail = "must be greater than or equal to 0"
                errors.append(invalid_value(here, amount, detail))
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and parse_quantity(amount).value > parse_quantity(limit).value:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errors.append(invalid_value(f"{path}.requests", amount, detail))
    return errors


def _is_resource_name(name: str) -> bool:
    return "/" in name or name in _STANDARD_RESOURCES or name.startswith("hugepages-")


def _validate_security(security: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = validate_ids(security, path)
    if security.get("allowPrivilegeEscalation") is False and security.get("privileged"):
        detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        errors.append(invalid_value(path, security, detail))
    return errors


def validate_ids(security: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with the user and group numbers of a security context."""
    detail = f"must be between 0 and {_MAX_ID}, inclusive"
    return [
        invalid_value(f"{path}.{field}", security[field], detail)
        for field in ("runAsUser", "runAsGroup", "fsGroup")
        if field in security and not 0 <= security[field] <= _MAX_ID
    ]
