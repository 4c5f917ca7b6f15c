"""Checks that objects have the fields and types of Kubernetes, and prunes what they have not.

The first step of every write, before defaults and validation. Mirrors the decoder of
kube-apiserver with its ``fieldValidation`` parameter. An object that the typed round trip (see
``decoding``) would leave as it is, which is nearly every one, is recognised by a JSON schema
compiled once per kind; only others are walked field by field.

Also gives the merge rules of strategic merge patches, and the definitions for OpenAPI.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs

from netlab.api.decoding import INT_LIMITS, Decoder, DecodingError, zero_dropped
from netlab.api.definitions import (
    META,
    Field,
    Shape,
    ShapeKind,
    definition,
    definition_of,
    definitions_for,
    load_fields,
    referenced,
)
from netlab.api.field_errors import INVALID, FieldError, aggregate, bad_request
from netlab.api.kind import Kind, TypeName, Zeros
from netlab.api.view import Object
from netlab.errors import ApiError

__all__ = [
    "FieldValidation",
    "check_definition",
    "check_fields",
    "definition",
    "definitions_for",
    "prepare",
]

FieldValidation: TypeAlias = Literal["Strict", "Warn", "Ignore"]

# the server tells at most this many strict errors
MAX_PROBLEMS: Final = 100

# At most three digits before a suffix cannot be shortened, so these are canonical; others are
# rewritten on the slow way.
_CANONICAL_QUANTITY: Final = "^(0|[1-9][0-9]{0,2}(m|k|M|G|T|Ki|Mi|Gi|Ti)?)$"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# Whether a month has a day 29, 30 or 31 is for the slow way to find out.
_SECOND: Final = (
    "^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
)
_TIME: Final = f"{_SECOND}Z$"
_MICRO_TIME: Final = f"{_SECOND}[.][0-9]{{6}}Z$"

_SCALAR_SCHEMAS: Final[dict[ShapeKind, dict[str, Any]]] = {
    ShapeKind.STRING: {"type": "string"},
    ShapeKind.BYTES: {"type": "string", "pattern": _BASE64},
    ShapeKind.FLOAT: {"type": "number"},
    ShapeKind.BOOL: {"type": "boolean"},
    ShapeKind.TIME: {"type": "string", "pattern": _TIME},
    ShapeKind.MICRO_TIME: {"type": "string", "pattern": _MICRO_TIME},
    ShapeKind.QUANTITY: {"type": "string", "pattern": _CANONICAL_QUANTITY},
    ShapeKind.INT_OR_STRING: {
        "type": ["integer", "string"],
        "minimum": INT_LIMITS[ShapeKind.INT32][0],
        "maximum": INT_LIMITS[ShapeKind.INT32][1],
    },
    ShapeKind.ANY: {},
    **{
        kind: {"type": "integer", "minimum": low, "maximum": high}
        for kind, (low, high) in INT_LIMITS.items()
    },
}


def check_fields(
    kind: Kind[Any] | TypeName,
    obj: Object,
    mode: FieldValidation,
    *,
    duplicates: Sequence[str] = (),
    patch: Any = None,
) -> tuple[Object, list[str]]:
    """Return the object after Kubernetes' typed round trip, and the warnings for the user.

    obj is not changed; when nothing is to be changed it is returned itself. duplicates: paths that
    ``bodies.decode_json`` found. patch: the patch that led to ``obj``, when one did; it only
    changes how strict errors are worded. Warnings are given in mode Warn only.

    Raises: ApiError 400 for a wrong type, or for unknown and duplicate fields in mode Strict (422
    when they come from a patch).
    """
    free_form = isinstance(kind, Kind) and kind.free_form
    checked, texts = check_definition(
        f"{META}.ObjectMeta" if free_form else definition_of(kind),
        kind.kind,
        kind.version,
        obj.get("metadata") or {} if free_form else obj,
        mode,
        duplicates=duplicates,
        patch=patch,
        zeros=() if isinstance(kind, TypeName) else kind.zeros,
        path="metadata." if free_form else "",
    )
    if not free_form:
        return checked, texts
    return ({**obj, "metadata": checked} if checked else obj), texts


def check_definition(
    name: str,
    kind: str,
    version: str,
    obj: Object,
    mode: FieldValidation,
    *,
    duplicates: Sequence[str] = (),
    patch: Any = None,
    zeros: Zeros = (),
    path: str = "",
) -> tuple[Object, list[str]]:
    """Do what ``check_fields`` does for a type that is no served kind, such as Scale.

    name: of the definition, ``io.k8s.api.autoscaling.v1.Scale``; kind and version: as errors name
    them; path: where in the object ``obj`` stands, with a dot at its end.
    """
    problems: list[str] = []
    if not _validator(name, zeros).is_valid(obj):
        decoder = Decoder(zeros)
        try:
            obj = decoder.decode(name, obj)
        except DecodingError as error:
            raise _undecodable(kind, version, str(error)) from None
        problems += [f'unknown field "{path}{field}"' for field in decoder.unknown]
    problems += [f'duplicate field "{field}"' for field in duplicates]
    if not problems or mode == "Ignore":
        return obj, []
    del problems[MAX_PROBLEMS:]
    if mode == "Warn":
        return obj, problems
    raise _strict_error(kind, version, problems, patch)


def _undecodable(kind: str, version: str, message: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {message}')


def _strict_error(kind: str, version: str, problems: Sequence[str], patch: Any) -> ApiError:
    message = f"strict decoding error: {', '.join(problems)}"
    if patch is None:
        return _undecodable(kind, version, message)
    # the server does not name kind and object here
    error = FieldError(INVALID, "patch", patch, message)
    text = f' "" is invalid: {aggregate([str(error)])}'
    return ApiError(422, "Invalid", text, {"causes": [error.cause()]})


@cache
def _validator(name: str, zeros: Zeros) -> Any:
    """Compile the schema that exactly the objects meet which the round trip leaves unchanged.

    Draft 4, because it is the last in which 1.0 is no integer (Go's decoder refuses it too).
    """
    types: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in types:
            fields = load_fields(current)
            types[current] = _type_schema(current, fields.values(), zeros)
            waiting += [r for f in fields.values() if (r := referenced(f.shape))]
    schema = {"$ref": f"#/definitions/{name}", "definitions": types}
    return jsonschema_rs.Draft4Validator(schema)


def _type_schema(name: str, fields: Iterable[Field], own: Zeros) -> dict[str, Any]:
    zeros = zero_dropped(name, own)
    return {
        "type": "object",
        "properties": {f.name: _field_schema(f, f.name in zeros) for f in fields},
        "additionalProperties": False,
    }


def _field_schema(field: Field, zero_is_dropped: bool) -> dict[str, Any]:
    schema = _shape_schema(field.shape)
    if field.required:
        return schema
    match field.shape.kind:
        case ShapeKind.LIST:
            return {**schema, "minItems": 1}
        case ShapeKind.MAP:
            return {**schema, "minProperties": 1}
        case ShapeKind.STRING if zero_is_dropped:
            return {**schema, "minLength": 1}
        case ShapeKind.BOOL if zero_is_dropped:
            return {"enum": [True]}
        case ShapeKind.INT32 | ShapeKind.INT64 if zero_is_dropped:
            return {**schema, "not": {"enum": [0]}}
        case _:
            return schema


def _shape_schema(shape: Shape) -> dict[str, Any]:
    if shape.kind is ShapeKind.STRUCT:
        return {"$ref": f"#/definitions/{shape.definition}"}
    if shape.item is None:
        return _SCALAR_SCHEMAS[shape.kind]
    if shape.kind is ShapeKind.LIST:
        return {"type": "array", "items": _shape_schema(shape.item)}
    return {"type": "object", "additionalProperties": _shape_schema(shape.item)}


def prepare(kinds: Iterable[Kind[Any]]) -> None:
    """Compile the schemas of ``kinds`` now, so that no first request has to wait (50 ms in all)."""
    for kind in kinds:
        if not kind.free_form:
            _validator(definition_of(kind), kind.zeros)
