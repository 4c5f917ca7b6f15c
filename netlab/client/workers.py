"""Workers on a queue of keys: the loop that controllers, scheduler and provisioner share.

Mirrors ``processNextWorkItem`` of every controller of Kubernetes. Work that fails comes back after
a delay that doubles; a key whose work succeeds is forgotten, or comes back when its work asked for
it. A fault in the work of one key never stops the others.

A reason is logged when a key first fails for it, and then once in ten minutes, so that what can
never succeed does not fill the log. That an object changed or vanished meanwhile is no news at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from netlab.client.queue import MAX_DELAY_S, WorkQueue
from netlab.clock import Clock
from netlab.errors import ApiError, NetlabError, is_conflict, is_not_found

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

REMIND_S = 600.0


def is_namespace_terminating(error: BaseException) -> bool:
    """True when a create was refused because the namespace is being deleted."""
    if not isinstance(error, ApiError) or error.code != 403:
        return False
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class Workers(Generic[K]):
    """Works on the keys of a queue of its own until cancelled.

    name: whose work it is, as the log tells it. work(key): returns after how many seconds to come
    back without being asked, None for never. count: how many keys are worked on at a time.
    longest_s: the longest delay after failures.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        work: Callable[[K], Awaitable[float | None]],
        *,
        count: int = 1,
        longest_s: float = MAX_DELAY_S,
    ) -> None:
        self.queue: WorkQueue[K] = WorkQueue(clock, longest_s=longest_s)
        self._name = name
        self._clock = clock
        self._work = work
        self._count = count
        self._told: dict[K, tuple[str, float]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._worker())
        finally:
            self.queue.close()

    async def _worker(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                again_s = await self._work(key)
            except (NetlabError, OSError, TimeoutError) as error:
                self._failed(key, error)
            except Exception as error:  # the top of a loop: one fault must not stop the others
                self._failed(key, error, faulty=True)
            else:
                self._forget(key)
                if again_s is not None:
                    self.queue.add_after(key, again_s)
            finally:
                self.queue.done(key)

    def _forget(self, key: K) -> None:
        self.queue.forget(key)
        self._told.pop(key, None)

    def _failed(self, key: K, error: Exception, *, faulty: bool = False) -> None:
        if is_namespace_terminating(error):
            self._forget(key)
            return
        delay_s = self.queue.retry(key)
        level = logging.WARNING if self._is_news(key, error) else logging.DEBUG
        text = str(error) or type(error).__name__
        trace = error if faulty and level > logging.DEBUG else None
        log.log(
            level, "%s %s: %s (again in %g s)", self._name, _shown(key), text, delay_s,
            exc_info=trace,
        )  # fmt: skip

    def _is_news(self, key: K, error: Exception) -> bool:
        if is_conflict(error) or is_not_found(error):
            return False
        now_s, text = self._clock.monotonic_s(), f"{type(error).__name__} {error}"
        told, told_s = self._told.get(key, ("", 0.0))
        if told == text and now_s - told_s < REMIND_S:
            return False
        self._told[key] = (text, now_s)
        return True


def _shown(key: Hashable) -> str:
    """A key as people write it: ``namespace/name``."""
    parts = key if isinstance(key, tuple) else (key,)
    return "/".join(str(part) for part in parts if part != "")
