"""The client that every component is given: verbs on objects, whatever the transport.

Two transports satisfy it: ``apiserver.local.LocalClient`` (in the daemon's process) and
``client.https.HttpsClient``. Objects are plain dicts; parse them with ``kind.view.parse``.
The reading half, ``Reader``, hands out objects as the bytes they came in, so that an informer
decodes each of them once, straight into its view.
All methods raise ``ApiError`` with the server's Status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from netlab.api.kind import Kind
from netlab.api.view import Object

if TYPE_CHECKING:  # a name for texts: nobody who sends a patch needs what applies it
    from netlab.api.patches import PatchType

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class ObjectList:
    """Objects in order of namespace and name, and the version at which they were all true."""

    items: Sequence[Object]
    resource_version: str


Json: TypeAlias = bytes | msgspec.Raw
"""One object as JSON text; ``msgspec.json.decode`` takes either."""


@dataclass(frozen=True, slots=True)
class JsonList:
    """What ``ObjectList`` holds, not decoded."""

    items: Sequence[Json]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """type is ADDED, MODIFIED, DELETED or BOOKMARK (its object holds only a resourceVersion)."""

    type: str
    json: Json

    @property
    def object(self) -> Object:
        """The object as a dict, decoded at each call."""
        decoded: Object = msgspec.json.decode(self.json)
        return decoded


class Reader(Protocol):
    """What an informer needs. ``namespace`` None means all namespaces."""

    async def list_json(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> JsonList: ...

    def watch(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events after ``resource_version``, until the server ends the watch.

        Raises: ApiError Expired (410) when the version is too old or the watcher too slow: list
        again. OSError when the connection breaks.
        """
        ...


class Client(Reader, Protocol):
    """Verbs of the API. ``namespace`` is None for cluster-scoped kinds; for ``list`` and
    ``watch`` None means all namespaces. Selectors are in kubectl's text form.
    """

    async def get(self, kind: Kind[Any], namespace: str | None, name: str) -> Object: ...

    async def list(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList: ...

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object: ...

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object: ...

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object: ...

    async def delete(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
    ) -> Object:
        """Delete, or mark for deletion. grace_period_s 0 on a Pod removes the object at once.
        uid: only if the object still has it (Conflict otherwise).
        """
        ...

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
    ) -> Object:
        """POST to a subresource: pods/binding, serviceaccounts/token."""
        ...
