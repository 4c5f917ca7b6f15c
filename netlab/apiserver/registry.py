"""The verbs of the API on all kinds, with the semantics of Kubernetes and without a transport.

SIGNATURES FIRST: bodies follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, TypeAlias

from netlab.api.kinds import Kind
from netlab.api.view import Object
from netlab.apiserver.requests import (
    DeleteOptions,
    DeleteResult,
    Item,
    ListOptions,
    ListResult,
    PatchType,
    WatchItem,
    WatchOptions,
    WriteOptions,
    WriteResult,
)
from netlab.clock import Clock
from netlab.config import LabConfig

SubresourceCreator: TypeAlias = Callable[[Item, Object, WriteOptions], Awaitable[Object]]
"""Answers a POST to a subresource of an existing object: (the object, body, options) -> answer."""


class Watch:
    """The events of one watch: ``async with await registry.watch(…) as watch: async for event in watch``.

    Ends (StopAsyncIteration) after ``timeout_s``, with a last bookmark when those were allowed.
    Raises: ApiError Expired when the reader was too slow: list again.
    """

    async def __aenter__(self) -> Watch: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def __aiter__(self) -> Watch: ...

    async def __anext__(self) -> WatchItem: ...

    def ready(self) -> list[WatchItem]:
        """Events that can be had without waiting, for writing many at once; maybe none."""
        ...

    def close(self) -> None:
        """End the watch; safe to call twice."""
        ...


class Registry:
    """All verbs on all kinds. ``namespace`` is None (or "") for cluster-scoped kinds and, for list
    and watch, means all namespaces. All methods raise ApiError with the Status to answer, and
    StorageError when the disk refuses (answer 500).

    A ``body`` or ``patch`` is handed over: the registry may change it, the caller must not use
    it again. creators: POST subresources answered by others, by (kind, subresource), such as
    (SERVICE_ACCOUNT, "token").
    """

    def __init__(
        self,
        store: Any,
        config: LabConfig,
        clock: Clock,
        *,
        random: Random | None = None,
        creators: Mapping[tuple[Kind[Any], str], SubresourceCreator] | None = None,
    ) -> None: ...

    def deprecation_warnings(self, kind: Kind[Any]) -> tuple[str, ...]:
        """The warnings that any request for this kind earns, reads, watches and writes alike.

        Write results do not repeat them.
        """
        ...

    async def get(
        self, kind: Kind[Any], namespace: str | None, name: str, *, subresource: str = ""
    ) -> Item:
        """Return the object; subresource "scale" gives its autoscaling/v1 Scale, "status" itself."""
        ...

    async def list(
        self, kind: Kind[Any], namespace: str | None, options: ListOptions
    ) -> ListResult:
        """Return the objects that match."""
        ...

    async def watch(
        self, kind: Kind[Any], namespace: str | None, options: WatchOptions
    ) -> Watch:
        """Begin to watch; nothing that happens after this returns is missed.

        Raises: ApiError BadRequest for selectors, Expired (410) for a version too old.
        """
        ...

    async def create(
        self, kind: Kind[Any], namespace: str | None, body: Object, options: WriteOptions
    ) -> WriteResult:
        """Store a new object."""
        ...

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        body: Object,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> WriteResult:
        """Replace the object, or one part: subresource "status", "scale" or "finalize"."""
        ...

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        patch_type: PatchType,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> WriteResult:
        """Change the object (subresource "": all but status) by a patch, already parsed."""
        ...

    async def delete(
        self, kind: Kind[Any], namespace: str | None, name: str, options: DeleteOptions
    ) -> DeleteResult:
        """Remove the object, or mark it for removal."""
        ...

    async def delete_collection(
        self,
        kind: Kind[Any],
        namespace: str | None,
        list_options: ListOptions,
        options: DeleteOptions,
    ) -> ListResult:
        """Delete all that match; the result holds their last states."""
        ...

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Object,
        options: WriteOptions,
    ) -> WriteResult:
        """POST: pods/binding, pods/eviction (both answer a Success Status), and the creators'."""
        ...
