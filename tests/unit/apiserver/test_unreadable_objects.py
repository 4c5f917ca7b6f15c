"""A stored object that cannot be read costs itself only: lists, watches, quotas, addresses, tables.

The API server stores none; these were put into the store behind its back.
"""

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SERVICE,
    builtin_catalog,
)
from netlab.apiserver.http.negotiation import Output
from netlab.apiserver.http.rendering import Form, render_list
from netlab.apiserver.requests import DeleteOptions, ListOptions, WatchOptions
from netlab.store.records import Key

TABLE = Form(Output(shape="Table", version="v1"), datetime(2026, 1, 1, tzinfo=UTC))


async def put_unread(lab: Any, kind: Any, name: str, **parts: Any) -> None:
    obj = {"kind": kind.kind, "apiVersion": kind.api_version}
    parts = dict(parts)
    where = {"namespace": "default"} if kind.namespaced else {}
    obj["metadata"] = {"name": name, **where, "uid": name, **parts.pop("meta", {})}

    def stamped(revision: int) -> bytes:
        obj["metadata"]["resourceVersion"] = str(revision)
        return msgspec.json.encode({**obj, **parts})

    key = Key(kind.group_resource, "default" if kind.namespaced else "", name)
    _, done = lab.store.write(key, 0, stamped, uid=name, deleted=False)
    await done


async def test_lists_and_watches_pass_over_it(lab: Any, caplog: Any):
    caplog.set_level(logging.WARNING)
    await put_unread(lab, CONFIG_MAP, "bad", meta={"labels": {"a": 1}})
    body = lab.config_map("good")
    body["metadata"]["labels"] = {"a": "1"}
    await lab.create(CONFIG_MAP, body)
    assert await lab.names(CONFIG_MAP, label_selector="a=1") == ["good"]
    watch = await lab.registry.watch(CONFIG_MAP, None, WatchOptions(label_selector="a"))
    async with watch:
        assert (await anext(watch)).item.object["metadata"]["name"] == "good"
    assert "cannot be read" in caplog.text
    assert await lab.names(CONFIG_MAP) == ["bad", "good"]
    await lab.delete(CONFIG_MAP, "bad")
    assert await lab.names(CONFIG_MAP) == ["good"]


async def test_tables_name_it(lab: Any):
    await put_unread(lab, POD, "bad", spec=7, status={"containerStatuses": [1]})
    await lab.create(POD, lab.pod("good"))
    listed = await lab.registry.list(POD, None, ListOptions())
    rows = msgspec.json.decode(render_list(POD, listed, TABLE))["rows"]
    assert [row["cells"][0] for row in rows] == ["bad", "good"]
    assert set(rows[0]["cells"][1:]) == {"<unreadable>"}


ODD: dict[str, dict[str, Any]] = {
    "spec": {"spec": 7},
    "status": {"status": [1]},
    "finalizers": {"meta": {"finalizers": {"a": 1}, "labels": ["x"], "ownerReferences": 7}},
    "times": {"meta": {"creationTimestamp": "12026-01-01T00:00:00Z", "deletionTimestamp": "x"}},
    "rest": {"rules": 7, "subjects": 7, "roleRef": 7, "data": 7, "subsets": 3, "endpoints": "x"},
}


@pytest.mark.parametrize("parts", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    "kind", builtin_catalog().stored(), ids=lambda kind: str(kind.group_resource)
)
async def test_it_can_be_deleted(lab: Any, kind: Any, parts: dict[str, Any]):
    await put_unread(lab, kind, "bad", **parts)
    options = DeleteOptions(propagation="Background", grace_period_s=0)
    await lab.registry.delete(kind, "default" if kind.namespaced else None, "bad", options)
    assert "bad" not in await lab.names(kind)


async def test_a_quota_that_is_no_object_stops_no_write(lab: Any):
    await put_unread(lab, RESOURCE_QUOTA, "bad", spec=7)
    await lab.create(CONFIG_MAP, lab.config_map("good"))
    assert "good" in await lab.names(CONFIG_MAP)


async def test_quotas_and_addresses_do_without_it(lab: Any):
    await put_unread(lab, POD, "bad", spec={"containers": [{"resources": {"requests": 5}}]})
    await put_unread(lab, PERSISTENT_VOLUME_CLAIM, "bad", spec={"resources": []})
    await put_unread(lab, SERVICE, "bad", spec={"clusterIPs": 4, "ports": "x"})
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5", "services": "5"}}}
    await lab.create(RESOURCE_QUOTA, quota)
    await lab.create(POD, lab.pod("good"))
    made = await lab.create(SERVICE, lab.service("good", type="NodePort"))
    assert made["spec"]["clusterIP"]
    await lab.delete(SERVICE, "good")
