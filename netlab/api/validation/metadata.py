"""Rules for ``metadata``: names, labels, annotations, owners, finalizers.

Mirrors ``apimachinery/pkg/api/validation/objectmeta.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from netlab.api import names
from netlab.api.field_errors import (
    MAX_TOLD,
    FieldError,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from netlab.api.kind import Kind

ANNOTATIONS_MAX_BYTES: Final = 256 * 1024
IMMUTABLE: Final = "field is immutable"

_STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_KEPT_ON_UPDATE: Final = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp")


def validate_metadata(kind: Kind[Any], metadata: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with an object's metadata."""
    errors = _validate_names(kind, metadata)
    errors += validate_labels(metadata.get("labels") or {}, "metadata.labels")
    errors += validate_annotations(metadata.get("annotations") or {}, "metadata.annotations")
    errors += _validate_owners(metadata.get("ownerReferences") or ())
    errors += _validate_finalizers(metadata.get("finalizers") or ())
    return errors


def _validate_names(kind: Kind[Any], metadata: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    rule = kind.name_rule
    prefix, name = metadata.get("generateName") or "", metadata.get("name") or ""
    if prefix:
        # a prefix may end in a hyphen: letters follow
        filled = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        path = "metadata.generateName"
        errors += [invalid_value(path, prefix, message) for message in rule(filled)]
    if name:
        errors += [invalid_value("metadata.name", name, message) for message in rule(name)]
    else:
        errors.append(required("metadata.name", "name or generateName is required"))
    namespace = metadata.get("namespace") or ""
    path = "metadata.namespace"
    if not kind.namespaced:
        if namespace:
            errors.append(forbidden_field(path, "not allowed on this type"))
    elif not namespace:
        errors.append(required(path))
    else:
        errors += [invalid_value(path, namespace, m) for m in names.dns1123_label(namespace)]
    return errors


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """Return what is wrong with a map of labels; also used for selectors that are plain maps."""
    errors = []
    for key, value in labels.items():
        errors += [invalid_value(path, key, message) for message in names.qualified_name(key)]
        errors += [invalid_value(path, value, message) for message in names.label_value(value)]
        if len(errors) > MAX_TOLD:
            break  # no answer tells more
    return errors


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """Return what is wrong with a map of annotations; its size is limited as a whole."""
    errors: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        # upper case is allowed in the prefix too, as it always was
        if len(errors) <= MAX_TOLD:
            errors += [invalid_value(path, key, m) for m in names.qualified_name(key.lower())]
    if size > ANNOTATIONS_MAX_BYTES:
        errors.append(too_long(path, ANNOTATIONS_MAX_BYTES))
    return errors


def _validate_owners(owners: Any) -> list[FieldError]:
    errors = []
    controllers = []
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                errors.append(invalid_value(f"{path}.{field}", "", "must not be empty"))
        if owner.get("controller"):
            controllers.append(owner.get("name", ""))
        if len(errors) > MAX_TOLD:
            break
    if len(controllers) > 1:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            + " and ".join(controllers[:2])
        )
        errors.append(invalid_value("metadata.ownerReferences", list(owners), detail))
    return errors


def _validate_finalizers(finalizers: Any) -> list[FieldError]:
    errors = []
    for index, name in enumerate(finalizers):
        path = "metadata.finalizers"
        errors += [invalid_value(path, name, message) for message in names.qualified_name(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid_value(f"{path}[{index}]", name, detail))
        if len(errors) > MAX_TOLD:
            break
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid_value("metadata.finalizers", list(finalizers), detail))
    return errors


def validate_metadata_update(
    kind: Kind[Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[FieldError]:
    """Return what is wrong with replacing metadata ``old`` by ``new``."""
    errors = []
    for field in _KEPT_ON_UPDATE:
        if (old.get(field) or "") != (new.get(field) or ""):
            errors.append(invalid_value(f"metadata.{field}", new.get(field) or "", IMMUTABLE))
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if old.get("deletionTimestamp") and added:
        listed = ", ".join(f'"{name}"' for name in added)
        detail = (
            "no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        errors.append(forbidden_field("metadata.finalizers", detail))
    return errors + validate_metadata(kind, new)
