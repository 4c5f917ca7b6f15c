"""Applies patches to objects: JSON patch, merge patch and strategic merge patch.

Mirrors ``apiserver/pkg/endpoints/handlers/patch.go``. The result is not checked: the caller runs it
through ``schemas.check_fields``, defaults and validation like any update. Objects and patches given
are never changed, but results may share parts with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from netlab.api.definitions import definition_of
from netlab.api.field_errors import bad_request
from netlab.api.json_patch import (
    MalformedPatchError,
    PatchFailedError,
    apply_json_patch,
    check_patch,
)
from netlab.api.kind import Kind, TypeName
from netlab.api.strategic_merge import strategic_merge
from netlab.api.view import Object
from netlab.errors import ApiError

PatchType: TypeAlias = Literal["json", "merge", "strategic"]

# the API server's own limit
MAX_OPERATIONS: Final = 10_000


def apply_patch(
    kind: Kind[Any] | TypeName, obj: Object, patch: Any, patch_type: PatchType
) -> Object:
    """Return ``obj`` with ``patch`` (parsed JSON) applied.

    kind: of the object, or what a subresource takes; only strategic patches depend on it.

    Raises: ApiError 400 for a malformed patch, 422 for a JSON patch that does not fit the object.
    """
    if patch_type == "json":
        return _json_patch(obj, patch)
    if not isinstance(patch, dict):
        shape = "array" if isinstance(patch, list) else type(patch).__name__
        message = f"json: cannot unmarshal {shape} into Go value of type map[string]interface {{}}"
        raise bad_request(message)
    if patch_type == "merge":
        return merge_patch(obj, patch)
    merged = strategic_merge(definition_of(kind), obj, patch)
    # upstream reads the result into the type it knows: what the patch says of its type is not read
    return {**merged, **{field: obj[field] for field in ("apiVersion", "kind") if field in obj}}


def merge_patch(obj: Any, patch: Mapping[str, Any]) -> Object:
    """Return ``obj`` with a merge patch applied: null removes, objects merge, the rest replaces.

    Source: RFC 7386.
    """
    merged: Object = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge_patch(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def _json_patch(obj: Object, patch: Any) -> Object:
    try:
        operations = check_patch(patch)
    except MalformedPatchError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if len(operations) > MAX_OPERATIONS:
        raise ApiError(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: The allowed maximum operations in a JSON patch is"
            f" {MAX_OPERATIONS}, got {len(operations)}",
        )
    try:
        patched = apply_json_patch(obj, operations)
    except PatchFailedError as error:
        raise _does_not_fit(str(error)) from None
    if not isinstance(patched, dict):
        raise _does_not_fit("the patch leaves no object")
    return patched


def _does_not_fit(cause: str) -> ApiError:
    return ApiError(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        {"causes": [{"reason": "UnexpectedServerResponse", "message": cause}]},
    )
