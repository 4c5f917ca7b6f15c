"""What controllers read: the informers' objects, with the controllers' own writes already in them.

An informer lags behind the writes that feed it. A ReplicaSet controller that has just created
three pods and does not see them yet would create three more. client-go keeps *expectations* (how
many creations are still to be seen) for that; netlab remembers the written objects themselves,
and shows them until the informer has caught up, so every controller reads its own writes.

Rules for callers: tell ``wrote`` and ``deleted`` right after the call to the API server, before
the next await; treat what is handed out as frozen.

Object versions are whole numbers that only grow (the store's row ids), so a written object is
obsolete as soon as the informer shows the same name at that version or a later one.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.client.informer import Handler, Informer, Key, key_of
from netlab.clock import Clock
from netlab.errors import UnreadableError

T = TypeVar("T", bound=AnyObject)

MAX_AGE_S = 30.0
"""An object made and removed again while the watch was broken is never shown by the informer;
after this time it is given up."""

REMEMBERED_ENDS = 1024
"""Uids of vanished objects kept: more than there can be writes under way."""

Indexers = Mapping[str, Callable[[Any], Iterable[str]]]


def version_of(obj: AnyObject) -> int:
    """Return the resourceVersion as a number; 0 when there is none."""
    return int(obj.metadata.resource_version or 0)


class Cache(Generic[T]):
    """The objects of one kind, never older than what this process wrote."""

    def __init__(
        self, informer: Informer[T], clock: Clock, indexers: Indexers | None = None
    ) -> None:
        self._clock = clock
        self._indexers = dict(indexers or {})
        self._handlers: list[Handler[T]] = []
        # the object as written, or None when deleted; with its version, uid and time
        self._own: dict[Key, tuple[T | None, int, str, float]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self.informer = informer
        informer.add_index(self._indexers)
        # first in line, so that the handlers behind it already read the new state
        self.informer.on_change(self._catch_up)

    @property
    def kind(self) -> Kind[T]:
        """The kind of the objects."""
        return self.informer.kind

    def on_change(self, handler: Handler[T]) -> None:
        """Call ``handler(old, new)`` for each change the informer sees."""
        self._handlers.append(handler)
        self.informer.on_change(handler)

    def wrote(self, obj: Object) -> None:
        """Remember an object as the API server returned it from a write."""
        try:
            view = self.kind.view.parse(obj)
        except UnreadableError:
            return  # what cannot be read costs only itself; the informer tells of it
        key = key_of(view)
        # the watch may be quicker than the answer, and have shown even the object's end
        if self._seen_version(key) >= version_of(view) or view.metadata.uid in self._gone:
            return
        self._own[key] = (
            view, version_of(view), view.metadata.uid, self._clock.monotonic_s()
        )  # fmt: skip

    def deleted(self, namespace: str, name: str, uid: str) -> None:
        """Remember that the object with this uid is gone."""
        known = self.informer.get(namespace, name)
        if known is not None and known.metadata.uid == uid:
            entry = (None, version_of(known) + 1, uid, self._clock.monotonic_s())
            self._own[(namespace, name)] = entry
        else:
            self._own.pop((namespace, name), None)

    def get(self, namespace: str, name: str) -> T | None:
        """Return the object, or None."""
        own = self._own.get((namespace, name))
        return own[0] if own is not None else self.informer.get(namespace, name)

    def list(self, namespace: str | None = None) -> builtins.list[T]:
        """Return all objects, or those of one namespace, in no particular order."""
        return self._with_own(
            self.informer.list(namespace), lambda obj: namespace in (None, obj.metadata.namespace)
        )

    def by_index(self, index: str, value: str) -> builtins.list[T]:
        """Return the objects for which the index function gave ``value``."""
        function = self._indexers[index]
        return self._with_own(
            self.informer.by_index(index, value), lambda obj: value in function(obj)
        )

    def expire(self) -> None:
        """Give up own writes the informer has not shown in time, and tell the handlers."""
        oldest = self._clock.monotonic_s() - MAX_AGE_S
        for key, (view, _, _, when) in list(self._own.items()):
            if when < oldest:
                del self._own[key]
                current = self.informer.get(*key)
                for handler in self._handlers:
                    handler(view or current, current)

    def _with_own(self, seen: builtins.list[T], belongs: Callable[[T], bool]) -> builtins.list[T]:
        if not self._own:
            return seen
        result = [obj for obj in seen if key_of(obj) not in self._own]
        own = (entry[0] for entry in self._own.values())
        return result + [obj for obj in own if obj is not None and belongs(obj)]

    def _seen_version(self, key: Key) -> int:
        seen = self.informer.get(*key)
        return 0 if seen is None else version_of(seen)

    def _catch_up(self, old: T | None, new: T | None) -> None:
        shown = new if new is not None else old
        if shown is None:
            return
        if new is None:
            self._gone[shown.metadata.uid] = None
            if len(self._gone) > REMEMBERED_ENDS:
                self._gone.popitem(last=False)
        own = self._own.get(key_of(shown))
        if own is None:
            return
        same = shown.metadata.uid == own[2]
        if new is None or own[0] is None:
            # a late change of an object we removed does not bring it back; its end, or a new
            # object of the same name, settles the matter
            caught_up = same if new is None else not same
        else:
            caught_up = version_of(new) >= own[1]
        if caught_up:
            del self._own[key_of(shown)]
