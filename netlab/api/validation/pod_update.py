"""Rules for changes of pods: in general, by ``ephemeralcontainers`` and by ``resize``.

Mirrors ``ValidatePodUpdate``, ``ValidatePodEphemeralContainersUpdate`` and ``ValidatePodResize``. A
pod's spec is fixed once it exists, but for images, the active deadline, added tolerations, a
negative grace period and removed scheduling gates; while such gates hold a pod back, what it asks
of its node may become stricter. Ephemeral containers and amounts of cpu and memory have
subresources of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from netlab.api.field_errors import FieldError, forbidden_field, invalid_value, required
from netlab.api.pod_resources import qos_class
from netlab.api.quantities import parse_quantity
from netlab.api.validation.pod import (
    validate_pod_containers,
    validate_pod_spec,
    validate_tolerations,
)
from netlab.api.validation.pod_gated import validate_gated_change, with_placement_of
from netlab.api.view import Object

_MAX_INT32: Final = 2**31 - 1
POD_UPDATE_MESSAGE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions"
    " to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it"
    " was previously negative)"
)
_RESIZABLE: Final = ("cpu", "memory")
_ONLY_RESOURCES: Final = "only cpu and memory resources are mutable"


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
    errors += _validate_removed_gates(before, after)
    if before.get("schedulingGates"):
        errors += validate_gated_change(before, after)
        after = with_placement_of(before, after)
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
    errors = []
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            path, image = f"spec.{field}[{index}].image", container.get("image") or ""
            if not image:
                errors.append(required(path))
            elif image != image.strip():
                detail = "must not have leading or trailing whitespace"
                errors.append(invalid_value(path, image, detail))
    return errors


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
    return validate_tolerations(new, path)


def _validate_removed_gates(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[FieldError]:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    return [
        forbidden_field(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name') or ''}'",
        )
        for index, gate in enumerate(after.get("schedulingGates") or ())
        if gate.get("name") not in known
    ]


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


def validate_ephemeral_update(old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with adding ephemeral containers: those there must stay as they are.

    new: the old pod with the new list of ephemeral containers.
    """
    path = "spec.ephemeralContainers"
    before = _by_name((old.get("spec") or {}).get("ephemeralContainers") or ())
    listed = (new.get("spec") or {}).get("ephemeralContainers") or ()
    after = _by_name(listed)
    errors = validate_pod_containers(new.get("spec") or {}, "spec")
    gone = sorted(name for name in before if name not in after)
    changed = sorted(name for name in before if name in after and before[name] != after[name])
    for names, what in ((gone, "removed"), (changed, "changed")):
        errors += [
            forbidden_field(path, f'existing ephemeral containers "{name}" may not be {what}\n')
            for name in names
        ]
    return errors


def _by_name(containers: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {container.get("name") or "": container for container in containers}


def validate_resize(old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with changing the amounts of a pod's containers in place.

    new: the old pod with the new resources.
    """
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if before.get("resources"):
        return [forbidden_field("", "pods with pod-level resources cannot be resized")]
    annotations = (old.get("metadata") or {}).get("annotations") or {}
    if "kubernetes.io/config.mirror" in annotations:
        return [forbidden_field("", "static pods cannot be resized")]
    errors = validate_pod_spec(after, "spec")
    known = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if known != qos_class(after):
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid_value("spec", known, detail))
    for field in ("initContainers", "containers"):
        pairs = zip(before.get(field) or (), after.get(field) or (), strict=False)
        for index, (was, now) in enumerate(pairs):
            path = f"spec.{field}[{index}].resources"
            if field == "containers" or was.get("restartPolicy") == "Always":
                errors += _validate_container_resize(was, now, path)
            elif was != now:
                detail = "resources for non-sidecar init containers are immutable"
                errors.append(forbidden_field("spec", detail))
    return errors


def _validate_container_resize(
    was: Mapping[str, Any], now: Mapping[str, Any], path: str
) -> list[FieldError]:
    old, new = was.get("resources") or {}, now.get("resources") or {}
    errors = []
    for part in ("requests", "limits"):
        if set(old.get(part) or ()) - set(new.get(part) or ()):
            detail = f"resource {part} cannot be removed"
            errors.append(forbidden_field(f"{path}.{part}", detail))
    errors += _validate_memory_limit(was, now, path)
    sidecar = was.get("restartPolicy") == "Always" and "initContainers" in path
    if _without_resizable(old) != _without_resizable(new):
        detail = "only cpu and memory resources for sidecar containers are mutable"
        errors.append(forbidden_field("spec", detail if sidecar else _ONLY_RESOURCES))
    return errors


def _validate_memory_limit(
    was: Mapping[str, Any], now: Mapping[str, Any], path: str
) -> list[FieldError]:
    """A limit that is set anew where there was none makes less of what was there."""
    policy = next(
        (
            entry.get("restartPolicy")
            for entry in now.get("resizePolicy") or ()
            if entry.get("resourceName") == "memory"
        ),
        "NotRequired",
    )
    new = ((now.get("resources") or {}).get("limits") or {}).get("memory")
    old = ((was.get("resources") or {}).get("limits") or {}).get("memory")
    if policy != "NotRequired" or new is None or old is not None:
        return []
    detail = "memory limits cannot be added unless resizePolicy is RestartContainer"
    return [forbidden_field(f"{path}.limits[memory]", detail)]


def _without_resizable(resources: Mapping[str, Any]) -> Object:
    return {
        part: {
            name: str(parse_quantity(amount))
            for name, amount in (resources.get(part) or {}).items()
            if name not in _RESIZABLE
        }
        for part in ("requests", "limits")
    } | {"claims": resources.get("claims") or []}
