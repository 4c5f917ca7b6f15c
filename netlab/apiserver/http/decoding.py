"""Bodies: JSON, YAML or protobuf to an object of the kind a path asks for.

Mirrors the handlers' use of ``runtime.Decoder`` and their ``transformDecodeError``. What a body's
fields mean is not looked at here (``api.schemas`` does). Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from netlab.api.bodies import count_fields, decode_json, parse_json
from netlab.api.catalog import Catalog
from netlab.api.field_errors import bad_request
from netlab.api.kind import Kind, TypeName
from netlab.api.patches import PatchType
from netlab.api.protobuf import decode_protobuf
from netlab.api.schemas import check_definition, check_fields
from netlab.api.view import Object
from netlab.api.yaml_bodies import decode_yaml
from netlab.apiserver.http.negotiation import PROTOBUF, YAML
from netlab.errors import ApiError

SHOWN_BYTES = 30

DELETE_OPTIONS: Final = TypeName("", "v1", "DeleteOptions")
_DELETE_OPTIONS_TYPE: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded body; duplicates are the paths of fields that were given twice."""

    object: Object
    duplicates: tuple[str, ...] = ()


def decode_object(
    data: bytes, media_type: str, type_: Kind[Any] | TypeName, catalog: Catalog
) -> Body:
    """Return the object in a body that shall be of a kind, or of what a subresource takes.

    A body that leaves out apiVersion or kind gets them, as in Kubernetes.

    Raises: ApiError BadRequest (400) for a body that is no object of that kind.
    """
    api_version, kind = type_.api_version, type_.kind
    body = decode_any(data, media_type, kind)
    obj = body.object
    given_version, given_kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    if given_version != api_version or given_kind != kind:
        _check_type(given_version, given_kind, type_, catalog)
        obj = {**obj, "apiVersion": api_version, "kind": kind}
    return Body(obj, body.duplicates)


def decode_typed(
    data: bytes, media_type: str, type_: Kind[Any] | TypeName, catalog: Catalog
) -> Body:
    """Return the object in a body of a type that is not stored, with known fields only.

    Raises: ApiError BadRequest (400) for another kind and for fields of wrong types.
    """
    body = decode_object(data, media_type, type_, catalog)
    return Body(check_fields(type_, body.object, "Ignore")[0], body.duplicates)


def decode_delete_options(data: bytes, media_type: str) -> Object:
    """Return the DeleteOptions in a body, of whatever version it says they are.

    Raises: ApiError BadRequest (400).
    """
    body = decode_any(data, media_type, DELETE_OPTIONS.kind).object
    given = body.get("kind") or DELETE_OPTIONS.kind
    if given != DELETE_OPTIONS.kind:
        raise bad_request(f"a {DELETE_OPTIONS.kind} is wanted, not a {str(given)[:SHOWN_BYTES]}")
    named = {**body, "apiVersion": DELETE_OPTIONS.api_version, "kind": DELETE_OPTIONS.kind}
    return check_definition(
        _DELETE_OPTIONS_TYPE, DELETE_OPTIONS.kind, DELETE_OPTIONS.version, named, "Ignore"
    )[0]


def decode_patch(data: bytes, patch_type: PatchType) -> Any:
    """Return a patch's JSON.

    Raises: ApiError BadRequest (400).
    """
    try:
        patch, _ = parse_json(data)
    except ApiError as error:
        if error.code != 400:
            raise
        raise bad_request(f"error decoding patch: {error.message}") from error
    wanted: type = list if patch_type == "json" else dict
    if not isinstance(patch, wanted):
        shape = "a list of operations" if patch_type == "json" else "an object"
        raise bad_request(f"error decoding patch: the patch must be {shape}")
    return patch


def _check_type(
    given_version: Any, given_kind: Any, type_: Kind[Any] | TypeName, catalog: Catalog
) -> None:
    api_version, kind = type_.api_version, type_.kind
    for field, value in (("apiVersion", given_version), ("kind", given_kind)):
        if not isinstance(value, str):
            raise bad_request(
                f"couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{_json_type(value)} into Go struct field .{field} of type string"
            )
    if given_kind and given_kind != kind:
        known = catalog.by_kind(given_version or api_version, given_kind) is not None
        raise bad_request(
            _wrong_kind(given_version or api_version, given_kind, api_version, kind, known=known)
        )
    if given_version and given_version != api_version:
        raise bad_request(
            f"the API version in the data ({given_version}) does not match "
            f"the expected API version ({api_version})"
        )


def _wrong_kind(
    given_version: str, given_kind: str, api_version: str, kind: str, *, known: bool
) -> str:
    short = given_version.rpartition("/")[2]
    if known:
        package = api_version.partition("/")[0] if "/" in api_version else "core"
        cause = f"converting ({short}.{given_kind}) to ({package}.{kind}): unknown conversion"
    else:
        cause = (
            f'no kind "{given_kind}" is registered for version "{given_version}" '
            f'in scheme "{_SCHEME}"'
        )
    return f'{given_kind} in version "{short}" cannot be handled as a {kind}: {cause}'


def decode_any(data: bytes, media_type: str, kind: str) -> Body:
    """Return the object in a body, of whatever kind it says it is.

    kind: what was expected, for the message. Raises: ApiError BadRequest (400).
    """
    try:
        if media_type == PROTOBUF:
            sent = decode_protobuf(data)
            count_fields(sent)
            return Body(sent)
        obj, duplicates = decode_yaml(data) if media_type == YAML else decode_json(data)
    except ApiError as error:
        if error.code != 400:
            raise
        problem = _in_words_of_go(error.message, data)
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): {problem} "
            f"({summarize(data)})"
        ) from error
    return Body(obj, tuple(duplicates))


def summarize(data: bytes) -> str:
    """Return the start of a body for an error message: text when it looks like JSON, else hex."""
    if not data:
        return "<empty>"
    shown, cut = data[:SHOWN_BYTES], " ..." if len(data) > SHOWN_BYTES else ""
    if data[:1] == b"{":
        return shown.decode("utf-8", "replace") + cut
    return shown.hex() + cut


_MALFORMED = re.compile(r"JSON is malformed: .*\(byte (\d+)\)")


def _in_words_of_go(message: str, data: bytes) -> str:
    """Return a complaint of the JSON parser as Go's encoding/json words it."""
    if "Input data was truncated" in message:
        return message.replace("Input data was truncated", "unexpected end of JSON input")
    found = _MALFORMED.search(message)
    if found is None:
        return message
    position = int(found.group(1))
    character = data[position : position + 1].decode("latin-1")
    problem = f"invalid character {character!r} looking for beginning of value"
    return message[: found.start()] + problem + message[found.end() :]


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    for types, name in (((int, float), "number"), (str, "string"), (list, "array")):
        if isinstance(value, types):
            return name
    return "object"
