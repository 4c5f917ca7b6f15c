"""The garbage collector and the namespace controller follow kinds that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kind import Kind
from netlab.api.kinds import CONFIG_MAP, NAMESPACE
from netlab.api.meta import AnyObject
from tests.support.control_plane import ControlPlane, control_plane

CRON_JOB: Kind[AnyObject] = Kind("batch", "v1", "CronJob", "cronjobs", AnyObject)


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as running:
        yield running


def cron_job(name: str, **metadata: Any) -> Any:
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"schedule": "@daily", "jobTemplate": {}},
    }


def owned_by(owner: Any, kind: Kind[Any]) -> list[Any]:
    meta = owner["metadata"]
    return [
        {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": meta["name"],
            "uid": meta["uid"],
        }
    ]


async def gone(plane: ControlPlane, kind: Kind[Any], name: str) -> None:
    async def check() -> bool:
        listed = await plane.client.list(kind, "default")
        return name not in {item["metadata"]["name"] for item in listed.items}

    await plane.eventually(check)


async def test_objects_of_a_new_kind_are_owners_and_owned(plane: ControlPlane) -> None:
    plane.registry.catalog.register(CRON_JOB)
    owner = await plane.client.create(CRON_JOB, "default", cron_job("owner"))
    references = owned_by(owner, CRON_JOB)
    data = {"metadata": {"name": "data", "ownerReferences": references}}
    config = await plane.client.create(CONFIG_MAP, "default", data)
    child = cron_job("child", ownerReferences=owned_by(config, CONFIG_MAP))
    await plane.client.create(CRON_JOB, "default", child)
    await plane.client.delete(CRON_JOB, "default", "owner")
    await gone(plane, CONFIG_MAP, "data")
    await gone(plane, CRON_JOB, "child")


async def test_a_kind_that_went_leaves_its_dependents_and_no_noise(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = plane.registry.catalog
    catalog.register(CRON_JOB)
    owner = await plane.client.create(CRON_JOB, "default", cron_job("owner"))
    data = {"metadata": {"name": "data", "ownerReferences": owned_by(owner, CRON_JOB)}}
    await plane.client.create(CONFIG_MAP, "default", data)
    catalog.unregister(CRON_JOB)
    await plane.client.patch(CONFIG_MAP, "default", "data", {"data": {"a": "b"}})
    await asyncio.sleep(0.1)
    # nobody can tell whether the owner is there: the object stays
    assert (await plane.client.get(CONFIG_MAP, "default", "data"))["data"] == {"a": "b"}
    assert not [record for record in caplog.records if "cronjobs" in record.getMessage()]
    catalog.register(CRON_JOB)
    await plane.client.delete(CRON_JOB, "default", "owner")
    await gone(plane, CONFIG_MAP, "data")


async def test_a_namespace_is_emptied_of_a_new_kind(plane: ControlPlane) -> None:
    plane.registry.catalog.register(CRON_JOB)
    await plane.client.create(NAMESPACE, None, {"metadata": {"name": "shop"}})
    await plane.client.create(CRON_JOB, "shop", cron_job("job"))
    await plane.client.delete(NAMESPACE, None, "shop")

    async def emptied() -> bool:
        listed = await plane.client.list(NAMESPACE)
        return "shop" not in {item["metadata"]["name"] for item in listed.items}

    await plane.eventually(emptied)
    assert not (await plane.client.list(CRON_JOB)).items
