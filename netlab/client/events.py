"""Tell what happened to an object, as an Event that ``kubectl describe`` shows.

Mirrors client-go's ``EventRecorder`` with its correlator: the same (object, type, reason, message)
again raises ``count`` and ``lastTimestamp`` of the Event already written. ``record`` never waits
and never fails the caller: events are written by one task, from a bounded queue; when that is full
the newest event is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import datetime
from typing import TypeAlias

from netlab.api.kinds import EVENT, Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import ApiError, NetlabError, is_not_found
from netlab.timestamps import rfc3339

log = logging.getLogger(__name__)

QUEUE_LENGTH = 1000
REMEMBERED = 4096

_Identity: TypeAlias = tuple[str, str, str, str, str]


class EventRecorder:
    """Writes Events in the name of one component. Run ``run()`` as a task."""

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[tuple[_Identity, Object]] = asyncio.Queue(QUEUE_LENGTH)
        self._written: OrderedDict[_Identity, tuple[str, str, int]] = OrderedDict()
        self._last_stamp = 0
        self.dropped = 0

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
        now = self._clock.now()
        event = self._event(kind, obj, event_type, reason, message, field_path, now)
        identity = (meta.uid, field_path, event_type, reason, message)
        try:
            self._queue.put_nowait((identity, event))
        except asyncio.QueueFull:
            self.dropped += 1

    def _event(
        self,
        kind: Kind[AnyObject],
        obj: AnyObject,
        event_type: str,
        reason: str,
        message: str,
        field_path: str,
        now: datetime,
    ) -> Object:
        meta = obj.metadata
        reference: Object = {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        if meta.namespace:
            reference["namespace"] = meta.namespace
        if field_path:
            reference["fieldPath"] = field_path
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{meta.name}.{self._stamp(now):x}",
                "namespace": meta.namespace or "default",
            },
            "involvedObject": reference,
            "type": event_type,
            "reason": reason,
            "message": message[:1024],
            "source": source,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _stamp(self, now: datetime) -> int:
        """The time in nanoseconds, as client-go names events; never the same twice."""
        self._last_stamp = max(self._last_stamp + 1, int(now.timestamp() * 1e9))
        return self._last_stamp

    async def run(self) -> None:
        """Write queued events until cancelled."""
        while True:
            identity, event = await self._queue.get()
            try:
                await self._write(identity, event)
            except (NetlabError, OSError) as error:
                # an event of an object in a namespace that is going away is not wanted any more
                log.debug("event %s: %s", event["reason"], error)

    async def _write(self, identity: _Identity, event: Object) -> None:
        namespace = event["metadata"]["namespace"]
        known = self._written.get(identity)
        if known is not None:
            name, _, count = known
            patch = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENT, namespace, name, patch)
                self._remember(identity, (name, namespace, count + 1))
                return
            except ApiError as error:
                if not is_not_found(error):
                    raise
        await self._client.create(EVENT, namespace, event)
        self._remember(identity, (event["metadata"]["name"], namespace, 1))

    def _remember(self, identity: _Identity, written: tuple[str, str, int]) -> None:
        self._written[identity] = written
        self._written.move_to_end(identity)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
