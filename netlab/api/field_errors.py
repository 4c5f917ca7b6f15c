"""Errors about fields, and the Status errors that the API server answers with.

Mirrors ``k8s.io/apimachinery/pkg/util/validation/field`` and ``pkg/api/errors``: the wording is
what users know from ``kubectl``. Validation collects ``FieldError`` values; ``invalid`` turns
them into one ``ApiError``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from netlab.api.kind import Kind
from netlab.errors import ApiError

REQUIRED: Final = "Required value"
INVALID: Final = "Invalid value"
NOT_SUPPORTED: Final = "Unsupported value"
DUPLICATE: Final = "Duplicate value"
FORBIDDEN: Final = "Forbidden"
NOT_FOUND: Final = "Not found"
TOO_LONG: Final = "Too long"
TOO_MANY: Final = "Too many"

_CAUSE_REASONS = {
    REQUIRED: "FieldValueRequired",
    INVALID: "FieldValueInvalid",
    NOT_SUPPORTED: "FieldValueNotSupported",
    DUPLICATE: "FieldValueDuplicate",
    FORBIDDEN: "FieldValueForbidden",
    NOT_FOUND: "FieldValueNotFound",
    TOO_LONG: "FieldValueTooLong",
    TOO_MANY: "FieldValueTooMany",
}
_WITHOUT_VALUE = frozenset({REQUIRED, FORBIDDEN, TOO_LONG})

AnyKind: TypeAlias = Kind[Any]

MAX_TOLD: Final = 500
"""Errors that one answer tells: more are the work of a machine, and telling them costs the server
far more than the request cost its sender."""

OBJECT_MODIFIED: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field.

    type: one of this module's constants; path: such as ``spec.ports[0].port``; value: what the
    user wrote (not shown for Required value, Forbidden and Too long).
    """

    type: str
    path: str
    value: Any = None
    detail: str = ""

    @property
    def body(self) -> str:
        """The message without the path."""
        parts = [self.type]
        if self.type not in _WITHOUT_VALUE:
            parts.append(go_value(self.value))
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)

    def __str__(self) -> str:
        return f"{self.path}: {self.body}"

    def cause(self) -> dict[str, str]:
        """The entry of ``details.causes`` in a Status."""
        return {"reason": _CAUSE_REASONS[self.type], "message": self.body, "field": self.path}


def go_value(value: Any) -> str:
    """Return ``value`` as Go prints it in field errors: strings quoted, objects as JSON."""
    return json.dumps(_in_go_order(value), separators=(",", ":"), ensure_ascii=False)


def _in_go_order(value: Any) -> Any:
    """Sort the keys of maps, as Go does; structs keep the order they were written in."""
    if isinstance(value, dict):
        keys = sorted(value) if all(isinstance(v, str) for v in value.values()) else list(value)
        return {key: _in_go_order(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_in_go_order(item) for item in value]
    return value


def required(path: str, detail: str = "") -> FieldError:
    """The field must be set."""
    return FieldError(REQUIRED, path, None, detail)


def invalid_value(path: str, value: Any, detail: str) -> FieldError:
    """The field's value breaks a rule."""
    return FieldError(INVALID, path, value, detail)


def forbidden_field(path: str, detail: str) -> FieldError:
    """The field may not be set or changed here."""
    return FieldError(FORBIDDEN, path, None, detail)


def duplicate(path: str, value: Any) -> FieldError:
    """The value was used before in the same list."""
    return FieldError(DUPLICATE, path, value)


def not_found_field(path: str, value: Any) -> FieldError:
    """The value names something that does not exist in the object."""
    return FieldError(NOT_FOUND, path, value)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The value is none of those in ``supported``."""
    listed = ", ".join(json.dumps(item) for item in sorted(supported))
    return FieldError(NOT_SUPPORTED, path, value, f"supported values: {listed}")


def too_long(path: str, limit_bytes: int) -> FieldError:
    """The text has more than ``limit_bytes`` bytes."""
    return FieldError(TOO_LONG, path, None, f"may not be more than {limit_bytes} bytes")


def too_long_list(path: str, limit: int) -> FieldError:
    """The list is longer than Kubernetes takes; it words that as for texts."""
    return too_long(path, limit)


def too_many(path: str, count: int, limit: int) -> FieldError:
    """The list has more than ``limit`` items."""
    return FieldError(TOO_MANY, path, count, f"must have at most {limit} items")


def qualified_kind(kind: AnyKind) -> str:
    """``Pod`` or ``Deployment.apps``, as Invalid errors name the kind."""
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind


def _details(kind: AnyKind, name: str, *, use_kind: bool = False) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.kind if use_kind else kind.plural
    return details


def aggregate(messages: Iterable[str]) -> str:
    """Join messages as Go's aggregate errors do: one alone, several as ``[a, b]``, no repeats."""
    unique = list(dict.fromkeys(messages))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


def invalid(kind: AnyKind, name: str, errors: Sequence[FieldError]) -> ApiError:
    """The 422 answer to an object that breaks rules."""
    details = _details(kind, name, use_kind=True)
    told, more = errors[:MAX_TOLD], len(errors) - MAX_TOLD
    details["causes"] = [error.cause() for error in told]
    text = f'{qualified_kind(kind)} "{name}" is invalid'
    if errors:
        texts = [str(error) for error in told]
        if more > 0:
            texts.append(f"and {more} further errors")
        text += f": {aggregate(texts)}"
    return ApiError(422, "Invalid", text, details)


def not_found(kind: AnyKind, name: str) -> ApiError:
    """The 404 answer: no such object."""
    message = f'{kind.group_resource} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(kind, name))


def already_exists(kind: AnyKind, name: str) -> ApiError:
    """The 409 answer to creating what exists."""
    message = f'{kind.group_resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(kind, name))


def conflict(kind: AnyKind, name: str, reason: str = OBJECT_MODIFIED) -> ApiError:
    """The 409 answer to a write that was based on an old version, or on a wrong precondition."""
    message = f'Operation cannot be fulfilled on {kind.group_resource} "{name}": {reason}'
    return ApiError(409, "Conflict", message, _details(kind, name))


def bad_request(message: str) -> ApiError:
    """The 400 answer."""
    return ApiError(400, "BadRequest", message)


def forbidden(kind: AnyKind, name: str, reason: str) -> ApiError:
    """The 403 answer; ``reason`` follows ``pods "x" is forbidden: ``. name "" leaves it out."""
    quoted = f' "{name}"' if name else ""
    message = f"{kind.group_resource}{quoted} is forbidden: {reason}"
    return ApiError(403, "Forbidden", message, _details(kind, name))


def method_not_supported(kind: AnyKind, verb: str) -> ApiError:
    """The 405 answer: the kind does not know the verb."""
    message = f'{verb} is not supported on resources of kind "{kind.group_resource}"'
    return ApiError(405, "MethodNotAllowed", message, _details(kind, ""))


def expired(message: str = "The resourceVersion for the provided watch is too old.") -> ApiError:
    """The 410 answer: the client must list again."""
    return ApiError(410, "Expired", message)


def too_old_resource_version(requested: int | str, oldest: int | str) -> ApiError:
    """The 410 answer that names both versions."""
    return expired(f"too old resource version: {requested} ({oldest})")


def unauthorized() -> ApiError:
    """The 401 answer: the caller did not say who he is."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    """The 415 answer to a body in a format the server does not read."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def not_acceptable(accepted: Iterable[str]) -> ApiError:
    """The 406 answer to a client that takes none of the server's formats."""
    return ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: " + ", ".join(accepted),
    )


def no_such_resource() -> ApiError:
    """The 404 for a path below a served group that names nothing, or a kind that went."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})
