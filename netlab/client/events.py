"""Tell what happened to an object, as an Event that ``kubectl describe`` shows.

Mirrors client-go's ``EventRecorder``: what is written, counted up, combined or dropped is decided
in ``correlation``. ``record`` never waits and never fails the caller: events are written by one
task, some at a time, from a bounded queue; when that is full the newest is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import NamedTuple

from netlab.api.kinds import EVENT, Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.client.correlation import Correlator, Occurrence, Told, Verdict
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import ApiError, NetlabError, is_already_exists, is_not_found
from netlab.timestamps import rfc3339

log = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
PARALLEL = 16
"""Events written at the same time, so that they share a commit of the store."""
MAX_MESSAGE = 1024
NAME_TRIES = 4


class _Happened(NamedTuple):
    """An occurrence on its way to the API server, and the object's version at the time."""

    occurrence: Occurrence
    version: str
    now: datetime


class EventRecorder:
    """Writes Events in the name of one component. Run ``run()`` as a task.

    dropped: how many found the queue full; suppressed: how many were one too many.
    """

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._source = (component, host)
        self._queue: asyncio.Queue[_Happened] = asyncio.Queue(QUEUE_LENGTH)
        self._kept: list[_Happened] = []
        self._correlator = Correlator()
        self._last_stamp = 0
        self.dropped = 0
        self.suppressed = 0

    def record(
        self,
        kind: Kind[AnyObject],
        obj: AnyObject,
        event_type: str,
        reason: str,
        message: str,
        *,
        field_path: str = "",
    ) -> None:
        """Note that ``reason`` happened to ``obj``; event_type is Normal or Warning.

        field_path: the part of the object, such as ``spec.containers{web}``.
        """
        meta = obj.metadata
        occurrence = Occurrence(
            source=self._source,
            about=(kind.kind, meta.namespace, meta.name, meta.uid, kind.api_version),
            part=field_path,
            type=event_type,
            reason=reason,
            message=message,
        )
        try:
            self._queue.put_nowait(_Happened(occurrence, meta.resource_version, self._clock.now()))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Write queued events until cancelled."""
        while True:
            await asyncio.gather(*(self._work(happened) for happened in await self._next()))

    async def _next(self) -> list[_Happened]:
        """Wait for events to be written side by side: at most one about each object, so that none
        overtakes another.
        """
        if not self._kept:
            self._kept.append(await self._queue.get())
        while len(self._kept) < PARALLEL and not self._queue.empty():
            self._kept.append(self._queue.get_nowait())
        first: dict[tuple[str, ...], _Happened] = {}
        later: list[_Happened] = []
        for happened in self._kept:
            about = happened.occurrence.about
            if about in first:
                later.append(happened)
            else:
                first[about] = happened
        self._kept = later
        return list(first.values())

    async def _work(self, happened: _Happened) -> None:
        verdict = self._correlator.judge(happened.occurrence, happened.now)
        if verdict is None:
            self.suppressed += 1
            return
        try:
            await self._write(happened, verdict)
        except (NetlabError, OSError) as error:
            # an event of an object in a namespace that is going away is not wanted any more
            log.debug("event %s: %s", happened.occurrence.reason, error)
        except Exception:
            # one event is worth less than the lab, whose components end together
            log.exception("event %s", happened.occurrence.reason)

    async def _write(self, happened: _Happened, verdict: Verdict) -> None:
        if verdict.known is not None:
            patch = {
                "count": verdict.known.count,
                "lastTimestamp": rfc3339(happened.now),
                "message": verdict.message[:MAX_MESSAGE],
            }
            try:
                namespace = _namespace(happened.occurrence)
                await self._client.patch(EVENT, namespace, verdict.known.name, patch)
                return
            except ApiError as error:
                if not is_not_found(error):
                    raise
        await self._create(happened, verdict)

    async def _create(self, happened: _Happened, verdict: Verdict) -> None:
        count, first = 1, happened.now
        if verdict.known is not None:  # somebody deleted it: what it counted is still true
            count, first = verdict.known.count, verdict.known.first
        for tries_left in reversed(range(NAME_TRIES)):
            name = f"{happened.occurrence.about[2]}.{self._stamp(happened.now):x}"
            told = Told(name, count, first)
            event = _event(happened, verdict.message, told)
            try:
                await self._client.create(EVENT, event["metadata"]["namespace"], event)
            except ApiError as error:
                # another component has told of the same object in the same instant
                if not is_already_exists(error) or not tries_left:
                    raise
                continue
            self._correlator.wrote(verdict.key, told, happened.now)
            return

    def _stamp(self, now: datetime) -> int:
        """The time in nanoseconds, as client-go names events; never the same twice."""
        self._last_stamp = max(self._last_stamp + 1, int(now.timestamp() * 1e9))
        return self._last_stamp


def _namespace(occurrence: Occurrence) -> str:
    """Events about objects without a namespace stand in ``default``."""
    return occurrence.about[1] or "default"


def _event(happened: _Happened, message: str, told: Told) -> Object:
    occurrence = happened.occurrence
    kind, namespace, name, uid, api_version = occurrence.about
    component, host = occurrence.source
    reference: Object = {
        "kind": kind,
        "apiVersion": api_version,
        "name": name,
        "uid": uid,
        "resourceVersion": happened.version,
    }
    if namespace:
        reference["namespace"] = namespace
    if occurrence.part:
        reference["fieldPath"] = occurrence.part
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": told.name, "namespace": _namespace(occurrence)},
        "involvedObject": reference,
        "type": occurrence.type,
        "reason": occurrence.reason,
        "message": message[:MAX_MESSAGE],
        "source": {"component": component, **({"host": host} if host else {})},
        "firstTimestamp": rfc3339(told.first),
        "lastTimestamp": rfc3339(happened.now),
        "count": told.count,
        "reportingComponent": component,
        "reportingInstance": host,
    }
