"""What callers of the registry hand in and get back: options and results of each verb.

The transport-free form of the query parameters and bodies of the Kubernetes API
(``metav1.ListOptions``, ``CreateOptions``, ``DeleteOptions``, …). The HTTP layer builds options
from a request and writes an ``Item``'s ``json`` without encoding it again; ``LocalClient`` builds
them for components in the same process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netlab.api.schemas import FieldValidation
from netlab.client.interface import Propagation
from netlab.store.records import Item

__all__ = [
    "ANONYMOUS",
    "AUTHENTICATED",
    "SYSTEM_USER",
    "UNAUTHENTICATED",
    "DeleteOptions",
    "DeleteResult",
    "FieldValidation",
    "Item",
    "ListOptions",
    "ListResult",
    "Propagation",
    "UserInfo",
    "WatchItem",
    "WatchOptions",
    "WriteOptions",
    "WriteResult",
]


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks, as authentication found out."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SYSTEM_USER = UserInfo("system:apiserver", groups=("system:masters",))
"""The API server itself."""

UNAUTHENTICATED = "system:unauthenticated"
AUTHENTICATED = "system:authenticated"
ANONYMOUS = UserInfo("system:anonymous", groups=(UNAUTHENTICATED,))
"""A caller that shows nothing."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch.

    dry_run: do everything but store. duplicate_fields: paths that stood twice in the body, as
    ``bodies.decode_json`` found them; refused when Strict, warned of when Warn. advise: whether
    anybody will read warnings; False saves working them out.
    """

    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    field_manager: str = ""
    user: UserInfo = SYSTEM_USER
    duplicate_fields: tuple[str, ...] = ()
    advise: bool = True


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Options of delete. uid, resource_version: preconditions, "" for none.

    grace_period_s: None means the kind's own; 0 removes a Pod at once. propagation: None means
    Background. orphan_dependents: the old boolean for Orphan, None when not given.
    """

    grace_period_s: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    user: UserInfo = SYSTEM_USER
    orphan_dependents: bool | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of list; texts as they stand in the query, "" when absent; limit 0 means all."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """Options of watch. resource_version "" or "0": begin with the present objects as ADDED.

    send_initial_events: None when absent; True begins with the present objects and marks their
    end with a bookmark. timeout_s: None for no end.
    """

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write left behind. created: 201 rather than 200.

    warnings: texts for ``Warning: 299`` headers, in order, without duplicates.
    """

    item: Item
    warnings: tuple[str, ...] = ()
    created: bool = False


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What a deletion did. removed False: the object is only marked and goes away later.

    item: the object's last state. returns_object: Kubernetes answers with the object (always when
    it is only marked; for some kinds, such as pods and services, also when it is gone) rather than
    with a ``Success`` Status naming it.
    """

    item: Item
    removed: bool
    returns_object: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListResult:
    """Objects in order of namespace and name, as they all were at ``resource_version``.

    continue_token: for the next page, "" at the end. remaining: objects after this page, None
    when unknown (with selectors) or at the end.
    """

    items: Sequence[Item]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class WatchItem:
    """One event of a watch; type is ADDED, MODIFIED, DELETED or BOOKMARK.

    A bookmark's object holds kind, apiVersion and ``metadata.resourceVersion`` only, and the
    annotation ``k8s.io/initial-events-end`` when it ends the initial events.
    """

    type: str
    item: Item
