"""Rules for containers of each sort: names, images, ports, restart policies.

Mirrors ``validateContainers``, ``validateInitContainers``, ``validateEphemeralContainers`` and what
they share, in ``pkg/apis/core/validation/validation.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    MAX_TOLD,
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_field,
    not_supported,
    required,
    too_long_list,
)
from netlab.api.validation.env import validate_env, validate_env_from
from netlab.api.validation.mounts import validate_devices, validate_mounts
from netlab.api.validation.numbers import one_of
from netlab.api.validation.probes import PROBES, validate_lifecycle, validate_probes
from netlab.api.validation.resources import validate_resources
from netlab.api.validation.security import validate_container_security

PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES: Final = ("FallbackToLogsOnError", "File")
RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
MAX_RESTART_RULES: Final = 20
MAX_EXIT_CODES: Final = 255
_RESTART_ACTIONS: Final = ("Restart", "RestartAllContainers")
_INIT_ONLY: Final = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL: Final = "cannot be set for an Ephemeral Container"
_EPHEMERAL_FIELDS: Final = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "imagePullPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)


@dataclass(frozen=True, slots=True)
class PodContext:
    """What the rules for one container need to know of its pod.

    volumes: by name, as written. whole_pod: False for a template, which Kubernetes judges a little
    more kindly.
    """

    volumes: Mapping[str, Mapping[str, Any]]
    claims: frozenset[str] = frozenset()
    grace_s: int | None = None
    restart_policy: str = "Always"
    host_users: bool = True
    whole_pod: bool = True


def validate_containers(
    containers: Sequence[Mapping[str, Any]], path: str, context: PodContext
) -> list[FieldError]:
    """Return what is wrong with the regular containers."""
    if not containers:
        return [required(path)]
    errors = []
    used: set[str] = set()
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, here, context)
        errors += _unique_name(container, here, used)
        errors += _validate_lasting(container, here, context)
        errors += _validate_restart_policy(container, here)
        if len(errors) > MAX_TOLD:
            return errors  # no answer tells more, and a container is the dearest thing to check
    return errors + _host_port_clashes(containers, path)


def validate_init_containers(
    containers: Sequence[Mapping[str, Any]],
    path: str,
    context: PodContext,
    regular: Sequence[Mapping[str, Any]],
) -> list[FieldError]:
    """Return what is wrong with the init containers, sidecars among them."""
    errors = []
    used = {container.get("name") or "" for container in regular}
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, here, context)
        errors += _validate_restart_policy(container, here)
        errors += _unique_name(container, here, used)
        if len(errors) > MAX_TOLD:
            return errors
        # init containers run one by one, so each may have the ports of the others
        errors += _host_port_clashes([container], path)
        if container.get("restartPolicy") == "Always":
            errors += _validate_lasting(container, here, context)
        else:
            errors += [
                forbidden_field(f"{here}.{field}", _INIT_ONLY)
                for field in ("lifecycle", *PROBES)
                if container.get(field) is not None
            ]
    return errors


def validate_ephemeral_containers(
    containers: Sequence[Mapping[str, Any]],
    path: str,
    context: PodContext,
    others: Sequence[Mapping[str, Any]],
) -> list[FieldError]:
    """Return what is wrong with the ephemeral containers; others: all the rest of the pod's."""
    errors = []
    targets = {container.get("name") or "" for container in others}
    used = set(targets)
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, here, context)
        errors += _unique_name(container, here, used)
        target = container.get("targetContainerName") or ""
        if target and target not in targets:
            errors.append(not_found_field(f"{here}.targetContainerName", target))
        errors += [
            forbidden_field(f"{here}.{field}", _NOT_EPHEMERAL)
            for field, value in container.items()
            if value and field not in _EPHEMERAL_FIELDS
        ]
        errors += [
            forbidden_field(f"{here}.volumeMounts[{position}].{field}", _NOT_EPHEMERAL)
            for position, mount in enumerate(container.get("volumeMounts") or ())
            for field in ("subPath", "subPathExpr")
            if mount.get(field)
        ]
    return errors


def _unique_name(container: Mapping[str, Any], path: str, used: set[str]) -> list[FieldError]:
    name = container.get("name") or ""
    if name and name in used:
        return [duplicate(f"{path}.name", name)]
    used.add(name)
    return []


def _validate_common(
    container: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    name = container.get("name") or ""
    errors = [invalid_value(f"{path}.name", name, m) for m in names.dns1123_label(name) if name]
    if not name:
        errors.append(required(f"{path}.name"))
    errors += _validate_image(container, path, whole_pod=context.whole_pod)
    message_policy = container.get("terminationMessagePolicy")
    errors += one_of(message_policy, f"{path}.terminationMessagePolicy", MESSAGE_POLICIES)
    errors += _validate_ports(container.get("ports") or (), f"{path}.ports")
    errors += validate_env(container.get("env") or (), f"{path}.env")
    errors += validate_env_from(container.get("envFrom") or (), f"{path}.envFrom")
    errors += validate_mounts(container, f"{path}.volumeMounts", context.volumes)
    errors += validate_devices(container, f"{path}.volumeDevices", context.volumes)
    errors += one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", PULL_POLICIES)
    resources = container.get("resources") or {}
    errors += validate_resources(resources, f"{path}.resources", context.claims)
    errors += _validate_resize_policy(container, f"{path}.resizePolicy", context)
    security = container.get("securityContext") or {}
    return errors + validate_container_security(
        security, f"{path}.securityContext", host_users=context.host_users
    )


def _validate_image(
    container: Mapping[str, Any], path: str, *, whole_pod: bool
) -> list[FieldError]:
    image = container.get("image") or ""
    if not image:
        return [required(f"{path}.image")]
    if whole_pod and image != image.strip():
        detail = "must not have leading or trailing whitespace"
        return [invalid_value(f"{path}.image", image, detail)]
    return []


def _validate_ports(ports: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
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
        errors += _validate_port_numbers(port, here)
        protocol = port.get("protocol")
        errors += one_of(protocol, f"{here}.protocol", PROTOCOLS)
    return errors


def _validate_port_numbers(port: Mapping[str, Any], path: str) -> list[FieldError]:
    number, host = port.get("containerPort", 0), port.get("hostPort", 0)
    if number == 0:
        errors = [required(f"{path}.containerPort")]
    else:
        messages = names.port_number(number)
        errors = [invalid_value(f"{path}.containerPort", number, message) for message in messages]
    if host:
        errors += [invalid_value(f"{path}.hostPort", host, m) for m in names.port_number(host)]
    ip = port.get("hostIP") or ""
    if ip:
        errors += [invalid_value(f"{path}.hostIP", ip, message) for message in names.ip_address(ip)]
    return errors


def _host_port_clashes(containers: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for container_index, container in enumerate(containers):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in used:
                here = f"{path}[{container_index}].ports[{index}].hostPort"
                errors.append(duplicate(here, key))
            used.add(key)
    return errors


def _validate_lasting(
    container: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    """Judge what only containers may have that run beside others."""
    errors = []
    if container.get("lifecycle") is not None:
        errors += validate_lifecycle(container["lifecycle"], f"{path}.lifecycle", context.grace_s)
    return errors + validate_probes(container, path)


def _validate_restart_policy(container: Mapping[str, Any], path: str) -> list[FieldError]:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors = []
    if policy is not None and policy not in RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES))
    if rules and policy is None:
        detail = "must specify restartPolicy when restart rules are used"
        errors.append(required(f"{path}.restartPolicy", detail))
    here = f"{path}.restartPolicyRules"
    if len(rules) > MAX_RESTART_RULES:
        errors.append(too_long_list(here, MAX_RESTART_RULES))
    for index, rule in enumerate(rules):
        errors += _validate_restart_rule(rule, f"{here}[{index}]")
    return errors


def _validate_restart_rule(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    action, codes = rule.get("action") or "", rule.get("exitCodes")
    errors = []
    if action not in _RESTART_ACTIONS:
        errors.append(not_supported(f"{path}.action", action, _RESTART_ACTIONS))
    if codes is None:
        return [*errors, required(f"{path}.exitCodes", "must be specified")]
    operator = codes.get("operator") or ""
    if operator not in ("In", "NotIn"):
        errors.append(not_supported(f"{path}.exitCodes.operator", operator, ("In", "NotIn")))
    if len(codes.get("values") or ()) > MAX_EXIT_CODES:
        errors.append(too_long_list(f"{path}.exitCodes.values", MAX_EXIT_CODES))
    return errors


def _validate_resize_policy(
    container: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    policies = ("NotRequired", "RestartContainer")
    for index, entry in enumerate(container.get("resizePolicy") or ()):
        name, policy = entry.get("resourceName") or "", entry.get("restartPolicy") or ""
        if name in used:
            errors.append(duplicate(f"{path}[{index}]", name))
        used.add(name)
        errors += one_of(name, path, ("cpu", "memory"))
        errors += one_of(policy, path, policies)
        if context.restart_policy == "Never" and policy != "NotRequired":
            detail = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            errors.append(invalid_value(path, policy, detail))
    return errors
