"""Which objects are allowed, and which changes of them.

Mirrors ``pkg/apis/*/validation`` of Kubernetes v1.36, with its field paths and wording; each kind's
descriptor names its rules. Objects come complete (``defaults.apply_defaults``) and well typed
(``schemas.check_fields``). Rules that need other objects (free addresses, existing service
accounts) belong to admission.

netlab leaves out rules for fields it does not act on and that rarely go wrong: affinities, topology
spread, volume plug-ins of clouds, Windows options.
"""

from __future__ import annotations

from typing import Any

from netlab.api.field_errors import FieldError
from netlab.api.kind import Kind
from netlab.api.validation.metadata import validate_metadata, validate_metadata_update
from netlab.api.view import Object

__all__ = ["validate_create", "validate_update"]


def validate_create(kind: Kind[Any], obj: Object) -> list[FieldError]:
    """Return what is wrong with a new object; an empty list when it is fine."""
    return validate_metadata(kind, obj.get("metadata") or {}) + kind.validate(obj)


def validate_update(kind: Kind[Any], old: Object, new: Object) -> list[FieldError]:
    """Return what is wrong with replacing ``old`` by ``new``."""
    errors = validate_metadata_update(kind, old.get("metadata") or {}, new.get("metadata") or {})
    if not kind.update_replaces_rules:
        errors += kind.validate(new)
    return errors + kind.validate_update(old, new)
