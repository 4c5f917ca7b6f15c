"""The thread that waits for the disk, so that the event loop does not.

The analogue of etcd's group commit: whatever was appended while one sync ran is made durable by
the next, so concurrent writers share the wait. The same thread moves the write-ahead log into the
table now and then, and answers reads of the past.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias

from netlab.errors import StorageError
from netlab.store.log import Log

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 64
"""Syncs between looks at the length of the log: each look may have to wait for Python's lock."""


Synced: TypeAlias = Callable[[int, StorageError | None], None]
"""Called on the event loop with the number of batches that became durable since the last call, or
with the error after which nothing is certain any more."""


class SyncsBatches(Protocol):
    """What makes batches durable: ``Syncer``, or one that a test can do without a disk."""

    def start(self) -> None: ...

    def request(self) -> None: ...

    async def stop(self) -> None: ...


class Syncer:
    """Makes appended batches durable, in order, and tells ``synced``."""

    def __init__(self, path: Path, synced: Synced) -> None:
        self._storage = Log(path, second=True)
        self._synced = synced
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._since_checkpoint = 0
        self._thread = threading.Thread(target=self._run, name="netlab-store", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request(self) -> None:
        """Ask for one more batch, appended already, to be made durable."""
        self._requests.put(True)

    async def stop(self) -> None:
        """Make durable what was asked for, and end the thread."""
        self._requests.put(False)
        await asyncio.to_thread(self._thread.join)
        self._storage.close()

    def _run(self) -> None:
        running = True
        while running:
            running = self._requests.get()
            count = int(running)
            try:
                while running:
                    running = self._requests.get_nowait()
                    count += int(running)
            except Empty:
                pass
            if count:
                self._sync(count)

    def _sync(self, count: int) -> None:
        error: StorageError | None = None
        try:
            self._storage.sync()
        except StorageError as failure:
            error = failure
        self._loop.call_soon_threadsafe(self._synced, count, error)
        self._since_checkpoint += 1
        if error is None and self._since_checkpoint >= CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            self._checkpoint()

    def _checkpoint(self) -> None:
        try:
            self._storage.checkpoint()
        except StorageError as error:
            # the log stays longer than need be; it is tried again later
            log.warning("%s", error)
