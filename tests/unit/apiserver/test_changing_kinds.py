"""Kinds that come and go while the server runs: objects, watches, quotas."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from netlab.api.catalog import Catalog
from netlab.api.kind import Kind
from netlab.api.kinds import RESOURCE_QUOTA, builtin_catalog
from netlab.api.meta import AnyObject
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo, WatchOptions
from netlab.errors import ApiError, is_not_found

# a kind of Kubernetes that netlab does not serve: its type is known, everything else is told here
CRON_JOB: Kind[AnyObject] = Kind("batch", "v1", "CronJob", "cronjobs", AnyObject)


@dataclass
class Changing:
    lab: Any
    catalog: Catalog

    def cron_job(self, name: str) -> Any:
        return {"metadata": {"name": name}, "spec": {"schedule": "* * * * *", "jobTemplate": {}}}


@pytest.fixture
async def changing(lab: Any) -> Changing:
    catalog = builtin_catalog()
    lab.registry = Registry(
        lab.store, lab.config, lab.clock, catalog=catalog, bookmark_interval_s=0.01
    )
    return Changing(lab, catalog)


async def test_objects_are_there_again_when_their_kind_is(changing: Changing):
    lab, catalog = changing.lab, changing.catalog
    with pytest.raises(ApiError) as refused:
        await lab.create(CRON_JOB, changing.cron_job("a"))
    assert is_not_found(refused.value)
    assert refused.value.message == "the server could not find the requested resource"
    catalog.register(CRON_JOB)
    await lab.create(CRON_JOB, changing.cron_job("a"))
    assert await lab.names(CRON_JOB) == ["a"]
    catalog.unregister(CRON_JOB)
    for call in (
        lab.get(CRON_JOB, "a"),
        lab.names(CRON_JOB),
        lab.watch(CRON_JOB),
        lab.patch(CRON_JOB, "a", {}),
        lab.delete(CRON_JOB, "a"),
    ):
        with pytest.raises(ApiError) as refused:
            await call
        assert refused.value.code == 404
    catalog.register(CRON_JOB)
    assert await lab.names(CRON_JOB) == ["a"]


async def test_a_watch_ends_with_its_kind_after_what_has_happened(changing: Changing):
    lab, catalog = changing.lab, changing.catalog
    catalog.register(CRON_JOB)
    async with await lab.registry.watch(CRON_JOB, None, WatchOptions()) as watch:
        reading = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await lab.create(CRON_JOB, changing.cron_job("a"))
        assert (await reading).item.object["metadata"]["name"] == "a"
        await lab.create(CRON_JOB, changing.cron_job("b"))
        catalog.unregister(CRON_JOB)
        assert [event.item.object["metadata"]["name"] async for event in watch] == ["b"]
    catalog.register(CRON_JOB)
    waiting = await lab.registry.watch(CRON_JOB, None, WatchOptions(resource_version="0"))
    assert [(await anext(waiting)).type for _ in range(2)] == ["ADDED", "ADDED"]
    reading = asyncio.create_task(anext(waiting, None))
    await asyncio.sleep(0)
    catalog.unregister(CRON_JOB)
    assert await asyncio.wait_for(reading, 5) is None


async def test_watches_of_other_kinds_go_on(changing: Changing):
    lab, catalog = changing.lab, changing.catalog
    catalog.register(CRON_JOB)
    async with await lab.registry.watch(RESOURCE_QUOTA, None, WatchOptions()) as watch:
        catalog.unregister(CRON_JOB)
        await lab.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": {}}})
        assert (await anext(watch)).type == "ADDED"


async def test_a_component_hears_that_its_kind_went(changing: Changing):
    client = LocalClient(changing.lab.registry, UserInfo("tester"))
    changing.catalog.register(CRON_JOB)
    events = client.watch(CRON_JOB, None, resource_version=str(changing.lab.store.revision))
    reading = asyncio.create_task(anext(events, None))
    await asyncio.sleep(0.01)
    changing.catalog.unregister(CRON_JOB)
    assert await asyncio.wait_for(reading, 5) is None
    with pytest.raises(ApiError) as refused:
        await client.list(CRON_JOB)
    assert refused.value.code == 404


async def test_a_kind_without_a_schema_keeps_what_is_written(changing: Changing):
    lab, catalog = changing.lab, changing.catalog
    thing: Kind[AnyObject] = Kind(
        "example.com", "v1", "Thing", "things", AnyObject, free_form=True, record=True
    )
    catalog.register(thing)
    body = {"metadata": {"name": "a", "labels": {}}, "spec": {"odd": [1, {"b": None}]}}
    made = await lab.create(thing, body, field_validation="Strict")
    assert made["spec"] == {"odd": [1, {"b": None}]}
    assert "labels" not in made["metadata"]
    assert (await lab.patch(thing, "a", {"spec": {"more": 1}}))["spec"]["more"] == 1
    with pytest.raises(ApiError) as refused:
        await lab.patch(thing, "a", {"spec": {}}, patch_type="strategic")
    assert refused.value.code == 415
    wrong = {"metadata": {"name": "b", "lables": {}}, "spec": {}}
    with pytest.raises(ApiError, match=r'unknown field "metadata\.lables"'):
        await lab.create(thing, wrong, field_validation="Strict")
    with pytest.raises(ApiError, match="cannot unmarshal number"):
        await lab.create(thing, {"metadata": {"name": 1}})
    assert await lab.names(thing) == ["a"]


async def test_a_quota_counts_the_kinds_of_now(changing: Changing):
    lab, catalog = changing.lab, changing.catalog
    hard = {"count/cronjobs.batch": "2"}
    await lab.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    catalog.register(CRON_JOB)
    for name in ("a", "b"):
        await lab.create(CRON_JOB, changing.cron_job(name))
    quota = await lab.get(RESOURCE_QUOTA, "q")
    assert quota["status"]["used"] == {"count/cronjobs.batch": "2"}
    with pytest.raises(ApiError, match="exceeded quota: q"):
        await lab.create(CRON_JOB, changing.cron_job("c"))
    catalog.unregister(CRON_JOB)
    await lab.patch(RESOURCE_QUOTA, "q", {"spec": {"hard": {"count/pods": "3"}}})
    used = (await lab.get(RESOURCE_QUOTA, "q"))["status"]["used"]
    assert used == {"count/cronjobs.batch": "0", "count/pods": "0"}
