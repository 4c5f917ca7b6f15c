"""The loop that all controllers share: changes -> keys -> decisions -> writes.

A ``Reconciler`` names which changes concern which keys and decides for one key at a time; its
decisions are level-triggered, so deciding again after a crash, a conflict or a lost watch is
always safe. Mirrors the worker loops of kube-controller-manager.

A conflict (the object changed since it was read) and every other refusal bring the key back after
5 ms, 10 ms, … 1000 s (``client.workers``). A decision that fails because its namespace is going
away is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from netlab.api.kinds import Kind
from netlab.api.view import Object
from netlab.client.events import EventRecorder
from netlab.client.interface import Client
from netlab.client.workers import Workers, is_namespace_terminating
from netlab.clock import Clock
from netlab.controllers.actions import (
    Action,
    Announcement,
    Burst,
    Create,
    Decision,
    Delete,
    Note,
    Outcome,
    Patch,
    Single,
    Update,
)
from netlab.controllers.cache import Cache
from netlab.errors import ApiError, is_already_exists, is_not_found

K = TypeVar("K", bound=Hashable)

MAX_PARALLEL = 64
"""Writes of one burst under way at the same time: enough to share a commit, few enough for others
to get their turn."""


class Executor:
    """Carries out actions through the client and notes the results in the caches."""

    def __init__(
        self, client: Client, recorder: EventRecorder, caches: Mapping[Kind[Any], Cache[Any]]
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._caches = caches

    async def apply(self, actions: Sequence[Action]) -> Outcome:
        """Run the actions in order until one fails."""
        written: list[Object] = []
        failures: list[tuple[Single, ApiError]] = []
        for action in actions:
            members = action.actions if isinstance(action, Burst) else (action,)
            await self._slow_start(members, written, failures)
            if failures:
                break
        return Outcome(tuple(written), tuple(failures))

    async def _slow_start(
        self,
        members: Sequence[Single],
        written: list[Object],
        failures: list[tuple[Single, ApiError]],
    ) -> None:
        position, size = 0, 1
        while position < len(members) and not failures:
            batch = members[position : position + size]
            if len(batch) == 1:
                results = [await self._attempt(batch[0])]
            else:
                results = await asyncio.gather(*(self._attempt(member) for member in batch))
            for member, result in zip(batch, results, strict=True):
                if isinstance(result, ApiError):
                    failures.append((member, result))
                elif result is not None:
                    written.append(result)
            position += size
            size = min(size * 2, MAX_PARALLEL)

    async def _attempt(self, action: Single) -> Object | ApiError | None:
        if isinstance(action, Note):
            self._recorder.record(
                action.kind, action.obj, action.type, action.reason, action.message
            )
            return None
        announce = None if isinstance(action, Update) else action.announce
        try:
            result = await self._write(action)
        except ApiError as error:
            if announce is not None:
                self._announce_failure(announce, action, error)
            return error
        if announce is not None:
            name = result["metadata"]["name"] if result is not None else _name_of(action)
            self._recorder.record(
                announce.kind,
                announce.obj,
                "Normal",
                announce.done_reason,
                announce.done.replace("{name}", name),
            )
        return result

    async def _write(self, action: Create | Patch | Update | Delete) -> Object | None:
        try:
            if isinstance(action, Delete):
                await self._delete(action)
                return None
            if isinstance(action, Create):
                namespace = action.obj["metadata"].get("namespace")
                result = await self._client.create(action.kind, namespace, action.obj)
            elif isinstance(action, Patch):
                result = await self._client.patch(
                    action.kind,
                    action.namespace,
                    action.name,
                    action.patch,
                    patch_type=action.patch_type,
                    subresource=action.subresource,
                )
            else:
                namespace = action.obj["metadata"].get("namespace")
                result = await self._client.update(
                    action.kind, namespace, action.obj, subresource=action.subresource
                )
        except ApiError as error:
            if _harmless(action, error):
                return None
            raise
        cache = self._caches.get(action.kind)
        if cache is not None and result.get("kind") == action.kind.kind:
            cache.wrote(result)
        return result

    async def _delete(self, action: Delete) -> None:
        result = await self._client.delete(
            action.kind,
            action.namespace,
            action.name,
            grace_period_s=action.grace_period_s,
            propagation=action.propagation,
            uid=action.uid,
        )
        cache = self._caches.get(action.kind)
        if cache is None:
            return
        metadata = result.get("metadata") or {}
        # the answer is the object while something (a grace period, a finalizer) still holds it
        held = result.get("kind") == action.kind.kind and metadata.get("deletionTimestamp")
        if held and (metadata.get("deletionGracePeriodSeconds") or metadata.get("finalizers")):
            cache.wrote(result)
        else:
            cache.deleted(action.namespace or "", action.name, action.uid)

    def _announce_failure(self, announce: Announcement, action: Single, error: ApiError) -> None:
        if announce.failed_reason and not is_namespace_terminating(error):
            text = announce.failed.replace("{name}", _name_of(action))
            self._recorder.record(
                announce.kind,
                announce.obj,
                "Warning",
                announce.failed_reason,
                text.replace("{error}", error.message),
            )


def _name_of(action: Single) -> str:
    if isinstance(action, Create | Update):
        return str(action.obj["metadata"].get("name", ""))
    return action.obj.metadata.name if isinstance(action, Note) else action.name


def _harmless(action: Single, error: ApiError) -> bool:
    if isinstance(action, Delete):
        return is_not_found(error)
    if isinstance(action, Create):
        return action.exists_ok and is_already_exists(error)
    return isinstance(action, Patch) and action.gone_ok and is_not_found(error)


@dataclass(frozen=True)
class Source(Generic[K]):
    """Changes of one kind that concern a reconciler: ``keys(old, new)`` names whom."""

    cache: Cache[Any]
    keys: Callable[[Any, Any], Iterable[K]]


@dataclass(frozen=True)
class Reconciler(Generic[K]):
    """One controller: where its keys come from and what to do for one of them.

    name: as Kubernetes calls the controller, and as the source of its events. of_kind: the source
    that the objects of one more kind are, for controllers that look at all kinds.
    decide may be a coroutine function where the decision needs a fresh read.
    """

    name: str
    sources: Sequence[Source[K]]
    decide: Callable[[K], Decision | Awaitable[Decision]]
    workers: int = 4
    of_kind: Callable[[Cache[Any]], Source[K]] | None = None


class Loop(Generic[K]):
    """Runs one reconciler with some workers."""

    def __init__(self, reconciler: Reconciler[K], executor: Executor, clock: Clock) -> None:
        self._reconciler = reconciler
        self._executor = executor
        self._workers: Workers[K] = Workers(
            reconciler.name, clock, self.process, count=reconciler.workers
        )
        self.queue = self._workers.queue
        for source in reconciler.sources:
            self._listen(source)

    def adopt(self, cache: Cache[Any]) -> None:
        """Take in a kind that came while the loop runs, if the controller looks at all kinds."""
        if self._reconciler.of_kind is not None:
            self._listen(self._reconciler.of_kind(cache))

    def _listen(self, source: Source[K]) -> None:
        def enqueue(old: Any, new: Any) -> None:
            for key in source.keys(old, new):
                self.queue.add(key)

        source.cache.on_change(enqueue)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._workers.run()

    async def process(self, key: K) -> float | None:
        """Decide for ``key`` and carry it out; return when to look again without being told.

        Raises: ApiError when an action was refused.
        """
        decision = self._reconciler.decide(key)
        if inspect.isawaitable(decision):
            decision = await decision
        outcome = await self._executor.apply(decision.actions)
        failures = outcome.failures
        if decision.then is not None:
            failures += (await self._executor.apply(decision.then(outcome))).failures
        if failures:
            raise failures[0][1]
        return decision.requeue_after_s
