"""The current state in memory, the log on disk, and who is told.

Stands where etcd and the API server's watch cache stand in Kubernetes.

**No lost update.** All methods run on the event loop. ``latest`` shows an object with the writes
that are queued but not yet durable; a caller that reads with it, decides and calls ``write``
without awaiting in between has decided on the newest state, and ``write`` checks it: the expected
revision must be that of ``latest``. Writes become durable in the order of the calls. If the disk
refuses one, all that were queued after it are refused too, so nothing that rests on it survives.

**Nobody sees what is not durable.** ``get``, ``records`` and watches show only durable writes; a
write's future resolves after ``get`` shows it. A full disk refuses writes until there is space. A
disk that fails while syncing ends all writing until a restart: what is on it is not certain then.

**Group commit.** Writes queued in one turn of the event loop go into few batches of the log, and
batches appended while the disk syncs share the next sync.

Memory: the JSON of each object as bytes, once; of kinds that are many and seldom read (``on_disk``:
events) only the revision. Those, and older versions, are read from disk when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from netlab.api.field_errors import expired, too_old_resource_version
from netlab.errors import StorageError
from netlab.store.high_water import HighWater, keep_what_was_found
from netlab.store.log import Change, Log, Row, batch_length, locked
from netlab.store.records import Event, Item, Key, Record
from netlab.store.syncer import Synced, Syncer, SyncsBatches
from netlab.store.watch import QUEUE_LENGTH, Watcher

HISTORY = 10_000
"""Revisions kept for watches and paged lists: some minutes of a busy lab, a few MB on disk."""


ON_DISK = frozenset({"events"})
"""Five for each pod's life, kept for an hour, and read only when somebody wants to see them."""

COMPACT_EVERY = 256
"""Revisions between compactions: each then takes about 2 ms."""

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Write(NamedTuple):
    """One row on its way to the disk."""

    row: Row
    done: asyncio.Future[None]

    @property
    def key(self) -> Key:
        """The object written."""
        return Key(self.row.kind, self.row.namespace, self.row.name)


class StaleError(Exception):
    """The object has another revision than the writer expected."""


class Store:
    """All objects. Made by ``open_store``.

    epoch changes when queued writes were refused: whoever derived something from ``latest`` must
    derive it anew.
    """

    def __init__(
        self,
        path: Path,
        *,
        history: int,
        queue_length: int,
        on_disk: Collection[str],
        reached: HighWater,
        syncer: Callable[[Path, Synced], SyncsBatches],
    ) -> None:
        self._log = Log(path)
        self._reached = reached
        self._on_disk = frozenset(on_disk)
        self._read_json = self._log.json_of
        self._reader = Log(path, second=True)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="netlab-store-reader")
        self._queue_length = queue_length
        # by kind, namespace and name; of what is on disk the revision only
        self._state: dict[str, dict[str, dict[str, Record | int]]] = {}
        self._changed: dict[str, int] = {}
        # queued: not in the log yet; batches: in the log, not durable yet; pending: the newest
        # of either for each object
        self._queued: list[Write] = []
        self._batches: deque[list[Write]] = deque()
        self._pending: dict[Key, Write] = {}
        self._failure: StorageError | None = None
        self._history = history
        self._watchers: dict[str, list[Watcher]] = {}
        self._horizon = self._log.compacted
        # never again a revision that was given out, should the newest writes be lost
        self._revision = max(self._log.newest_revision(), reached.revision)
        self._assigned = self._opened_at = self._revision
        for key, record in self._log.current():
            self._place(key, record.revision, record.json)
        self.epoch = 0
        self._syncer = syncer(path, self._synced)

    # reading ------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        return self._revision

    @property
    def failure(self) -> StorageError | None:
        """Why no writes are taken any more; None when all is well."""
        return self._failure

    @property
    def horizon(self) -> int:
        """The oldest revision whose state is still known."""
        return self._horizon

    def get(self, key: Key) -> Record | None:
        """Return the committed object."""
        kept = self._state.get(key.kind, {}).get(key.namespace, {}).get(key.name)
        return None if kept is None else self._record(kept)

    def latest(self, key: Key) -> Record | None:
        """Return the object as the queued writes will leave it: what a writer must decide on."""
        pending = self._pending.get(key)
        if pending is None:
            return self.get(key)
        return None if pending.row.deleted else Record(pending.row.revision, pending.row.json)

    def latest_records(self, kind: str) -> Iterator[tuple[Key, Record]]:
        """Yield all objects of a kind as the queued writes will leave them, in no order."""
        pending = {key: write for key, write in self._pending.items() if key.kind == kind}
        for key, record in self.records(kind, None):
            if key not in pending:
                yield key, record
        for key, write in pending.items():
            if not write.row.deleted:
                yield key, Record(write.row.revision, write.row.json)

    def records(self, kind: str, namespace: str | None) -> Iterator[tuple[Key, Record]]:
        """Yield the committed objects of a kind (namespace None: in all) in order of their keys."""
        namespaces = self._state.get(kind, {})
        for each in sorted(namespaces) if namespace is None else [namespace]:
            members = namespaces.get(each, {})
            for name in sorted(members):
                yield Key(kind, each, name), self._record(members[name])

    def last_change(self, kind: str) -> int:
        """Return a revision after which no object of the kind changed or went away."""
        # deletions before this process started have left no trace in memory
        return max(self._changed.get(kind, 0), self._opened_at)

    def count(self, kind: str) -> int:
        """Return how many objects of a kind there are."""
        return sum(len(members) for members in self._state.get(kind, {}).values())

    async def records_at(
        self, kind: str, namespace: str | None, revision: int
    ) -> list[tuple[Key, Record]]:
        """Return the objects of a kind as they were at a revision, in order of their keys.

        Raises: ApiError Expired when that is not known any more.
        """
        if revision >= self.last_change(kind):
            return list(self.records(kind, namespace))
        horizon, found = await self._read(self._reader.snapshot, kind, namespace, revision)
        if revision < horizon:
            raise too_old_resource_version(revision, horizon)
        return found

    async def settled(self, key: Key) -> None:
        """Wait until what ``latest`` shows of the object is durable.

        Raises: StorageError when it could not be made so.
        """
        pending = self._pending.get(key)
        if pending is not None:
            await asyncio.shield(pending.done)

    # writing ------------------------------------------------------------------------------------

    def write(
        self,
        key: Key,
        expected: int,
        encode: Callable[[int], bytes],
        *,
        uid: str = "",
        deleted: bool = False,
    ) -> tuple[Record, asyncio.Future[None]]:
        """Queue a new version of an object; the future resolves when it is durable.

        expected: the revision of ``latest``, 0 when there shall be no object yet. encode: given
        the revision the write gets, returns the JSON to keep; for a deletion, the last state.

        Raises: StaleError when ``latest`` is another version. The future raises StorageError.
        """
        latest = self.latest(key)
        if (latest.revision if latest else 0) != expected:
            raise StaleError(key)
        revision = self._assigned + 1
        json = encode(revision)
        self._assigned = revision
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        write = Write(Row(revision, *key, uid, deleted, expected or None, json), done)
        if not self._queued:
            loop.call_soon(self._append)
        self._queued.append(write)
        self._pending[key] = write
        return Record(revision, json), done

    def _append(self) -> None:
        """Put what is queued into the log."""
        while self._queued:
            batch = self._queued[: batch_length(len(self._queued))]
            try:
                if self._failure is not None:
                    raise self._failure
                self._log.append([write.row for write in batch])
            except StorageError as error:
                self._refuse_queued(error)
                return
            del self._queued[: len(batch)]
            self._batches.append(batch)
            self._syncer.request()
        self._compact()

    def _refuse_queued(self, error: StorageError) -> None:
        """Forget all queued writes: later ones may rest on the one that failed."""
        refused, self._queued = self._queued, []
        self._pending = {write.key: write for batch in self._batches for write in batch}
        self.epoch += 1
        for write in refused:
            _fail(write, error)

    def _synced(self, count: int, error: StorageError | None) -> None:
        """The oldest batches are durable, or nobody knows."""
        if error is not None or self._failure is not None:
            self._stop_writing(error)
            return
        batches = [self._batches.popleft() for _ in range(count)]
        for batch in batches:
            for write in batch:
                self._apply(write)
        self._reached.reach(self._revision)
        for batch in batches:
            for write in batch:
                if not write.done.done():
                    write.done.set_result(None)

    def _stop_writing(self, error: StorageError | None) -> None:
        if self._failure is None and error is not None:
            self._failure = error
            log.error("%s; no more writes until a restart", error)
        lost = [write for batch in self._batches for write in batch]
        self._batches.clear()
        if self._failure is not None:
            for write in lost:
                _fail(write, self._failure)
            self._refuse_queued(self._failure)

    def _compact(self) -> None:
        horizon = self._revision - self._history
        if horizon - self._horizon < min(COMPACT_EVERY, self._history):
            return
        try:
            self._log.compact(horizon)
        except StorageError as error:
            # the log stays longer than need be; writes tell their own errors
            log.warning("%s", error)
            return
        self._horizon = horizon

    def _apply(self, write: Write) -> None:
        row = write.row
        key = write.key
        before = self.get(key)
        if row.deleted:
            self._remove(key)
        else:
            self._place(key, row.revision, row.json)
        self._revision = row.revision
        self._changed[key.kind] = row.revision
        if self._pending.get(key) is write:
            del self._pending[key]
        watchers = self._watchers.get(key.kind)
        if watchers:
            event = Event(
                "DELETED" if row.deleted else "MODIFIED" if before else "ADDED",
                key,
                row.revision,
                Item(row.json),
                Item(before.json) if before else None,
            )
            for watcher in tuple(watchers):
                watcher.offer(event)

    def _place(self, key: Key, revision: int, json: bytes) -> None:
        kept = revision if key.kind in self._on_disk else Record(revision, json)
        self._state.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = kept

    def _record(self, kept: Record | int) -> Record:
        return Record(kept, self._read_json) if isinstance(kept, int) else kept

    def _remove(self, key: Key) -> None:
        members = self._state[key.kind][key.namespace]
        del members[key.name]
        if not members:
            del self._state[key.kind][key.namespace]

    # watching -----------------------------------------------------------------------------------

    async def watch(self, kind: str, namespace: str | None, after: int) -> Watcher:
        """Return the changes of a kind after a revision, past ones first; close it at the end.

        Raises: ApiError Expired when the past is not known any more.
        """
        upto = self._revision
        watcher = self.watch_from_now(kind, namespace)
        if after >= self.last_change(kind):
            return watcher
        try:
            if after < self._horizon:
                raise too_old_resource_version(after, self._horizon)
            horizon, past = await self._read(self._reader.history, kind, namespace, after, upto)
            if after < horizon:
                raise too_old_resource_version(after, horizon)
        except BaseException:
            watcher.close()
            raise
        watcher.prepend([_event_of(change) for change in past])
        return watcher

    def watch_from_now(self, kind: str, namespace: str | None) -> Watcher:
        """Return the changes of a kind after the newest committed revision; close it at the end."""
        watcher = Watcher(kind, namespace, leave=self._leave, limit=self._queue_length)
        self._watchers.setdefault(kind, []).append(watcher)
        return watcher

    def _leave(self, watcher: Watcher) -> None:
        watchers = self._watchers.get(watcher.kind, [])
        if watcher in watchers:
            watchers.remove(watcher)

    # life ---------------------------------------------------------------------------------------

    async def _read(
        self, function: Callable[..., tuple[int, list[_T]]], *args: object
    ) -> tuple[int, list[_T]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def start(self) -> None:
        """Start to take writes."""
        self._syncer.start()

    async def stop(self) -> None:
        """Make queued writes durable, end all watchers and close the file."""
        self._append()
        await self._syncer.stop()
        await asyncio.sleep(0)  # lets the last batch's callback run
        for watchers in list(self._watchers.values()):
            for watcher in list(watchers):
                watcher.fail(expired("the store is closed"))
        await asyncio.to_thread(self._threads.shutdown)
        self._reader.close()
        self._log.close()


def _fail(write: Write, error: StorageError) -> None:
    if not write.done.done():
        write.done.set_exception(error)
        write.done.exception()  # a caller that was cancelled has nobody to read it


def _event_of(change: Change) -> Event:
    before = None if change.before is None else Item(change.before)
    kind = "DELETED" if change.deleted else "MODIFIED" if before else "ADDED"
    return Event(kind, change.key, change.revision, Item(change.json), before)


@asynccontextmanager
async def open_store(
    path: Path,
    *,
    history: int = HISTORY,
    queue_length: int = QUEUE_LENGTH,
    on_disk: Collection[str] = ON_DISK,
    warn: Callable[[str], None] = log.warning,
    syncer: Callable[[Path, Synced], SyncsBatches] = Syncer,
) -> AsyncIterator[Store]:
    """Open the store at ``path``, making it if need be, and close it at the end.

    history: revisions kept. queue_length: events that may wait for one watcher. on_disk: kinds of
    which nothing but the revision is kept in memory. warn: told in one line what the store has lost
    since it was closed, if it did. syncer: makes what was appended durable.

    Raises: StorageError when the file is damaged, of another format, or in use.
    """
    with locked(path):
        if loss := keep_what_was_found(path):
            warn(loss)
        with closing(HighWater(path)) as reached:
            store = Store(
                path,
                history=history,
                queue_length=queue_length,
                on_disk=on_disk,
                reached=reached,
                syncer=syncer,
            )
            store.start()
            try:
                yield store
            finally:
                await store.stop()
