"""The one thread that writes: whatever waits when it is free goes into one commit.

The analogue of etcd's raft batching. An fsync costs the same for one row as for a hundred, so
concurrent writers share it. The event loop hands rows over in order of revision and is told, in
the same order, when they are durable.

When a commit fails, everything handed over since is refused too, because later rows may rest on
the failed one. The event loop learns of it, forgets the refused rows and starts a new ``epoch``;
rows of the new epoch are tried again, so that a full disk that gets space heals by itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from netlab.errors import StorageError
from netlab.store.log import MAX_ROWS, Log, Row

log = logging.getLogger(__name__)

COMPACT_EVERY = 1000
"""Rows between compactions: each then removes about as many, in a few milliseconds."""


class Write(NamedTuple):
    """One row on its way; ``done`` is resolved on the event loop."""

    epoch: int
    row: Row
    done: asyncio.Future[None]


class Writer:
    """Commits rows on a thread of its own.

    finished: called on the event loop for each batch, with the error that refused it or None.
    compacted: called on the event loop with each new horizon. history: how many revisions stay.
    """

    def __init__(
        self,
        storage: Log,
        *,
        finished: Callable[[Sequence[Write], StorageError | None], None],
        compacted: Callable[[int], None],
        history: int,
    ) -> None:
        self._storage = storage
        self._finished = finished
        self._compacted = compacted
        self._history = history
        self._horizon = storage.compacted
        self._since_compaction = 0
        self._refused_epoch = -1
        # unbounded by itself, bounded by its users: each waits for its write before the next
        self._queue: SimpleQueue[Write | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="netlab-store", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Queue a row; rows are committed in the order of the calls."""
        self._queue.put(write)

    async def stop(self) -> None:
        """Commit what is queued and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            batch, last = self._take()
            if batch:
                self._tell(batch, self._commit(batch))
                self._maybe_compact(batch[-1].row.revision)
            if last:
                return

    def _take(self) -> tuple[list[Write], bool]:
        """Wait for a row, then take all that are there; True when the end was reached."""
        first = self._queue.get()
        if first is None:
            return [], True
        batch = [first]
        while len(batch) < MAX_ROWS:
            try:
                write = self._queue.get_nowait()
            except Empty:
                break
            if write is None:
                return batch, True
            if write.epoch != first.epoch:
                # a batch fails or succeeds as one, so epochs must not mix: commit this one first
                self._tell(batch, self._commit(batch))
                batch = []
                first = write
            batch.append(write)
        return batch, False

    def _commit(self, batch: Sequence[Write]) -> StorageError | None:
        if batch[0].epoch <= self._refused_epoch:
            return StorageError("an earlier write failed, on which this one may rest")
        try:
            self._storage.append([write.row for write in batch])
        except StorageError as error:
            self._refused_epoch = batch[0].epoch
            return error
        self._since_compaction += len(batch)
        return None

    def _tell(self, batch: Sequence[Write], error: StorageError | None) -> None:
        self._loop.call_soon_threadsafe(self._finished, batch, error)

    def _maybe_compact(self, revision: int) -> None:
        horizon = revision - self._history
        if self._since_compaction < min(COMPACT_EVERY, self._history) or horizon <= self._horizon:
            return
        self._since_compaction = 0
        try:
            self._storage.compact(horizon)
        except StorageError as error:
            # the log stays longer than need be; writes tell their own errors
            log.warning("%s", error)
            return
        self._horizon = horizon
        self._loop.call_soon_threadsafe(self._compacted, horizon)
