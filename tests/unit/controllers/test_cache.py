"""Own writes show at once, and disappear when the informer has caught up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netlab.api.kinds import POD
from netlab.client.informer import Informer
from netlab.client.interface import Client
from netlab.clock import FakeClock
from netlab.controllers.cache import MAX_AGE_S, Cache
from netlab.controllers.selection import by_labels

INDEX = {"labels": by_labels}


def pod(version: int, *, uid: str = "u1", app: str = "web") -> dict[str, Any]:
    meta = {"name": "p", "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**meta, "labels": {"app": app}}}


@pytest.fixture
def cache(clock: FakeClock) -> Cache[Any]:
    client: Any = None
    typed: Client = client
    return Cache(Informer(typed, POD, clock), clock, INDEX)


def show(cache: Cache[Any], event: str, obj: dict[str, Any]) -> None:
    cache.informer._apply(event, msgspec.json.encode(obj))


def versions(cache: Cache[Any]) -> list[str]:
    assert cache.list() == cache.list("default")
    return [obj.metadata.resource_version for obj in cache.list()]


def test_a_write_shows_before_the_watch_tells(cache: Cache[Any]) -> None:
    cache.wrote(pod(5))
    assert versions(cache) == ["5"]
    assert len(cache.by_index("labels", "default/app=web")) == 1
    show(cache, "ADDED", pod(5))
    assert versions(cache) == ["5"]
    assert cache._own == {}


def test_an_older_event_does_not_hide_a_newer_write(cache: Cache[Any]) -> None:
    show(cache, "ADDED", pod(3))
    cache.wrote(pod(7, app="other"))
    show(cache, "MODIFIED", pod(5))
    assert versions(cache) == ["7"]
    assert cache.by_index("labels", "default/app=web") == []
    show(cache, "MODIFIED", pod(7, app="other"))
    assert cache._own == {}


def test_an_answer_slower_than_the_watch_is_not_remembered(cache: Cache[Any]) -> None:
    show(cache, "ADDED", pod(5))
    cache.wrote(pod(4))
    assert versions(cache) == ["5"]
    show(cache, "DELETED", pod(6))
    cache.wrote(pod(6))
    assert versions(cache) == []


def test_a_deletion_holds_until_the_watch_tells_the_end(cache: Cache[Any]) -> None:
    show(cache, "ADDED", pod(3))
    cache.deleted("default", "p", "u1")
    assert versions(cache) == []
    show(cache, "MODIFIED", pod(4))
    assert versions(cache) == []
    show(cache, "DELETED", pod(6))
    show(cache, "ADDED", pod(8, uid="u2"))
    assert versions(cache) == ["8"]


def test_a_lost_write_is_given_up(cache: Cache[Any], clock: FakeClock) -> None:
    told: list[Any] = []
    cache.on_change(lambda old, new: told.append((old, new)))
    cache.wrote(pod(5))
    clock._elapsed_s = MAX_AGE_S + 1
    cache.expire()
    assert versions(cache) == []
    ((old, new),) = told
    assert old.metadata.resource_version == "5"
    assert new is None
