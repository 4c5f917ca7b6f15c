"""Rules for pods and pod templates; changes of pods are judged in ``pod_update``.

Mirrors ``ValidatePodSpec``.

netlab leaves out rules for affinity terms, topology spread and Windows: it does not act on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from netlab.api.validation.container import (
    PodContext,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from netlab.api.validation.metadata import validate_labels
from netlab.api.validation.numbers import one_of
from netlab.api.validation.resources import validate_pod_resources
from netlab.api.validation.security import validate_pod_security
from netlab.api.validation.volumes import validate_volumes
from netlab.api.view import Object

DNS_POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
TOLERATION_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
SYSTEMS: Final = ("linux", "windows")
MAX_NAMESERVERS: Final = 3
MAX_SEARCHES: Final = 32
MAX_SEARCH_CHARACTERS: Final = 2048
_MAX_INT32: Final = 2**31 - 1


def validate_pod(pod: Object) -> list[FieldError]:
    """Return what is wrong with a new pod, metadata aside."""
    spec = pod.get("spec") or {}
    errors = validate_pod_spec(spec, "spec")
    if not spec.get("serviceAccountName"):
        errors += _validate_tokens(spec)
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        errors.append(forbidden_field("spec.nodeName", detail))
    return errors


def _validate_tokens(spec: Mapping[str, Any]) -> list[FieldError]:
    detail = "must not be specified when serviceAccountName is not set"
    return [
        forbidden_field(
            f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken", detail
        )
        for index, volume in enumerate(spec.get("volumes") or ())
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if source.get("serviceAccountToken") is not None
    ]


def validate_pod_spec(
    spec: Mapping[str, Any], path: str, *, whole_pod: bool = True
) -> list[FieldError]:
    """Return what is wrong with the spec of a pod, or of a template (whole_pod False)."""
    volumes = spec.get("volumes") or ()
    errors = validate_volumes(volumes, f"{path}.volumes")
    errors += _validate_resource_claims(spec, f"{path}.resourceClaims")
    errors += validate_pod_containers(spec, path, whole_pod=whole_pod)
    errors += validate_pod_resources(spec, path)
    errors += _validate_host_network(spec, path, whole_pod=whole_pod)
    errors += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", RESTART_POLICIES)
    errors += _validate_dns(spec, path)
    errors += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    errors += validate_pod_security(spec, path)
    errors += _validate_gates(spec, path)
    errors += _validate_names(spec, path)
    errors += _validate_limits(spec, path)
    errors += validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    errors += _validate_host_aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    return errors + _validate_os(spec.get("os"), f"{path}.os")


def validate_pod_containers(
    spec: Mapping[str, Any], path: str, *, whole_pod: bool = True
) -> list[FieldError]:
    """Return what is wrong with the containers of a pod, of all three sorts."""
    regular, init = spec.get("containers") or (), spec.get("initContainers") or ()
    ephemeral = spec.get("ephemeralContainers") or ()
    context = _context_of(spec, whole_pod=whole_pod)
    errors = validate_containers(regular, f"{path}.containers", context)
    errors += validate_init_containers(init, f"{path}.initContainers", context, regular)
    return errors + validate_ephemeral_containers(
        ephemeral, f"{path}.ephemeralContainers", context, (*regular, *init)
    )


def _context_of(spec: Mapping[str, Any], *, whole_pod: bool) -> PodContext:
    claims = frozenset(claim.get("name") or "" for claim in spec.get("resourceClaims") or ())
    return PodContext(
        {volume.get("name") or "": volume for volume in spec.get("volumes") or ()},
        claims=claims - {""},
        grace_s=spec.get("terminationGracePeriodSeconds"),
        restart_policy=spec.get("restartPolicy") or "",
        host_users=spec.get("hostUsers") is not False,
        whole_pod=whole_pod,
    )


def _validate_resource_claims(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        here, name = f"{path}[{index}].name", claim.get("name") or ""
        if not name:
            errors.append(required(here))
        elif name in used:
            errors.append(duplicate(here, name))
        else:
            errors += [invalid_value(here, name, message) for message in names.dns1123_label(name)]
        used.add(name)
    return errors


def _validate_host_network(
    spec: Mapping[str, Any], path: str, *, whole_pod: bool
) -> list[FieldError]:
    """In the node's network a container's port is the node's port; a template may leave it out."""
    if not spec.get("hostNetwork"):
        return []
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        invalid_value(f"{path}.containers[{index}].ports[{position}].hostPort", host, detail)
        for index, container in enumerate(spec.get("containers") or ())
        for position, port in enumerate(container.get("ports") or ())
        if (host := port.get("hostPort", 0)) != port.get("containerPort", 0) and (whole_pod or host)
    ]


def _validate_gates(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        here, kind = f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType")
        errors += [invalid_value(here, kind or "", m) for m in names.qualified_name(kind or "")]
    used: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        here, name = f"{path}.schedulingGates[{index}]", gate.get("name") or ""
        errors += [invalid_value(here, name, message) for message in names.qualified_name(name)]
        if name in used:
            errors.append(duplicate(here, name))
        used.add(name)
    return errors


def _validate_os(system: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    if system is None:
        return []
    name = system.get("name") or ""
    if not name:
        return [required(f"{path}.name", "cannot be empty")]
    return [] if name in SYSTEMS else [not_supported(path, name, SYSTEMS)]


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
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        detail = (
            f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the"
            " search list"
        )
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
        "runtimeClassName": names.dns1123_subdomain,
        "hostname": names.dns1123_label,
        "subdomain": names.dns1123_label,
    }
    for field, rule in rules.items():
        value = spec.get(field)
        if value:
            errors += [invalid_value(f"{path}.{field}", value, message) for message in rule(value)]
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        policies = ("Never", "PreemptLowerPriority")
        errors += one_of(policy, f"{path}.preemptionPolicy", policies)
    return errors


def _validate_limits(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []  # a negative grace period counts as 1 and earns a warning
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        detail = f"must be between 1 and {_MAX_INT32}, inclusive"
        errors.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, detail))
    return errors


def validate_tolerations(tolerations: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Return what is wrong with a pod's tolerations."""
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
        if operator == "Equal":
            messages = names.label_value(value)
            if messages:
                errors.append(invalid_value(f"{here}.operator", value, ";".join(messages)))
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
