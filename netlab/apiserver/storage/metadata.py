"""What the API server writes into an object's metadata, and what it takes from the old object.

Mirrors ``rest.BeforeCreate`` and ``rest.BeforeUpdate`` of ``k8s.io/apiserver``. Pure: time, uid
and names are arguments.

netlab leaves out ``managedFields`` (there is no server-side apply yet) and ``selfLink`` (gone from
Kubernetes since 1.20); both are dropped when a client sends them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netlab.api.field_errors import bad_request, conflict, invalid, invalid_value
from netlab.api.kind import Kind, TypeName
from netlab.api.view import Object
from netlab.errors import ApiError

# fields of metadata that no client sets: the old object's value stays, or nothing
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
)
_DROPPED = ("managedFields", "selfLink")

_encode = msgspec.json.Encoder().encode


def metadata_of(obj: Object) -> dict[str, Any]:
    """Return the object's metadata, giving it an empty one when it has none."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = obj["metadata"] = {}
    return metadata


def check_type(kind: Kind[Any] | TypeName, body: Object) -> None:
    """Complete ``apiVersion`` and ``kind``.

    Raises: ApiError BadRequest when the body says it is something else.
    """
    version = body.get("apiVersion") or kind.api_version
    if version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version"
            f" ({kind.api_version})"
        )
    name = body.get("kind") or kind.kind
    if name != kind.kind:
        raise bad_request(
            f'{name} in version "{kind.version}" cannot be handled as a {kind.kind}: converting'
            f" ({kind.version}.{name}) to ({kind.group or 'core'}.{kind.kind}): unknown conversion"
        )
    body["apiVersion"] = version
    body["kind"] = name


def place_in_namespace(kind: Kind[Any], obj: Object, namespace: str) -> None:
    """Complete ``metadata.namespace`` from the URL's.

    Raises: ApiError BadRequest when the object names another.
    """
    metadata = metadata_of(obj)
    if not kind.namespaced:
        if metadata.pop("namespace", ""):
            raise bad_request("namespace is not allowed on this type")
        return
    if (metadata.get("namespace") or namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = namespace


def check_name(obj: Object, name: str) -> None:
    """Complete ``metadata.name`` from the URL's.

    Raises: ApiError BadRequest when the object has another name.
    """
    metadata = metadata_of(obj)
    own = metadata.get("name") or name
    if own != name:
        raise bad_request(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
        )
    metadata["name"] = name


def drop_unserved(obj: Object) -> None:
    """Remove the metadata that netlab does not keep."""
    metadata = metadata_of(obj)
    for field in _DROPPED:
        metadata.pop(field, None)


def refuse_version(obj: Object) -> None:
    """Refuse a new object that names a version: nothing can be at one yet.

    Raises: ApiError BadRequest.
    """
    if metadata_of(obj).pop("resourceVersion", None) not in (None, "", "0"):
        raise bad_request("resourceVersion should not be set on objects to be created")


def stamp_new(obj: Object, *, uid: str, created: str, generation: int | None) -> None:
    """Give a new object its identity; whatever the client wrote there is forgotten."""
    metadata = metadata_of(obj)
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(field, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = created
    if generation is None:
        metadata.pop("generation", None)
    else:
        metadata["generation"] = generation


def carry_identity(new: Object, old: Object) -> None:
    """Take over from the old object what a client cannot change."""
    fresh, kept = metadata_of(new), old["metadata"]
    for field in _SERVER_OWNED:
        if field in kept:
            fresh[field] = kept[field]
        else:
            fresh.pop(field, None)


def check_preconditions(
    kind: Kind[Any], name: str, old: Object, *, uid: str = "", resource_version: str = ""
) -> None:
    """Compare what the caller expects ("" for anything) with the object.

    Raises: ApiError Conflict.
    """
    kept = old["metadata"]
    if uid and uid != kept["uid"]:
        raise conflict(
            kind,
            name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {kept['uid']}",
        )
    if resource_version and resource_version != kept["resourceVersion"]:
        raise conflict(
            kind,
            name,
            "Precondition failed: ResourceVersion in precondition:"
            f" {resource_version}, ResourceVersion in object meta: {kept['resourceVersion']}",
        )


def check_version(kind: Kind[Any], new: Object, old: Object, *, required: bool) -> None:
    """Refuse an update that was based on another version, or on another object of that name.

    required: whether an update without a version is refused as well.

    Raises: ApiError Conflict, or Invalid when a version is required.
    """
    fresh, kept = metadata_of(new), old["metadata"]
    name = kept["name"]
    check_preconditions(kind, name, old, uid=fresh.get("uid") or "")
    version = fresh.get("resourceVersion") or ""
    if not version:
        if required:
            raise _version_required(kind, name)
    elif version != kept["resourceVersion"]:
        raise conflict(kind, name)


def _version_required(kind: Kind[Any], name: str) -> ApiError:
    error = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
    return invalid(kind, name, [error])


def with_version(obj: Object, revision: int) -> bytes:
    """Return the object's JSON, stamped with its resourceVersion."""
    obj["metadata"]["resourceVersion"] = str(revision)
    return _encode(obj)


def equal_but_version(new: Object, old: Object) -> bool:
    """True when the two differ in nothing but their resourceVersion."""
    fresh, kept = metadata_of(new), old["metadata"]
    given = fresh.get("resourceVersion")
    fresh["resourceVersion"] = kept["resourceVersion"]
    same = new == old
    if given is None:
        del fresh["resourceVersion"]
    else:
        fresh["resourceVersion"] = given
    return same
