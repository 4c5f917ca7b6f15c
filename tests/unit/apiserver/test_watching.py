"""Watches: initial events, transitions at a selector's edge, bookmarks, ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, NAMESPACE, POD
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError


def told(events: Any) -> list[tuple[str, str]]:
    return [(event.type, event.item.object["metadata"].get("name", "")) for event in events]


async def labelled(lab: Any, name: str, value: str) -> None:
    body = lab.config_map(name)
    body["metadata"]["labels"] = {"color": value}
    await lab.create(CONFIG_MAP, body)


@pytest.mark.parametrize("version", ["", "0"])
async def test_present_objects_come_first(lab: Any, version: str):
    await labelled(lab, "b", "red")
    await labelled(lab, "a", "red")
    async with await lab.watch(CONFIG_MAP, resource_version=version) as watch:
        await labelled(lab, "c", "red")
        assert told(watch.ready()) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_from_a_version_on(lab: Any):
    await labelled(lab, "a", "red")
    version = str(lab.store.revision)
    await labelled(lab, "b", "red")
    await lab.delete(CONFIG_MAP, "a")
    async with await lab.watch(CONFIG_MAP, resource_version=version) as watch:
        events = watch.ready()
    assert told(events) == [("ADDED", "b"), ("DELETED", "a")]
    assert events[1].item.object["metadata"]["resourceVersion"] == str(lab.store.revision)


async def test_one_namespace(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "shop"}})
    async with await lab.watch(CONFIG_MAP, "shop") as watch:
        await labelled(lab, "a", "red")
        await lab.create(CONFIG_MAP, lab.config_map("b"), "shop")
        assert told(watch.ready()) == [("ADDED", "b")]


async def test_objects_enter_and_leave_a_selection(lab: Any):
    await labelled(lab, "a", "blue")
    async with await lab.watch(CONFIG_MAP, label_selector="color=red") as watch:
        assert watch.ready() == []
        for color in ("red", "red2", "blue", "red"):
            await lab.patch(CONFIG_MAP, "a", {"metadata": {"labels": {"color": color}}})
        await lab.patch(CONFIG_MAP, "a", {"data": {"x": "y"}})
        await lab.delete(CONFIG_MAP, "a")
        events = watch.ready()
    assert [event.type for event in events] == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]
    left = events[1].item.object["metadata"]
    assert left["labels"] == {"color": "red"}
    assert left["resourceVersion"] == "5"


async def test_pods_enter_when_they_are_bound(lab: Any):
    async with await lab.watch(POD, field_selector="spec.nodeName=node0") as watch:
        await lab.create(POD, lab.pod("p"))
        assert watch.ready() == []
        target = {"target": {"kind": "Node", "name": "node0"}}
        await lab.registry.create_subresource(
            POD, "default", "p", "binding", target, WriteOptions()
        )
        assert told(watch.ready()) == [("ADDED", "p")]


async def test_waiting(lab: Any):
    async with await lab.watch(CONFIG_MAP) as watch:
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await labelled(lab, "a", "red")
        assert (await waiting).type == "ADDED"


async def test_initial_events_end_with_a_bookmark(lab: Any):
    await labelled(lab, "a", "red")
    options = {
        "send_initial_events": True,
        "resource_version_match": "NotOlderThan",
        "allow_bookmarks": True,
    }
    async with await lab.watch(CONFIG_MAP, **options) as watch:
        added, mark = watch.ready()
    assert added.type == "ADDED"
    assert mark.type == "BOOKMARK"
    assert mark.item.object == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "resourceVersion": str(lab.store.revision),
            "creationTimestamp": None,
            "annotations": {"k8s.io/initial-events-end": "true"},
        },
    }


async def test_without_initial_events(lab: Any):
    await labelled(lab, "a", "red")
    options = {"send_initial_events": False, "resource_version_match": "NotOlderThan"}
    async with await lab.watch(CONFIG_MAP, **options) as watch:
        assert watch.ready() == []


async def test_bookmarks_follow_the_store(lab: Any):
    async with await lab.watch(CONFIG_MAP, allow_bookmarks=True) as watch:
        await lab.create(POD, lab.pod("p"))
        mark = await anext(watch)
        assert mark.type == "BOOKMARK"
        assert mark.item.object["metadata"]["resourceVersion"] == str(lab.store.revision)


async def test_the_end_comes_with_a_bookmark(lab: Any):
    watch = await lab.watch(CONFIG_MAP, allow_bookmarks=True, timeout_s=0)
    assert [event.type async for event in watch] == ["BOOKMARK"]
    watch = await lab.watch(CONFIG_MAP, timeout_s=0.001)
    assert [event async for event in watch] == []
    assert lab.store._watchers["configmaps"] == []


async def test_the_end_comes_though_events_never_cease(lab: Any):
    await labelled(lab, "a", "red")
    watch = await lab.watch(CONFIG_MAP, allow_bookmarks=True, timeout_s=0)
    assert [event.type async for event in watch] == []  # a bookmark would skip what is unread


async def test_a_last_bookmark_never_skips_what_was_not_read(lab: Any):
    version = str(lab.store.revision)
    async with await lab.watch(
        CONFIG_MAP, allow_bookmarks=True, resource_version=version, timeout_s=0
    ) as watch:
        await labelled(lab, "a", "red")
        mark = await anext(watch)
    assert mark.item.object["metadata"]["resourceVersion"] == version


async def test_a_slow_reader_is_told_to_list_again(lab: Any):
    async with await lab.watch(CONFIG_MAP) as watch:
        watch._watcher._limit = 3
        for name in "abcde":
            await labelled(lab, name, "red")
        with pytest.raises(ApiError) as raised:
            await anext(watch)
    assert raised.value.code == 410


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"resource_version": "1"}, 410, r"too old resource version: 1 \(3\)"),
        ({"resource_version": "99"}, 504, "Too large resource version"),
        ({"label_selector": "a in"}, 400, "parse"),
        ({"field_selector": "spec.x=1"}, 400, "field"),
        ({"send_initial_events": True}, 422, "sendInitialEvents"),
        ({"resource_version_match": "NotOlderThan"}, 422, "forbidden for watch unless"),
    ],
    ids=str,
)
async def test_refused(lab: Any, options: Any, code: int, message: str):
    await labelled(lab, "a", "red")
    await labelled(lab, "b", "red")
    lab.store._log.compact(3)
    with pytest.raises(ApiError, match=message) as raised:
        await lab.watch(CONFIG_MAP, **options)
    assert raised.value.code == code
    assert not lab.store._watchers.get("configmaps")
