"""Events end an hour after they were last told, however many there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import EVENT
from netlab.apiserver.expiry import SLICE, expire_events, last_told
from netlab.apiserver.local import LocalClient
from netlab.apiserver.requests import UserInfo
from netlab.store.records import Key

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLY, LATE = "2026-01-01T10:00:00Z", "2026-01-01T12:00:00.000000Z"
TIMES = {
    "told again": ({"lastTimestamp": LATE, "firstTimestamp": EARLY}, NOON),
    "told once": ({"eventTime": LATE}, NOON),
    "a series": ({"eventTime": EARLY, "series": {"lastObservedTime": LATE}}, NOON),
    "only made": ({"metadata": {"creationTimestamp": LATE}}, NOON),
    "null": ({"lastTimestamp": None, "eventTime": LATE}, NOON),
    "no time": ({}, None),
    "a time that is none": ({"lastTimestamp": "1-01-01T00:00:00Z"}, None),
}


@pytest.mark.parametrize(("parts", "expected"), TIMES.values(), ids=TIMES.keys())
def test_when_an_event_was_last_told(parts: dict[str, Any], expected: datetime | None) -> None:
    assert last_told(msgspec.json.encode({"metadata": {}} | parts)) == expected


def put(store: Any, name: str, told: str) -> None:
    def encode(revision: int) -> bytes:
        meta = {"name": name, "namespace": "default", "resourceVersion": str(revision), "uid": name}
        return msgspec.json.encode(
            {"apiVersion": "v1", "kind": "Event", "metadata": meta, "lastTimestamp": told}
        )

    store.write(Key("events", "default", name), 0, encode)


async def test_only_what_is_over_is_removed(lab: Any) -> None:
    client = LocalClient(lab.registry, UserInfo("admin", groups=("system:masters",)))
    for number in range(2 * SLICE + 3):
        put(lab.store, f"old-{number}", EARLY)
        put(lab.store, f"new-{number}", LATE)
    put(lab.store, "broken", "1-01-01T00:00:00Z")
    await lab.store.settled(Key("events", "default", "broken"))
    removed = await expire_events(lab.store, client, NOON + timedelta(minutes=1))
    assert removed == 2 * SLICE + 4
    names = {key.name for key, _ in lab.store.records(EVENT.group_resource, None)}
    assert names == {f"new-{number}" for number in range(2 * SLICE + 3)}
