"""Kinds that come and go while the server runs, as clients see it."""

import asyncio

import msgspec
import pytest

from netlab.api.kind import Kind
from netlab.api.kinds import builtin_catalog
from netlab.api.meta import AnyObject
from netlab.api.printing import AGE, NAME, Column, Printer, age_of, name_of
from netlab.api.subresources import SCALE, STATUS
from netlab.errors import ApiError

AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}

CRON_JOB: Kind[AnyObject] = Kind(
    "batch",
    "v1",
    "CronJob",
    "cronjobs",
    AnyObject,
    short_names=("cj",),
    subresources=(STATUS, SCALE),
    printer=Printer(
        (NAME, Column("Schedule", description="When."), AGE),
        lambda obj, now: [name_of(obj), obj["spec"]["schedule"], age_of(obj, now)],
    ),
)
BODY = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "a"},
    "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {}}}}},
}
PATH = "/apis/batch/v1/namespaces/default/cronjobs"


@pytest.fixture
def catalog(lab):
    return lab.plane.registry.catalog


async def read(http, path, headers=None):
    async with http.get(path, headers=headers) as answer:
        return answer.status, answer.headers.get("ETag"), await answer.read()


FOLLOWING = {
    "aggregated": ("/apis", AGGREGATED, b"cronjobs"),
    "plain": ("/apis", None, b'"batch"'),
    "openapi index": ("/openapi/v3", None, b"apis/batch/v1"),
    "openapi v2": ("/openapi/v2", None, b"/apis/batch/v1/"),
}


@pytest.mark.parametrize(("path", "headers", "mark"), FOLLOWING.values(), ids=FOLLOWING)
async def test_what_is_told_follows_with_its_etag(http, catalog, path, headers, mark):
    _, before, old = await read(http, path, headers)
    catalog.register(CRON_JOB)
    status, during, new = await read(http, path, headers)
    assert status == 200
    assert during != before
    assert mark in new
    assert mark not in old
    unchanged = {**(headers or {}), "If-None-Match": during}
    assert (await read(http, path, unchanged))[0] == 304
    catalog.unregister(CRON_JOB)
    assert (await read(http, path, headers))[1:] == (before, old)


async def test_its_group_version_is_told(http, catalog):
    assert (await read(http, "/apis/batch/v1"))[0] == 404
    catalog.register(CRON_JOB)
    listed = msgspec.json.decode((await read(http, "/apis/batch/v1"))[2])
    assert [line["name"] for line in listed["resources"]] == [
        "cronjobs",
        "cronjobs/scale",
        "cronjobs/status",
    ]
    document = msgspec.json.decode((await read(http, "/openapi/v3/apis/batch/v1"))[2])
    assert "io.k8s.api.batch.v1.CronJob" in document["components"]["schemas"]
    patched = document["paths"]["/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}"]["patch"]
    assert patched["x-kubernetes-group-version-kind"]["kind"] == "CronJob"
    catalog.unregister(CRON_JOB)
    assert (await read(http, "/apis/batch/v1"))[0] == 404
    assert (await read(http, "/openapi/v3/apis/batch/v1"))[0] == 404


async def test_objects_and_tables(http, catalog):
    async with http.post(PATH, json=BODY) as answer:
        assert answer.status == 404
    catalog.register(CRON_JOB)
    async with http.post(PATH, json=BODY) as answer:
        assert answer.status == 201
    table = msgspec.json.decode((await read(http, PATH, TABLE))[2])
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Schedule", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", "@daily"]
    catalog.unregister(CRON_JOB)
    status, _, body = await read(http, PATH)
    assert status == 404
    assert msgspec.json.decode(body)["message"] == (
        "the server could not find the requested resource"
    )


async def test_a_watch_ends_cleanly_when_its_kind_goes(http, catalog):
    catalog.register(CRON_JOB)
    async with http.get(PATH, params={"watch": "true"}) as answer:
        async with http.post(PATH, json=BODY) as created:
            assert created.status == 201
        first = msgspec.json.decode(await answer.content.readline())
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        catalog.unregister(CRON_JOB)
        assert await asyncio.wait_for(answer.content.read(), 5) == b""
    async with http.get(PATH, params={"watch": "true"}) as answer:
        assert answer.status == 404


async def test_a_client_on_the_wire_hears_of_it(client, catalog):
    catalog.register(CRON_JOB)
    await client.create(CRON_JOB, "default", BODY)
    assert len((await client.list(CRON_JOB, "default")).items) == 1
    catalog.unregister(CRON_JOB)
    with pytest.raises(ApiError) as refused:
        await client.list(CRON_JOB, "default")
    assert refused.value.code == 404


def test_another_server_has_a_catalog_of_its_own(catalog):
    catalog.register(CRON_JOB)
    assert CRON_JOB not in builtin_catalog()
