"""Removes Events an hour after they were last told.

Kubernetes lets etcd expire them (``--event-ttl``, one hour); here a task looks once a minute.
Without it a crash-looping pod would fill the store.

There may be thousands, and they lie on disk: they are looked at a few hundred at a time, and only
their times are decoded. One whose times cannot be read is removed like one that is over.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from netlab.api.kinds import EVENT
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import NetlabError, is_not_found
from netlab.store.records import Key
from netlab.store.store import Store

log = logging.getLogger(__name__)

EVENT_LIFE = timedelta(hours=1)
INTERVAL_S = 60.0
SLICE = 256
"""Events looked at, or removed, before the event loop gets its turn: about two milliseconds."""


class _Created(msgspec.Struct, rename="camel"):
    creation_timestamp: datetime | None = None


class _Series(msgspec.Struct, rename="camel"):
    last_observed_time: datetime | None = None


class _Times(msgspec.Struct, rename="camel"):
    metadata: _Created
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: _Series | None = None


_decode_times = msgspec.json.Decoder(_Times).decode


def last_told(json: bytes) -> datetime | None:
    """Return when an Event was last told; None when it has no time that can be read."""
    try:
        times = _decode_times(json)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    series = times.series.last_observed_time if times.series else None
    return series or times.last_timestamp or times.event_time or times.metadata.creation_timestamp


async def expire_events(store: Store, client: Client, now: datetime) -> int:
    """Remove the Events whose time is over; return how many those were."""
    keys = iter([key for key, _ in store.records(EVENT.group_resource, None)])
    removed = 0
    while some := list(islice(keys, SLICE)):
        over = [key for key in some if _is_over(store, key, now)]
        removed += sum(await asyncio.gather(*(_remove(client, key) for key in over)))
        await asyncio.sleep(0)
    return removed


def _is_over(store: Store, key: Key, now: datetime) -> bool:
    record = store.get(key)
    if record is None:
        return False
    told = last_told(record.json)
    return told is None or told + EVENT_LIFE <= now


async def _remove(client: Client, key: Key) -> bool:
    try:
        await client.delete(EVENT, key.namespace, key.name)
    except NetlabError as error:
        if not is_not_found(error):
            raise
        return False
    return True


async def run_event_expiry(store: Store, client: Client, clock: Clock) -> None:
    """Expire Events once a minute until cancelled."""
    while True:
        await clock.sleep(INTERVAL_S)
        try:
            await expire_events(store, client, clock.now())
        except NetlabError as error:
            log.warning("expire events: %s", error)
