"""A local, always current copy of the objects of one kind.

Mirrors client-go's ``SharedInformer``: list, then watch; after a lost or expired watch, list again
and tell only the differences. Handlers are plain functions called in order on the event loop; they
must not block, and usually only add a key to a work queue. Objects handed out are frozen views.

netlab leaves out resync periods: every consumer is level-triggered and retries on its own.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import ApiError, is_expired

log = logging.getLogger(__name__)

T = TypeVar("T", bound=AnyObject)

Key: TypeAlias = tuple[str, str]
"""(namespace, name); namespace is "" for cluster-scoped kinds."""

Handler: TypeAlias = Callable[[T | None, T | None], None]
"""Called with (old, new); old is None when added, new is None when deleted."""

RETRY_S = 0.2


def key_of(obj: AnyObject) -> Key:
    """Return (namespace, name)."""
    return (obj.metadata.namespace, obj.metadata.name)


class Informer(Generic[T]):
    """The objects of one kind, as views, by key.

    index: named functions from an object to index values; ``by_index(name, value)`` returns the
    matching objects. Run ``run()`` as a task; ``synced`` is set after the first list.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind[T],
        clock: Clock,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        index: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
    ) -> None:
        self._client = client
        self._kind = kind
        self._clock = clock
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._index_functions = dict(index or {})
        self._objects: dict[Key, T] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {n: {} for n in self._index_functions}
        self._handlers: list[Handler[T]] = []
        self.synced = asyncio.Event()

    @property
    def kind(self) -> Kind[T]:
        """The kind watched."""
        return self._kind

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> T | None:
        """Return the object, or None."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> builtins.list[T]:
        """Return all objects, or those of one namespace, in no particular order."""
        if namespace is None:
            return list(self._objects.values())
        return [obj for key, obj in self._objects.items() if key[0] == namespace]

    def by_index(self, index: str, value: str) -> builtins.list[T]:
        """Return the objects for which the index function gave ``value``."""
        return list(self._indexes[index].get(value, {}).values())

    def on_change(self, handler: Handler[T]) -> None:
        """Call ``handler`` for each later change, and now for each object already known."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                listed = await self._client.list(
                    self._kind,
                    self._namespace,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                )
                self._replace(listed.items)
                self.synced.set()
                version = listed.resource_version
                async for event in self._client.watch(
                    self._kind,
                    self._namespace,
                    resource_version=version,
                    label_selector=self._label_selector,
                    field_selector=self._field_selector,
                ):
                    self._apply(event.type, event.object)
            except ApiError as error:
                if not is_expired(error):
                    log.warning("watch %s: %s", self._kind.group_resource, error)
                    await self._clock.sleep(RETRY_S)
            except (OSError, TimeoutError) as error:
                log.warning("watch %s: %s", self._kind.group_resource, error)
                await self._clock.sleep(RETRY_S)

    def _replace(self, items: Iterable[Object]) -> None:
        fresh = {key_of(obj): obj for obj in (self._kind.view.parse(item) for item in items)}
        for key in [key for key in self._objects if key not in fresh]:
            self._set(key, None)
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resource_version != obj.metadata.resource_version:
                self._set(key, obj)

    def _apply(self, event_type: str, item: Object) -> None:
        if event_type == "BOOKMARK":
            return
        obj = self._kind.view.parse(item)
        self._set(key_of(obj), None if event_type == "DELETED" else obj)

    def _set(self, key: Key, new: T | None) -> None:
        old = self._objects.pop(key, None)
        if new is not None:
            self._objects[key] = new
        for name, function in self._index_functions.items():
            index = self._indexes[name]
            if old is not None:
                for value in function(old):
                    members = index.get(value, {})
                    members.pop(key, None)
                    if not members:
                        index.pop(value, None)
            if new is not None:
                for value in function(new):
                    index.setdefault(value, {})[key] = new
        if old is None and new is None:
            return
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:  # a handler's fault must not end the informer for the others
                log.exception("handler of %s %s", self._kind.group_resource, key)


async def wait_synced(informers: Iterable[Informer[Any]]) -> None:
    """Wait until all informers have listed once."""
    for informer in informers:
        await informer.synced.wait()
