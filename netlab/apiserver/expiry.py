"""Removes Events an hour after they were last told.

Kubernetes lets etcd expire them (``--event-ttl``, one hour); here a task looks once a minute.
Without it a crash-looping pod would fill the store.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from netlab.api.core import Event
from netlab.api.kinds import EVENT
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import NetlabError, is_not_found

log = logging.getLogger(__name__)

EVENT_LIFE = timedelta(hours=1)
INTERVAL_S = 60.0


def expired_at(event: Event) -> datetime | None:
    """Return when the Event goes; None when it has no time at all."""
    seen = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return seen + EVENT_LIFE if seen else None


async def expire_events(client: Client, now: datetime) -> int:
    """Remove the Events whose time is over; return how many those were."""
    removed = 0
    for obj in (await client.list(EVENT)).items:
        if await _expire(client, obj, now):
            removed += 1
    return removed


async def _expire(client: Client, obj: dict[str, Any], now: datetime) -> bool:
    event = Event.parse(obj)
    end = expired_at(event)
    if end is None or end > now:
        return False
    try:
        await client.delete(
            EVENT, event.metadata.namespace, event.metadata.name, uid=event.metadata.uid
        )
    except NetlabError as error:
        if not is_not_found(error):
            raise
        return False
    return True


async def run_event_expiry(client: Client, clock: Clock) -> None:
    """Expire Events once a minute until cancelled."""
    while True:
        await clock.sleep(INTERVAL_S)
        try:
            await expire_events(client, clock.now())
        except NetlabError as error:
            log.warning("expire events: %s", error)
