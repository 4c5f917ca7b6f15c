"""Turns a request's body into an object that can be stored, and says what is odd about it.

Mirrors the request decoder of ``k8s.io/apiserver`` with its ``fieldValidation``, and the defaulting
that follows. Pure.
"""

from __future__ import annotations

from typing import Any

from netlab.api import schemas
from netlab.api.defaults import apply_defaults
from netlab.api.definitions import definition_of
from netlab.api.field_errors import bad_request
from netlab.api.kind import Kind, TypeName
from netlab.api.unsupported import inert_field_warnings
from netlab.api.view import Object
from netlab.apiserver.requests import WriteOptions
from netlab.apiserver.storage import metadata as meta


def decode_object(
    kind: Kind[Any],
    namespace: str | None,
    body: Object,
    options: WriteOptions,
    *,
    patch: Any = None,
) -> tuple[Object, list[str]]:
    """Return the object with known fields and defaults only, and the warnings it earns.

    body is used up. patch: what the body was made by, when it was; it is named in strict errors.

    Raises: ApiError BadRequest when the body is something else, has wrong types or, in mode
    Strict, unknown or duplicate fields.
    """
    if not isinstance(body, dict):
        raise bad_request("the body of the request is not an object")
    meta.check_type(kind, body)
    obj, texts = schemas.check_fields(
        kind,
        body,
        options.field_validation,
        duplicates=options.duplicate_fields,
        patch=patch,
    )
    meta.metadata_of(obj)
    meta.place_in_namespace(kind, obj, namespace or "")
    meta.drop_unserved(obj)
    if options.advise:
        texts = [*texts, *_advice(kind, obj)]
    return apply_defaults(kind, obj), texts


def decode_part(type_: TypeName, body: Object, options: WriteOptions) -> tuple[Object, list[str]]:
    """Return what is sent to a subresource of another type (a Scale, a Binding), and warnings.

    Raises: ApiError as ``decode_object``.
    """
    if not isinstance(body, dict):
        raise bad_request("the body of the request is not an object")
    meta.check_type(type_, body)
    return schemas.check_definition(
        definition_of(type_),
        type_.kind,
        type_.version,
        body,
        options.field_validation,
        duplicates=options.duplicate_fields,
    )


def only_new(kind: Kind[Any], old: Object, texts: list[str], options: WriteOptions) -> list[str]:
    """Leave out the warnings that the old object earned too: they are not about this change."""
    if not texts or not options.advise:
        return texts
    known = set(_advice(kind, old))
    return [text for text in texts if text not in known]


def _advice(kind: Kind[Any], obj: Object) -> list[str]:
    """What to tell whoever writes such an object: netlab's warnings, then Kubernetes' own."""
    return [*inert_field_warnings(kind, obj), *kind.advice(obj)]
