"""Kinds that are only stored, and kinds whose objects are another's or nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import EVENT
from netlab.api.kinds.componentstatus import COMPONENT_STATUS
from netlab.api.kinds.controllerrevision import CONTROLLER_REVISION
from netlab.api.kinds.events_v1 import EVENT_V1
from netlab.api.kinds.podtemplate import POD_TEMPLATE
from netlab.api.tables import table_for
from netlab.apiserver.assembly import component_statuses
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import ListOptions, WatchOptions
from netlab.errors import ApiError


async def test_a_pod_template_is_completed_and_checked(lab: Any):
    spec = {"containers": [{"name": "web", "image": "nginx"}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    made = await lab.create(POD_TEMPLATE, {"metadata": {"name": "t"}, "template": template})
    assert made["template"]["spec"]["restartPolicy"] == "Always"
    assert made["metadata"]["generation"] == 1
    row = table_for(POD_TEMPLATE, [made], lab.clock.now())["rows"][0]["cells"]
    assert row == ["t", "web", "nginx", "app=web"]
    bad = {"metadata": {"name": "u"}, "template": {"spec": {"containers": []}}}
    with pytest.raises(ApiError, match=r"template\.spec\.containers: Required value"):
        await lab.create(POD_TEMPLATE, bad)


async def test_a_controller_revision_keeps_its_data(lab: Any):
    owner = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": "db",
        "uid": "u",
        "controller": True,
    }
    body = {
        "metadata": {"name": "db-1", "ownerReferences": [owner]},
        "data": {"spec": {"a": [1]}},
        "revision": 1,
    }
    made = await lab.create(CONTROLLER_REVISION, body)
    assert made["data"] == {"spec": {"a": [1]}}
    row = table_for(CONTROLLER_REVISION, [made], lab.clock.now())["rows"][0]["cells"]
    assert row[:3] == ["db-1", "statefulset.apps/db", 1]
    assert (await lab.patch(CONTROLLER_REVISION, "db-1", {"revision": 2}))["revision"] == 2
    with pytest.raises(ApiError, match=r"data: Invalid value: .*field is immutable"):
        await lab.patch(CONTROLLER_REVISION, "db-1", {"data": {"b": 1}})
    with pytest.raises(ApiError, match="data: Required value: data is mandatory"):
        await lab.create(CONTROLLER_REVISION, {"metadata": {"name": "x"}, "revision": 1})


CORE_EVENT = {
    "metadata": {"name": "a"},
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"},
    "reason": "Started",
    "message": "it runs",
    "type": "Normal",
    "source": {"component": "kubelet"},
    "count": 3,
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:00:30Z",
}
NEW_EVENT = {
    "metadata": {"name": "b"},
    "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
    "reason": "Killing",
    "note": "it ends",
    "type": "Warning",
    "action": "Stop",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "example.com/me",
    "reportingInstance": "me-1",
}


async def test_events_of_both_groups_are_the_same_objects(lab: Any):
    await lab.create(EVENT, CORE_EVENT)
    seen = await lab.get(EVENT_V1, "a")
    assert (seen["apiVersion"], seen["note"]) == ("events.k8s.io/v1", "it runs")
    assert seen["regarding"]["name"] == "web"
    assert (seen["deprecatedCount"], seen["deprecatedSource"]) == (3, {"component": "kubelet"})
    assert "message" not in seen
    made = await lab.create(EVENT_V1, NEW_EVENT)
    assert (made["note"], made["apiVersion"]) == ("it ends", "events.k8s.io/v1")
    core = await lab.get(EVENT, "b")
    assert (core["message"], core["involvedObject"]["name"]) == ("it ends", "web")
    assert core["metadata"]["uid"] == made["metadata"]["uid"]
    assert await lab.names(EVENT_V1) == await lab.names(EVENT) == ["a", "b"]
    tables = [
        table_for(kind, [await lab.get(kind, "a")], lab.clock.now())["rows"][0]["cells"]
        for kind in (EVENT, EVENT_V1)
    ]
    assert tables[0] == tables[1]


async def test_events_are_selected_by_the_words_of_each_group(lab: Any):
    await lab.create(EVENT, CORE_EVENT)
    await lab.create(EVENT_V1, NEW_EVENT)
    selector = "regarding.name=web,reason=Killing"
    assert await lab.names(EVENT_V1, field_selector=selector) == ["b"]
    assert await lab.names(EVENT, field_selector="involvedObject.name=web,reason=Killing") == ["b"]
    with pytest.raises(ApiError, match=r"field label not supported: involvedObject\.name"):
        await lab.names(EVENT_V1, field_selector="involvedObject.name=web")


async def test_a_watch_tells_events_in_the_words_of_its_group(lab: Any):
    options = WatchOptions(field_selector="regarding.name=web", resource_version="")
    async with await lab.registry.watch(EVENT_V1, "default", options) as watch:
        await lab.create(EVENT, CORE_EVENT)
        event = await anext(watch)
        assert (event.type, event.item.object["note"]) == ("ADDED", "it runs")
        await lab.patch(EVENT, "a", {"count": 4})
        assert (await anext(watch)).item.object["deprecatedCount"] == 4
        await lab.delete(EVENT_V1, "a")
        gone = await anext(watch)
        assert (gone.type, gone.item.object["apiVersion"]) == ("DELETED", "events.k8s.io/v1")


async def test_a_series_goes_on_and_nothing_else_changes(lab: Any):
    await lab.create(EVENT_V1, NEW_EVENT)
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
    patched = await lab.patch(EVENT_V1, "b", {"series": series})
    assert patched["series"]["count"] == 2
    assert (await lab.get(EVENT, "b"))["series"] == series
    with pytest.raises(ApiError, match=r"reason: Invalid value: .*field is immutable"):
        await lab.patch(EVENT_V1, "b", {"reason": "Other"})


INCOMPLETE = {
    "eventTime": ("eventTime: Required value", None),
    "reportingController": ("reportingController: Required value", None),
    "reportingInstance": ("reportingInstance: Required value", None),
    "action": ("action: Required value", None),
    "type": ('type: Invalid value: "": has invalid value: Odd', "Odd"),
    "deprecatedCount": ('count: Invalid value: "": needs to be unset', 3),
}


@pytest.mark.parametrize("field", INCOMPLETE)
async def test_a_new_event_says_what_this_group_asks(lab: Any, field: str):
    expected, value = INCOMPLETE[field]
    body = {name: each for name, each in NEW_EVENT.items() if name != field}
    if value is not None:
        body[field] = value
    with pytest.raises(ApiError) as refused:
        await lab.create(EVENT_V1, body)
    assert expected in refused.value.message


async def test_component_statuses_are_worked_out(lab: Any):
    well = {"scheduler": True, "controller-manager": False}
    checks = {name: lambda name=name: well[name] for name in well}
    registry = Registry(
        lab.store,
        lab.config,
        lab.clock,
        computed={COMPONENT_STATUS: component_statuses(lab.store, checks)},
    )
    listed = await registry.list(COMPONENT_STATUS, None, ListOptions())
    rows = table_for(COMPONENT_STATUS, [item.object for item in listed.items], lab.clock.now())
    assert [row["cells"] for row in rows["rows"]] == [
        ["controller-manager", "Unhealthy", "", "it has not begun to work"],
        ["etcd-0", "Healthy", "ok", ""],
        ["scheduler", "Healthy", "ok", ""],
    ]
    one = await registry.get(COMPONENT_STATUS, None, "scheduler")
    assert one.object["conditions"][0]["status"] == "True"
    with pytest.raises(ApiError, match='componentstatuses "x" not found'):
        await registry.get(COMPONENT_STATUS, None, "x")
    with pytest.raises(ApiError) as refused:
        await registry.watch(COMPONENT_STATUS, None, WatchOptions())
    assert refused.value.code == 405
