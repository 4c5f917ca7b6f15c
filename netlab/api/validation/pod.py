"""Rules for pods and for changes of pods.

Mirrors ``ValidatePodSpec`` and ``ValidatePodUpdate``. A pod's spec is fixed once it exists, but for
images, the active deadline, added tolerations, a negative grace period and scheduling gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from netlab.api.validation.container import (
    PodContext,
    validate_containers,
    validate_ids,
)
from netlab.api.validation.metadata import validate_labels
from netlab.api.validation.numbers import not_negative, one_of
from netlab.api.validation.volumes import validate_volumes
from netlab.api.view import Object

DNS_POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
TOLERATION_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
MAX_NAMESERVERS: Final = 3
MAX_SEARCHES: Final = 32
_MAX_INT32: Final = 2**31 - 1

POD_UPDATE_MESSAGE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions"
    " to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it"
    " was previously negative)"
)


def validate_pod(pod: Object) -> list[FieldError]:
    """Return what is wrong with a new pod, metadata aside."""
    spec = pod.get("spec") or {}
    errors = validate_pod_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_pod_spec(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """Return what is wrong with the spec of a pod or of a template."""
    volumes = spec.get("volumes") or ()
    errors = validate_volumes(volumes, f"{path}.volumes")
    context = PodContext(
        frozenset(volume.get("name") or "" for volume in volumes), bool(spec.get("hostNetwork"))
    )
    errors += _validate_all_containers(spec, path, context)
    errors += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES)
    errors += _validate_dns(spec, path)
    errors += _validate_names(spec, path)
    errors += _validate_limits(spec, path)
    errors += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    errors += _validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    errors += _validate_host_aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    security = spec.get("securityContext")
    if security:
        errors += validate_ids(security, f"{path}.securityContext")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid_value(f"{path}.shareProcessNamespace", True, detail))
    return errors


def _validate_all_containers(
    spec: Mapping[str, Any], path: str, context: PodContext
) -> list[FieldError]:
    containers, init = spec.get("containers") or (), spec.get("initContainers") or ()
    if not containers:
        return [required(f"{path}.containers")]
    errors = validate_containers(containers, f"{path}.containers", context, ())
    for index, container in enumerate(containers):
        if container.get("restartPolicy"):
            detail = "may not be set for non-init containers"
            here = f"{path}.containers[{index}].restartPolicy"
            errors.append(forbidden_field(here, detail))
    if init:
        taken = [container.get("name") or "" for container in containers]
        errors += validate_containers(init, f"{path}.initContainers", context, taken)
        errors += _validate_init_containers(init, f"{path}.initContainers")
    return errors


def _validate_init_containers(
    containers: Sequence[Mapping[str, Any]], path: str
) -> list[FieldError]:
    detail = "may not be set for init containers without restartPolicy=Always"
    errors = []
    for index, container in enumerate(containers):
        policy = container.get("restartPolicy")
        if policy == "Always":
            continue
        if policy is not None:
            here = f"{path}[{index}].restartPolicy"
            errors.append(not_supported(here, policy, ("Always",)))
        errors += [
            forbidden_field(f"{path}[{index}].{field}", detail)
            for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
            if container.get(field) is not None
        ]
    return errors


def _validate_dns(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    policy, config = spec.get("dnsPolicy"), spec.get("dnsConfig")
    errors = one_of(policy, f"{path}.dnsPolicy", DNS_POLICIES)
    here = f"{path}.dnsConfig"
    if policy == "None" and config is None:
        detail = "must provide `dnsConfig` when `dnsPolicy` is None"
        return [*errors, required(here, detail)]
    servers = (config or {}).get("nameservers") or []
    if policy == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(required(f"{here}.nameservers", detail))
    if len(servers) > MAX_NAMESERVERS:
        detail = f"must not have more than {MAX_NAMESERVERS} nameservers"
        errors.append(invalid_value(f"{here}.nameservers", servers, detail))
    for index, server in enumerate(servers):
        where = f"{here}.nameservers[{index}]"
        errors += [invalid_value(where, server, message) for message in names.ip_address(server)]
    return errors + _validate_searches(config or {}, here)


def _validate_searches(config: Mapping[str, Any], path: str) -> list[FieldError]:
    searches = config.get("searches") or []
    errors = []
    if len(searches) > MAX_SEARCHES:
        detail = f"must not have more than {MAX_SEARCHES} search paths"
        errors.append(invalid_value(f"{path}.searches", searches, detail))
    for index, search in enumerate(searches):
        # since v1.34 names may hold underscores, and a single dot is a search path too
        bare = search.removesuffix(".").replace("_", "a")
        messages = names.dns1123_subdomain(bare) if bare else []
        errors += [invalid_value(f"{path}.searches[{index}]", search, m) for m in messages]
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def _validate_names(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    rules = {
        "serviceAccountName": names.dns1123_subdomain,
        "nodeName": names.dns1123_subdomain,
        "priorityClassName": names.dns1123_subdomain,
        "hostname": names.dns1123_label,
        "subdomain": names.dns1123_label,
    }
    for field, rule in rules.items():
        value = spec.get(field)
        if value:
            errors += [invalid_value(f"{path}.{field}", value, message) for message in rule(value)]
    return errors


def _validate_limits(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = not_negative(spec, "terminationGracePeriodSeconds", path)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        detail = f"must be between 1 and {_MAX_INT32}, inclusive"
        errors.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, detail))
    return errors


def _validate_tolerations(tolerations: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors = []
    for index, toleration in enumerate(tolerations):
        here = f"{path}[{index}]"
        key, value = toleration.get("key") or "", toleration.get("value") or ""
        operator, effect = toleration.get("operator") or "Equal", toleration.get("effect") or ""
        if key:
            errors += [invalid_value(f"{here}.key", key, m) for m in names.qualified_name(key)]
        elif operator != "Exists":
            detail = (
                "operator must be Exists when `key` is empty, which means"
                ' "match all values and all keys"'
            )
            errors.append(invalid_value(f"{here}.operator", operator, detail))
        if operator not in ("Equal", "Exists"):
            errors.append(not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        elif operator == "Exists" and value:
            detail = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid_value(f"{here}.operator", value, detail))
        if effect and effect not in TOLERATION_EFFECTS:
            errors.append(not_supported(f"{here}.effect", effect, TOLERATION_EFFECTS))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid_value(f"{here}.effect", effect, detail))
    return errors


def _validate_host_aliases(aliases: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    errors = []
    for index, alias in enumerate(aliases):
        here = f"{path}[{index}]"
        ip = alias.get("ip") or ""
        errors += [invalid_value(f"{here}.ip", ip, message) for message in names.ip_address(ip)]
        for host_index, host in enumerate(alias.get("hostnames") or ()):
            messages = names.dns1123_subdomain(host)
            where = f"{here}.hostnames[{host_index}]"
            errors += [invalid_value(where, host, message) for message in messages]
    return errors


def validate_pod_update(old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with changing a pod (its metadata and status are judged elsewhere)."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if before == after:
        return []
    errors = _validate_container_lists(before, after)
    if errors:
        return errors
    errors += _validate_images(after)
    errors += _validate_deadline(before, after)
    errors += _validate_added_tolerations(before, after)
    if _comparable(before, before) != _comparable(after, before):
        errors.append(forbidden_field("spec", POD_UPDATE_MESSAGE))
    return errors


def _validate_container_lists(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[FieldError]:
    detail = "pod updates may not add or remove containers"
    return [
        forbidden_field(f"spec.{field}", detail)
        for field in ("containers", "initContainers")
        if len(before.get(field) or ()) != len(after.get(field) or ())
    ]


def _validate_images(spec: Mapping[str, Any]) -> list[FieldError]:
    return [
        required(f"spec.{field}[{index}].image")
        for field in ("containers", "initContainers")
        for index, container in enumerate(spec.get(field) or ())
        if not container.get("image")
    ]


def _validate_deadline(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldError]:
    old, new = before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if new == old:
        return []
    if new is None:
        return [invalid_value(path, new, "must not update from a positive integer to nil value")]
    if not 0 <= new <= _MAX_INT32:
        return [invalid_value(path, new, f"must be between 0 and {_MAX_INT32}, inclusive")]
    if old is not None and old < new:
        return [invalid_value(path, new, "must be less than or equal to previous value")]
    return []


def _validate_added_tolerations(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[FieldError]:
    old, new = before.get("tolerations") or [], after.get("tolerations") or []
    path = "spec.tolerations"
    # the time a pod stays on a bad node may still be changed
    if any(_without_seconds(t) not in [_without_seconds(n) for n in new] for t in old):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        return [forbidden_field(path, detail)]
    return _validate_tolerations(new, path)


def _without_seconds(toleration: Mapping[str, Any]) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _comparable(spec: Mapping[str, Any], before: Mapping[str, Any]) -> Object:
    """Return the part of a pod's spec that must not change."""
    fixed = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    }
    for field in ("containers", "initContainers"):
        if fixed.get(field):
            fixed[field] = [{**container, "image": ""} for container in fixed[field]]
    grace = before.get("terminationGracePeriodSeconds", 0)
    if grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        fixed["terminationGracePeriodSeconds"] = grace
    return fixed
