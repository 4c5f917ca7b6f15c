"""What a controller may do, as data: writes through the API, and events.

A controller's pure file returns a ``Decision``; ``loop`` carries it out. Nothing here does I/O.

Rules: actions of one decision run in order and stop at the first that fails; the members of a
``Burst`` run side by side. ``Decision.then`` is asked afterwards, also when an action failed, so
that a status can tell the failure. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, OwnerReference
from netlab.api.patches import PatchType
from netlab.api.view import Object
from netlab.client.interface import Propagation
from netlab.errors import ApiError


@dataclass(frozen=True, slots=True)
class Note:
    """Write an event about ``obj``; the type is Normal or Warning."""

    kind: Kind[Any]
    obj: AnyObject
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Announcement:
    """The events that tell how an action went.

    In ``done`` the text ``{name}`` stands for the name of the object written; in ``failed`` also
    ``{error}``. An empty reason means no event.
    """

    kind: Kind[Any]
    obj: AnyObject
    done_reason: str
    done: str
    failed_reason: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. exists_ok: somebody else having been quicker is success."""

    kind: Kind[Any]
    obj: Mapping[str, Any]
    announce: Announcement | None = None
    exists_ok: bool = False


@dataclass(frozen=True, slots=True)
class Patch:
    """Change fields of an object. A patch that holds a resourceVersion fails on a newer object.

    gone_ok: the object having vanished is success.
    """

    kind: Kind[Any]
    namespace: str | None
    name: str
    patch: Any
    subresource: str = ""
    patch_type: PatchType = "merge"
    announce: Announcement | None = None
    gone_ok: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object, or write one of its subresources."""

    kind: Kind[Any]
    obj: Mapping[str, Any]
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object, if it still has that uid; its being gone already is success."""

    kind: Kind[Any]
    namespace: str | None
    name: str
    uid: str
    propagation: Propagation | None = "Background"
    grace_period_s: int | None = None
    announce: Announcement | None = None


Single: TypeAlias = Note | Create | Patch | Update | Delete


@dataclass(frozen=True, slots=True)
class Burst:
    """Actions to run side by side: first 1, then 2, 4, 8, … while all succeed.

    A create that the server refuses (a quota, a faulty template) is then tried once, not a
    hundred times.
    """

    actions: Sequence[Single]


Action: TypeAlias = Single | Burst


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the actions of a decision went. written: the objects as the server returned them."""

    written: tuple[Object, ...] = ()
    failures: tuple[tuple[Single, ApiError], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do for one key now, and when to look at it again without being told."""

    actions: tuple[Action, ...] = ()
    then: Callable[[Outcome], tuple[Action, ...]] | None = None
    requeue_after_s: float | None = None


NOTHING = Decision()


def controller_of(obj: AnyObject) -> OwnerReference | None:
    """Return the owner that controls the object, if it has one."""
    return next((owner for owner in obj.metadata.owner_references if owner.controller), None)


def owner_reference(kind: Kind[Any], obj: AnyObject) -> Object:
    """Return the ownerReferences entry by which ``obj`` controls what it makes."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": obj.metadata.name,
        "uid": obj.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def adoption(kind: Kind[Any], obj: AnyObject, owner_kind: Kind[Any], owner: AnyObject) -> Patch:
    """Return the patch that makes ``owner`` the controller of the orphan ``obj``."""
    return Patch(
        kind,
        obj.metadata.namespace,
        obj.metadata.name,
        {
            # the precondition: an orphan of the same name made since is another object
            "metadata": {
                "uid": obj.metadata.uid,
                "ownerReferences": [
                    *(owner_json(reference) for reference in obj.metadata.owner_references),
                    owner_reference(owner_kind, owner),
                ],
                "resourceVersion": obj.metadata.resource_version,
            }
        },
    )


def without_owners(kind: Kind[Any], obj: AnyObject, uids: frozenset[str]) -> Patch:
    """Return the patch that removes the owners with these uids from ``obj``."""
    kept = [owner_json(owner) for owner in obj.metadata.owner_references if owner.uid not in uids]
    return Patch(
        kind,
        obj.metadata.namespace or None,
        obj.metadata.name,
        {
            "metadata": {
                "uid": obj.metadata.uid,
                "ownerReferences": kept or None,
                "resourceVersion": obj.metadata.resource_version,
            }
        },
        gone_ok=True,
    )


def owner_json(owner: OwnerReference) -> Object:
    """Return an ownerReferences entry as it is stored."""
    entry: Object = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    if owner.controller:
        entry["controller"] = True
    if owner.block_owner_deletion:
        entry["blockOwnerDeletion"] = True
    return entry
