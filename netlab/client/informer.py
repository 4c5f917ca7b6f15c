"""A local, always current copy of the objects of one kind.

Mirrors client-go's ``SharedInformer`` and its reflector: list, then watch from the list's version.
A watch that ends or breaks goes on from the last version seen (an event's or a bookmark's); only
when the server has forgotten that version (410 Expired) is everything listed again, and then only
the differences are told. While the server is away, tries become rarer (``delays``).

Each object is decoded once, from its bytes straight into its view. Handlers are plain functions
called in order on the event loop; they must not block, and usually only add a key to a work queue.
Objects handed out are frozen.

**One object that cannot be read costs that object.** It is told once for each of its versions, in
the log and to ``unreadable`` (which writes an event); whoever knows an earlier version keeps it, to
all others it is not there. Nothing else is affected.

netlab leaves out resync periods: every consumer is level-triggered and retries on its own.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject, ObjectMeta
from netlab.client.delays import Backoff
from netlab.client.interface import Json, Reader
from netlab.clock import Clock
from netlab.errors import NetlabError, is_expired

log = logging.getLogger(__name__)

T = TypeVar("T", bound=AnyObject)

Key: TypeAlias = tuple[str, str]
"""(namespace, name); namespace is "" for cluster-scoped kinds."""

Handler: TypeAlias = Callable[[T | None, T | None], None]
"""Called with (old, new); old is None when added, new is None when deleted."""

Unreadable: TypeAlias = Callable[[Kind[Any], AnyObject, str], None]
"""Told (kind, a view with only the object's identity, why it cannot be read)."""

IndexFunction: TypeAlias = Callable[[Any], Iterable[str]]

SHORT_WATCH_S = 1.0
"""A watch that ends sooner without having told anything counts as a failure."""


def key_of(obj: AnyObject) -> Key:
    """Return (namespace, name)."""
    return (obj.metadata.namespace, obj.metadata.name)


class _Identity(msgspec.Struct, rename="camel"):
    """What says which object it is, and in which version; texts only, so it can always be read."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Identified(msgspec.Struct):
    metadata: _Identity


_decode_identity = msgspec.json.Decoder(_Identified).decode


class Informer(Generic[T]):
    """The objects of one kind, as views, by key.

    index: named functions from an object to index values; ``by_index(name, value)`` returns the
    matching objects. Run ``run()`` as a task; ``synced`` is set after the first list.
    """

    def __init__(
        self,
        client: Reader,
        kind: Kind[T],
        clock: Clock,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        index: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
        unreadable: Unreadable | None = None,
        random: Random | None = None,
    ) -> None:
        self._client = client
        self._kind = kind
        self._clock = clock
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._decode: Callable[[Json], T] = msgspec.json.Decoder(kind.view).decode
        self._objects: dict[Key, T] = {}
        self._index_functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {}
        self._handlers: list[Handler[T]] = []
        self._unreadable = unreadable
        self._unread: dict[Key, str] = {}
        self._version = ""
        self._backoff = Backoff(clock, random)
        self._problem = ""
        self.synced = asyncio.Event()
        self.add_index(index or {})

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

    def add_index(self, index: Mapping[str, IndexFunction]) -> None:
        """Add index functions; one that is there already under its name must be the same."""
        for name, function in index.items():
            if self._index_functions.setdefault(name, function) is not function:
                raise ValueError(f"informer of {self._kind}: two index functions are named {name}")
            if name not in self._indexes:
                members: dict[str, dict[Key, T]] = {}
                self._indexes[name] = members
                for key, obj in self._objects.items():
                    for value in self._values(name, obj):
                        members.setdefault(value, {})[key] = obj

    def on_change(self, handler: Handler[T]) -> None:
        """Call ``handler`` for each later change, and now for each object already known."""
        self._handlers.append(handler)
        for key, obj in list(self._objects.items()):
            self._tell(handler, key, None, obj)

    def off_change(self, handler: Handler[T]) -> None:
        """Call ``handler`` no more."""
        self._handlers.remove(handler)

    # following ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except (NetlabError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                if is_expired(error):
                    self._version = ""
                    continue
                self._complain(error)
                await self._clock.sleep(self._backoff.next_s(error))

    async def _list(self) -> None:
        listed = await self._client.list_json(self._kind, self._namespace, **self._selectors)
        self._replace(listed.items)
        self._version = listed.resource_version
        self._well()
        self.synced.set()

    async def _watch(self) -> None:
        """Follow one watch to its end; the next one goes on from where it stood."""
        began_s = self._clock.monotonic_s()
        heard = False
        async for event in self._client.watch(
            self._kind, self._namespace, resource_version=self._version, **self._selectors
        ):
            heard = True
            self._well()
            self._version = self._apply(event.type, event.json) or self._version
        if not heard and self._clock.monotonic_s() - began_s < SHORT_WATCH_S:
            await self._clock.sleep(self._backoff.next_s())

    def _complain(self, error: Exception) -> None:
        """Tell what is wrong once, not at every try."""
        text = f"{type(error).__name__}: {error}"
        level = logging.DEBUG if text == self._problem else logging.WARNING
        log.log(level, "watch %s: %s", self._kind.group_resource, error)
        self._problem = text

    def _well(self) -> None:
        if self._problem:
            log.info("watch %s: goes on", self._kind.group_resource)
            self._problem = ""

    # objects ------------------------------------------------------------------------------------

    def _replace(self, items: Iterable[Json]) -> None:
        present: set[Key] = set()
        fresh: dict[Key, T] = {}
        for item in items:
            obj = self._read(item)
            if isinstance(obj, _Identity):
                present.add((obj.namespace, obj.name))
            elif obj is not None:
                fresh[key_of(obj)] = obj
        for key in [key for key in self._objects if key not in fresh and key not in present]:
            self._set(key, None)
        self._unread = {key: version for key, version in self._unread.items() if key in present}
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resource_version != obj.metadata.resource_version:
                self._set(key, obj)

    def _apply(self, event_type: str, item: Json) -> str:
        """Take in one event; return its version, "" when it has none that can be read."""
        if event_type in ("BOOKMARK", "DELETED"):
            identity = self._identify(item)
            if identity is None:
                return ""
            if event_type == "DELETED":
                key = (identity.namespace, identity.name)
                self._unread.pop(key, None)
                self._set(key, None)
            return identity.resource_version
        obj = self._read(item)
        if isinstance(obj, _Identity):
            return obj.resource_version
        if obj is None:
            return ""
        self._unread.pop(key_of(obj), None)
        self._set(key_of(obj), obj)
        return obj.metadata.resource_version

    def _read(self, item: Json) -> T | _Identity | None:
        """Return the view; only the identity when the rest, None when nothing can be read."""
        try:
            return self._decode(item)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            identity = self._identify(item)
            self._skip(identity or _Identity(), error)
            return identity

    def _identify(self, item: Json) -> _Identity | None:
        try:
            return _decode_identity(item).metadata
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _skip(self, identity: _Identity, error: Exception) -> None:
        key = (identity.namespace, identity.name)
        if self._unread.get(key) == identity.resource_version:
            return
        self._unread[key] = identity.resource_version
        log.error(
            "%s %s cannot be read, and counts as it was before: %s",
            self._kind.group_resource,
            "/".join(part for part in key if part) or "without a name",
            error,
        )
        if self._unreadable is not None and identity.name:
            meta = ObjectMeta(
                name=identity.name,
                namespace=identity.namespace,
                uid=identity.uid,
                resource_version=identity.resource_version,
            )
            self._unreadable(self._kind, AnyObject(metadata=meta), str(error))

    def _set(self, key: Key, new: T | None) -> None:
        old = self._objects.pop(key, None)
        if new is not None:
            self._objects[key] = new
        for name, index in self._indexes.items():
            if old is not None:
                for value in self._values(name, old):
                    members = index.get(value, {})
                    members.pop(key, None)
                    if not members:
                        index.pop(value, None)
            if new is not None:
                for value in self._values(name, new):
                    index.setdefault(value, {})[key] = new
        if old is None and new is None:
            return
        for handler in tuple(self._handlers):
            self._tell(handler, key, old, new)

    def _values(self, index: str, obj: T) -> Iterable[str]:
        try:
            return tuple(self._index_functions[index](obj))
        except Exception:  # an index that cannot place an object goes without it
            log.exception("index %s of %s %s", index, self._kind.group_resource, key_of(obj))
            return ()

    def _tell(self, handler: Handler[T], key: Key, old: T | None, new: T | None) -> None:
        try:
            handler(old, new)
        except Exception:  # a handler's fault must not end the informer for the others
            log.exception("handler of %s %s", self._kind.group_resource, key)


async def wait_synced(informers: Iterable[Informer[Any]]) -> None:
    """Wait until all informers have listed once."""
    for informer in informers:
        await informer.synced.wait()
