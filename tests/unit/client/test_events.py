"""Events as they stand in the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import EVENT, NODE, POD
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.client.events import QUEUE_LENGTH, EventRecorder
from netlab.clock import FakeClock
from tests.support.control_plane import ControlPlane, eventually, quiet_control_plane


def about(name: str = "web", namespace: str = "default") -> AnyObject:
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "7"}
    return AnyObject.parse({"metadata": meta})


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with quiet_control_plane(tmp_path, FakeClock()) as found:
        yield found


@asynccontextmanager
async def recording(plane: ControlPlane, component: str = "kubelet") -> AsyncIterator[Any]:
    recorder = EventRecorder(plane.client, plane.clock, component=component, host="node0")
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def written(plane: ControlPlane, count: int) -> list[Object]:
    async def all_there() -> list[Object] | None:
        items = list((await plane.client.list(EVENT)).items)
        return items if sum(item["count"] for item in items) >= count else None

    found: list[Object] = await eventually(all_there)
    return found


async def test_an_event_names_its_object_and_its_source(plane: ControlPlane) -> None:
    async with recording(plane) as recorder:
        recorder.record(POD, about(), "Warning", "Failed", "x" * 2000, field_path="spec.c{a}")
        (event,) = await written(plane, 1)
    assert event["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "default",
        "name": "web",
        "uid": "uid-web",
        "resourceVersion": "7",
        "fieldPath": "spec.c{a}",
    }
    assert event["source"] == {"component": "kubelet", "host": "node0"}
    assert event["message"] == "x" * 1024
    assert event["metadata"]["name"].startswith("web.")


async def test_the_same_again_changes_the_event(plane: ControlPlane) -> None:
    clock = plane.clock
    assert isinstance(clock, FakeClock)
    async with recording(plane) as recorder:
        recorder.record(POD, about(), "Normal", "Pulled", "again")
        await written(plane, 1)
        await clock.advance(5)
        recorder.record(POD, about(), "Normal", "Pulled", "again")
        (event,) = await written(plane, 2)
    assert event["count"] == 2
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["lastTimestamp"] == "2026-01-01T00:00:05Z"


async def test_an_event_that_somebody_deleted_is_written_again(plane: ControlPlane) -> None:
    async with recording(plane) as recorder:
        recorder.record(POD, about(), "Normal", "Pulled", "again")
        (event,) = await written(plane, 1)
        await plane.client.delete(EVENT, "default", event["metadata"]["name"])
        recorder.record(POD, about(), "Normal", "Pulled", "again")
        (event,) = await written(plane, 2)
    assert event["count"] == 2


async def test_events_of_one_instant_do_not_take_each_others_names(plane: ControlPlane) -> None:
    async with recording(plane, "a") as first, recording(plane, "b") as second:
        for recorder in (first, second):
            recorder.record(POD, about(), "Normal", "Pulled", "again")
        events = await written(plane, 2)
    assert sorted(event["source"]["component"] for event in events) == ["a", "b"]


async def test_an_object_of_the_cluster_has_its_events_in_default(plane: ControlPlane) -> None:
    async with recording(plane) as recorder:
        recorder.record(NODE, about("node0", ""), "Normal", "Ready", "yes")
        (event,) = await written(plane, 1)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


async def test_what_cannot_be_written_does_not_end_the_recorder(plane: ControlPlane) -> None:
    async with recording(plane) as recorder:
        recorder.record(POD, about("x", "no-such-namespace"), "Normal", "Pulled", "1")
        recorder.record(POD, about(), "Normal", "Pulled", "2")
        (event,) = await written(plane, 1)
    assert event["message"] == "2"


async def test_a_flood_is_bounded(plane: ControlPlane) -> None:
    recorder = EventRecorder(plane.client, plane.clock, component="kubelet")
    for number in range(QUEUE_LENGTH + 5):
        recorder.record(POD, about(), "Normal", "Pulled", str(number))
    assert recorder.dropped == 5
    task = asyncio.create_task(recorder.run())

    async def all_judged() -> bool:
        return recorder.suppressed == QUEUE_LENGTH - 25

    await eventually(all_judged)
    await asyncio.sleep(0.02)
    events = (await plane.client.list(EVENT)).items
    assert len(events) == 10
    assert sum("(combined from similar events): " in event["message"] for event in events) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_fault_in_writing_one_costs_that_one(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    create, failed = plane.client.create, False

    async def failing(kind: Any, namespace: str | None, obj: Object) -> Object:
        nonlocal failed
        if kind is EVENT and not failed:
            failed = True
            raise AttributeError("a fault")
        return await create(kind, namespace, obj)

    monkeypatch.setattr(plane.client, "create", failing)
    async with recording(plane) as recorder:
        recorder.record(POD, about("web"), "Normal", "First", "lost")
        recorder.record(POD, about("web"), "Normal", "Second", "kept")

        async def told() -> list[str]:
            return [each["reason"] for each in (await plane.client.list(EVENT, "default")).items]

        await eventually(lambda: told())
    assert "event First" in caplog.text
