"""Which pods learn of a changed object, and how long it is watched."""

from __future__ import annotations

import asyncio
from typing import Any

from netlab.api.kinds import CONFIG_MAP, SECRET
from netlab.kubelet.volumes.watch import MountedObjects, ObjectKey

SETTINGS: ObjectKey = (CONFIG_MAP, "default", "settings")
PASSWORD: ObjectKey = (SECRET, "default", "password")


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def put(world: Any, color: str) -> str:
    found = world.api.objects.get(("configmaps", "default", "settings"))
    if found is None:
        body = {"metadata": {"name": "settings"}, "data": {"color": color}}
        written = await world.api.create(CONFIG_MAP, "default", body)
    else:
        patch = {"data": {"color": color}}
        written = await world.api.patch(CONFIG_MAP, "default", "settings", patch)
    await settle()
    return str(written["metadata"]["resourceVersion"])


async def test_a_change_wakes_those_who_show_the_object(world: Any) -> None:
    woken: list[str] = []
    version = await put(world, "red")
    objects = MountedObjects(world.informers, woken.append)
    objects.follow("one", {SETTINGS: version})
    task = asyncio.create_task(world.informers.run())
    objects.follow("two", {SETTINGS: version, PASSWORD: ""})
    await settle()
    assert woken == []
    newer = await put(world, "blue")
    assert sorted(woken) == ["one", "two"]
    objects.follow("one", {SETTINGS: newer})
    woken.clear()
    objects.follow("three", {SETTINGS: version})  # it read just before the change
    assert woken == ["three"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_ends_with_the_last_who_shows_the_object(world: Any) -> None:
    objects = MountedObjects(world.informers, lambda uid: None)
    task = asyncio.create_task(world.informers.run())
    await settle()
    objects.follow("one", {SETTINGS: "", PASSWORD: ""})
    objects.follow("two", {SETTINGS: ""})
    await settle()
    assert objects.watched == {SETTINGS, PASSWORD}
    objects.follow("one", {SETTINGS: ""})
    assert objects.watched == {SETTINGS}
    objects.forget("one")
    assert objects.watched == {SETTINGS}
    objects.forget("two")
    objects.forget("two")
    assert objects.watched == set()
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_object_that_was_missing_is_told_when_it_comes(world: Any) -> None:
    woken: list[str] = []
    objects = MountedObjects(world.informers, woken.append)
    task = asyncio.create_task(world.informers.run())
    objects.follow("one", {SETTINGS: ""})
    await settle()
    assert woken == []
    await put(world, "red")
    assert woken == ["one"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
