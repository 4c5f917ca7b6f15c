"""Who is told of changes: one bounded queue per watcher.

The analogue of etcd's watchable store and the API server's watch cache. Events are offered after
their commit, in order of revision. Offering never waits: a watcher whose queue is full is ended,
and its reader is told to list again (410 Expired), so that a stuck client costs a bounded amount
of memory and nobody else's time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from netlab.api.field_errors import expired
from netlab.errors import ApiError
from netlab.store.records import Event

QUEUE_LENGTH = 8192
"""Events that may wait for one reader; a burst of 5,000 Services must fit."""


class Watcher:
    """The changes of one kind in one namespace (None: in all), from some revision on."""

    __slots__ = ("_error", "_leave", "_limit", "_queue", "_waiter", "kind", "namespace")

    def __init__(
        self,
        kind: str,
        namespace: str | None,
        *,
        leave: Callable[[Watcher], None],
        limit: int = QUEUE_LENGTH,
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self._leave = leave
        self._limit = limit
        self._queue: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: ApiError | None = None

    @property
    def idle(self) -> bool:
        """True when everything that was offered has been read."""
        return not self._queue and self._error is None

    def offer(self, event: Event) -> None:
        """Queue an event if it concerns this watcher; end the watcher when it is too slow."""
        if self.namespace is not None and event.key.namespace != self.namespace:
            return
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self.fail(expired(f"too slow: more than {self._limit} changes wait to be read"))
            return
        self._queue.append(event)
        self.wake()

    def prepend(self, events: Sequence[Event]) -> None:
        """Put the past before what has been queued meanwhile."""
        self._queue.extendleft(reversed(events))
        self.wake()

    def fail(self, error: ApiError) -> None:
        """End the watcher: its reader gets what is queued, then ``error``."""
        self._error = error
        self._leave(self)
        self.wake()

    def ready(self) -> Event | None:
        """Return the next event if one is there.

        Raises: ApiError when the watcher has been ended.
        """
        if self._queue:
            return self._queue.popleft()
        if self._error is not None:
            raise self._error
        return None

    async def wait(self) -> None:
        """Wait until ``ready`` has something to say."""
        if self._queue or self._error is not None:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Stop being told; safe to call twice."""
        self._leave(self)
        self._queue.clear()

    def wake(self) -> None:
        """Let the reader look again, though nothing may be there for it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
