"""Answers watch requests: present objects first if asked for, then changes, with bookmarks.

Mirrors the watch handler and cacher of ``k8s.io/apiserver``. A selector sees objects come and go:
one that begins to match is ADDED, one that stops matching is DELETED, as it was when it matched
last, stamped with the version of the change.

Source: KEP-3157 (watch-list), KEP-956 (bookmarks).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from netlab.api.field_errors import forbidden_field
from netlab.api.kind import Kind
from netlab.apiserver.registry.listing import (
    Selection,
    invalid_options,
    parse_version,
    select,
    version_match_errors,
)
from netlab.apiserver.requests import WatchItem, WatchOptions
from netlab.apiserver.storage.metadata import with_version
from netlab.store.records import Event, Item
from netlab.store.store import Store
from netlab.store.watch import Watcher

BOOKMARK_INTERVAL_S = 60.0
"""Kubernetes' own: a client that loses its connection then starts at most a minute back."""

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """The events of one watch.

    Use: ``async with await registry.watch(…) as watch: async for event in watch``. Ends after
    ``timeout_s``, with a last bookmark when bookmarks were allowed.

    Raises (while iterating): ApiError Expired when the reader was too slow: list again.
    """

    def __init__(
        self,
        store: Store,
        watcher: Watcher,
        selection: Selection,
        initial: Iterable[WatchItem],
        options: WatchOptions,
        *,
        after: int,
        bookmark_interval_s: float,
        on_close: Callable[[Watch], None] = lambda watch: None,
    ) -> None:
        self._store = store
        self._on_close = on_close
        self._watcher = watcher
        self._selection = selection
        self._initial = deque(initial)
        self._bookmarks = options.allow_bookmarks
        self._interval_s = bookmark_interval_s
        now = asyncio.get_running_loop().time()
        self._end = None if options.timeout_s is None else now + options.timeout_s
        self._next_bookmark = now + bookmark_interval_s
        self._sent = after
        self._ended = False
        self._finishing = False

    @property
    def kind(self) -> Kind[Any]:
        """What is watched."""
        return self._selection.kind

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchItem:
        while not self._ended:
            if self._end is not None and asyncio.get_running_loop().time() >= self._end:
                last = self._last_bookmark()
                self.close()
                if last is not None:
                    return last
                break
            item = self._take()
            if item is not None:
                return item
            if self._finishing:
                self.close()
                break
            if not await self._wait() and (item := self._due_bookmark()) is not None:
                return item
        raise StopAsyncIteration

    def ready(self) -> list[WatchItem]:
        """Return the events that can be had without waiting, for writing many at once."""
        items = []
        while (item := self._take()) is not None:
            items.append(item)
        return items

    def finish(self) -> None:
        """End the watch once its reader has got what has happened until now."""
        self._finishing = True
        self._watcher.wake()

    def close(self) -> None:
        """End the watch; safe to call twice."""
        self._ended = True
        self._on_close(self)
        self._initial.clear()
        self._watcher.close()

    def _take(self) -> WatchItem | None:
        if self._initial:
            return self._initial.popleft()
        while not self._ended and (event := self._watcher.ready()) is not None:
            self._sent = max(self._sent, event.revision)
            item = translate(event, self._selection)
            if item is not None:
                return item
        return None

    async def _wait(self) -> bool:
        """Wait for an event; False when the time of the next bookmark or of the end came first."""
        deadline = self._end
        if self._bookmarks:
            deadline = min(self._next_bookmark, deadline or self._next_bookmark)
        try:
            async with asyncio.timeout_at(deadline):
                await self._watcher.wait()
        except TimeoutError:
            return False
        return True

    def _due_bookmark(self) -> WatchItem | None:
        now = asyncio.get_running_loop().time()
        if not self._bookmarks or now < self._next_bookmark:
            return None
        self._next_bookmark = now + self._interval_s
        return self._last_bookmark()

    def _last_bookmark(self) -> WatchItem | None:
        """Say how far the reader has come, or None when he is in the middle of something."""
        if not self._bookmarks or self._initial:
            return None
        if self._watcher.idle:
            # whatever the store has told since concerned others
            self._sent = max(self._sent, self._store.revision)
        return bookmark(self._selection.kind, self._sent)


def translate(event: Event, selection: Selection) -> WatchItem | None:
    """Return what a change means to a watch with this selection; None when nothing."""
    item = selection.shown(event.item)
    if selection.everything:
        return WatchItem(event.type, item)
    previous = None if event.previous is None else selection.shown(event.previous)
    now = event.type != "DELETED" and selection.matches(item)
    before = previous is not None and selection.matches(previous)
    if now:
        return WatchItem("MODIFIED" if before else "ADDED", item)
    if not before or previous is None:
        return None
    if event.type == "DELETED":
        return WatchItem("DELETED", item)
    last = previous.copy()
    return WatchItem("DELETED", Item(with_version(last, event.revision)))


def bookmark(kind: Kind[Any], revision: int, *, initial_events_end: bool = False) -> WatchItem:
    """Return the event that says: up to this version you have seen everything."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return WatchItem("BOOKMARK", Item(msgspec.json.encode(obj)))


def check_options(options: WatchOptions) -> None:
    """Refuse combinations that Kubernetes refuses.

    Raises: ApiError Invalid.
    """
    errors = []
    match = options.resource_version_match
    if options.send_initial_events is None:
        if match:
            errors.append(
                forbidden_field(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is"
                    " provided",
                )
            )
    elif match != "NotOlderThan":
        errors.append(
            forbidden_field(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
                if not match
                else "sendInitialEvents is forbidden for resourceVersionMatch other than"
                " NotOlderThan",
            )
        )
    elif options.resource_version:
        errors += version_match_errors(options.resource_version, match)
    if errors:
        raise invalid_options("ListOptions", errors)


async def start_watch(
    store: Store,
    kind: Kind[Any],
    namespace: str | None,
    options: WatchOptions,
    bookmark_interval_s: float,
    on_close: Callable[[Watch], None] = lambda watch: None,
) -> Watch:
    """Begin to watch; nothing that is committed after this returns is missed.

    Raises: ApiError for bad options, Expired for a version whose changes are forgotten.
    """
    check_options(options)
    selection = select(kind, options.label_selector, options.field_selector)
    after = parse_version(options.resource_version, store.revision)
    initial: list[WatchItem] = []
    since = after or store.revision
    if options.send_initial_events or (options.send_initial_events is None and not after):
        watcher = store.watch_from_now(kind.storage.group_resource, namespace)
        initial = _present(store, selection, namespace)
        if options.send_initial_events and options.allow_bookmarks:
            initial.append(bookmark(kind, store.revision, initial_events_end=True))
    elif after:
        watcher = await store.watch(kind.storage.group_resource, namespace, after)
    else:
        watcher = store.watch_from_now(kind.storage.group_resource, namespace)
    return Watch(
        store,
        watcher,
        selection,
        initial,
        options,
        after=since,
        bookmark_interval_s=bookmark_interval_s,
        on_close=on_close,
    )


def _present(store: Store, selection: Selection, namespace: str | None) -> list[WatchItem]:
    resource = selection.kind.storage.group_resource
    records = store.records(resource, namespace)
    items = (selection.shown(Item(record.json)) for _, record in records)
    if selection.everything:
        return [WatchItem("ADDED", item) for item in items]
    return [WatchItem("ADDED", item) for item in items if selection.matches(item)]
