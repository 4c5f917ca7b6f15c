"""What a kind of object is: everything that is particular to it, as one value.

A ``Kind`` is the descriptor that the generic code of the API reads instead of asking which kind it
has before it: how it is named and served, what an object of it must look like, what its writes do,
how it prints, what of it counts. Mirrors what Kubernetes spreads over ``types.go``,
``defaults.go``, ``validation.go``, ``strategy.go``, ``printers.go`` and the API group's
registration. Descriptors stand in ``api.kinds``, one module for each kind or family; the set that a
server serves is an ``api.catalog.Catalog``.

Pure: functions of a descriptor look at the objects they are given and at nothing else. What needs
other objects (free addresses, a node to bind to) hooks in beside the registry, by kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from netlab.api import names
from netlab.api.meta import AnyObject
from netlab.api.printing import DEFAULT_PRINTER, Printer
from netlab.api.view import Object

if TYPE_CHECKING:
    from netlab.api.field_errors import FieldError
    from netlab.api.pod_resources import Amounts

T = TypeVar("T", bound=AnyObject, covariant=True)

Check: TypeAlias = "Callable[[Object], list[FieldError]]"
UpdateCheck: TypeAlias = "Callable[[Object, Object], list[FieldError]]"
"""(old, new) -> what is wrong with the change."""

Zeros: TypeAlias = tuple[tuple[str, str], ...]
"""(type, its fields) whose zero value (``""``, 0, false) Go does not write."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_ONLY = ("get", "list")
GET_PATCH_UPDATE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type of the API: the kind of a whole object, or of what a subresource takes."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Subresource:
    """A part of an object, or an act on it, that has a path of its own.

    verbs: create for what is POSTed, get, update and patch for what is read and written.
    type: what it takes and answers; None means the object itself.
    streamed: the object's node answers, not the store (logs, exec, proxy).
    project(obj): the answer to get, when it is of another type.
    merge(old, wanted): the object as a write through here leaves it; None: not written by PUT and
    PATCH. May raise ApiError Invalid. It gets objects that it may take parts from, but not change.
    whole: that result passes admission, strategy and validation as a change of the object does.
    validate(old, new): of a part that is not ``whole``; None: neither reviewed nor counted.
    """

    name: str
    verbs: tuple[str, ...]
    type: TypeName | None = None
    streamed: bool = False
    project: Callable[[Object], Object] | None = None
    merge: Callable[[Object, Object], Object] | None = None
    whole: bool = False
    validate: UpdateCheck | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """What a ResourceQuota counts of a kind besides ``count/NAME``.

    amounts(obj): what one object counts for, by the names a quota may bound. in_scope(obj, scope,
    operator, values): whether a quota with that scope counts the object; None: no scope does.
    missing(obj, bounded): what a new object must say and does not, "" when nothing.
    """

    amounts: Callable[[Object], Amounts]
    in_scope: Callable[[Object, str, str, tuple[str, ...]], bool] | None = None
    missing: Callable[[Object, Iterable[str]], str] | None = None


@dataclass(frozen=True, slots=True)
class StoredAs:
    """A kind whose objects are those of another kind in other words, converted both ways."""

    kind: Kind[Any]
    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]


def _nothing(obj: Object) -> None:
    """Nothing is special."""


def _no_change(new: Object, old: Object) -> None:
    """Nothing is special."""


def _fine(obj: Object) -> list[FieldError]:
    return []


def _fine_change(old: Object, new: Object) -> list[FieldError]:
    return []


def _no_advice(obj: Object) -> Iterable[str]:
    return ()


def _never(obj: Object) -> bool:
    return False


def spec_changed(new: Object, old: Object) -> bool:
    """True when the specs differ: what ``metadata.generation`` counts for most kinds."""
    return bool(new.get("spec") != old.get("spec"))


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """One kind of object and the resource it is served as; compared by identity.

    Names: singular_name: None means the kind in lower case. stored False: answered by a handler of
    its own; the store has no such objects. stored_as: the kind in whose form they are kept.

    How it looks: free_form: no schema tells its type, so metadata is checked and all else is kept
    as it was written. zeros: of the types that are this kind's own. defaults(obj) completes an
    object in place (its top level is the caller's own; a part must be copied before it is changed);
    applying it twice changes nothing. name_rule: what is wrong with a name. validate,
    validate_update(old, new): metadata aside. An update must also pass ``validate``, unless
    update_replaces_rules: what was once accepted stays acceptable.

    How it is written: prepare_create(obj) and prepare_update(new, old) change the object before
    validation. generation_changes(new, old): whether ``metadata.generation`` counts up; None for
    kinds without one. create_on_update: PUT to a name that does not exist creates.
    unconditional_update: PUT without resourceVersion is allowed. returns_deleted: DELETE answers
    with the object. grace_s(obj, asked): the seconds a deleted object may live on; None for kinds
    that go at once. held(obj): something besides finalizers keeps a deleted object. terminate(obj):
    what a deletion writes into an object that is held in such a way; None: nothing is.

    How it is shown and counted: printer: rows of ``kubectl get``. selectable: field selectors
    besides name and namespace, None for none at all. counting: for quotas.

    What is said about it: deprecation: a warning that every request earns. advice(obj): warnings
    that Kubernetes gives for an object. record: written by components, so no warning for fields
    without effect.
    """

    group: str
    version: str
    kind: str
    plural: str
    view: type[T]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    singular_name: str | None = None
    stored: bool = True
    stored_as: StoredAs | None = None

    free_form: bool = False
    zeros: Zeros = ()
    defaults: Callable[[Object], None] = _nothing
    name_rule: Callable[[str], list[str]] = names.dns1123_subdomain
    validate: Check = _fine
    validate_update: UpdateCheck = _fine_change
    update_replaces_rules: bool = False

    prepare_create: Callable[[Object], None] = _nothing
    prepare_update: Callable[[Object, Object], None] = _no_change
    generation_changes: Callable[[Object, Object], bool] | None = None
    create_on_update: bool = False
    unconditional_update: bool = True
    returns_deleted: bool = False
    grace_s: Callable[[Object, int | None], int] | None = None
    held: Callable[[Object], bool] = _never
    terminate: Callable[[Object], None] | None = None

    printer: Printer = DEFAULT_PRINTER
    selectable: Mapping[str, Callable[[Object], str]] | None = None
    counting: Counting | None = None

    deprecation: str = ""
    advice: Callable[[Object], Iterable[str]] = _no_advice
    record: bool = False

    @property
    def singular(self) -> str:
        """The name for one of them."""
        return self.kind.lower() if self.singular_name is None else self.singular_name

    @property
    def type(self) -> TypeName:
        """Group, version and kind."""
        return TypeName(self.group, self.version, self.kind)

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods`` or ``deployments.apps``, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base_path(self) -> str:
        """``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def has_status(self) -> bool:
        """True when status is written through a subresource only."""
        return self.subresource("status") is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What any request for the kind is warned of: reads, watches and writes."""
        return (self.deprecation,) if self.deprecation else ()

    @property
    def storage(self) -> Kind[Any]:
        """The kind in whose form objects are stored: mostly itself."""
        return self if self.stored_as is None else self.stored_as.kind

    def subresource(self, name: str) -> Subresource | None:
        """Return the subresource of that name, or None."""
        for found in self.subresources:
            if found.name == name:
                return found
        return None

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, object or subresource."""
        parts = [self.base_path]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)

    def __repr__(self) -> str:
        return f"Kind({self.group_resource})"
