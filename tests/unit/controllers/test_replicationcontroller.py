"""ReplicationControllers keep pods as ReplicaSets do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import POD
from netlab.api.kinds.priorityclass import PRIORITY_CLASS
from netlab.api.kinds.replicationcontroller import REPLICATION_CONTROLLER
from netlab.api.tables import table_for
from netlab.errors import ApiError
from tests.support.control_plane import ControlPlane, control_plane


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as running:
        await running.ready_for_pods()
        yield running


def controller(replicas: int | None = 2, **spec: Any) -> Any:
    found: Any = {
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]},
        },
        **spec,
    }
    if replicas is not None:
        found["replicas"] = replicas
    return {"metadata": {"name": "web"}, "spec": found}


async def pods(plane: ControlPlane) -> list[Any]:
    listed = await plane.client.list(POD, "default")
    return [pod for pod in listed.items if not pod["metadata"].get("deletionTimestamp")]


async def reached(plane: ControlPlane, count: int) -> Any:
    async def settled() -> Any:
        found = await plane.client.get(REPLICATION_CONTROLLER, "default", "web")
        right = len(await pods(plane)) == count and found["status"]["replicas"] == count
        return found if right else None

    return await plane.eventually(settled)


async def test_labels_and_selector_come_from_the_template(plane: ControlPlane) -> None:
    body = controller(replicas=None)
    made = await plane.client.create(REPLICATION_CONTROLLER, "default", body)
    assert made["spec"]["selector"] == made["metadata"]["labels"] == {"app": "web"}
    assert (made["spec"]["replicas"], made["metadata"]["generation"]) == (1, 1)


async def test_pods_are_made_scaled_and_replaced(plane: ControlPlane) -> None:
    await plane.client.create(REPLICATION_CONTROLLER, "default", controller())
    found = await reached(plane, 2)
    assert found["status"]["observedGeneration"] == 1
    (owner,) = (await pods(plane))[0]["metadata"]["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"]) == ("v1", "ReplicationController")
    row = table_for(REPLICATION_CONTROLLER, [found], plane.clock.now())["rows"][0]["cells"]
    assert row[:4] == ["web", 2, 2, 0]
    assert row[5:] == ["c", "nginx", "app=web"]
    scale = await plane.registry.get(REPLICATION_CONTROLLER, "default", "web", subresource="scale")
    assert scale.object["status"] == {"replicas": 2, "selector": "app=web"}
    await plane.client.patch(
        REPLICATION_CONTROLLER, "default", "web", {"spec": {"replicas": 3}}, subresource="scale"
    )
    await reached(plane, 3)
    victim = (await pods(plane))[0]["metadata"]
    await plane.client.delete(POD, "default", victim["name"])
    await reached(plane, 3)
    assert victim["uid"] not in {pod["metadata"]["uid"] for pod in await pods(plane)}
    reasons = {reason for _, reason, _ in await plane.events("web")}
    assert "SuccessfulCreate" in reasons


async def test_pods_go_with_their_controller_or_stay(plane: ControlPlane) -> None:
    await plane.client.create(REPLICATION_CONTROLLER, "default", controller())
    await reached(plane, 2)
    await plane.client.delete(REPLICATION_CONTROLLER, "default", "web", propagation="Orphan")

    async def orphaned() -> bool:
        found = await pods(plane)
        left = (await plane.client.list(REPLICATION_CONTROLLER)).items
        owned = any(pod["metadata"].get("ownerReferences") for pod in found)
        return len(found) == 2 and not owned and not left

    await plane.eventually(orphaned)
    await plane.client.create(REPLICATION_CONTROLLER, "default", controller())
    await reached(plane, 2)
    await plane.client.delete(REPLICATION_CONTROLLER, "default", "web")

    async def gone() -> bool:
        return not await pods(plane)

    await plane.eventually(gone)


async def test_pods_that_miss_their_class_come_when_it_does(plane: ControlPlane) -> None:
    body = controller()
    body["spec"]["template"]["spec"]["priorityClassName"] = "high"
    await plane.client.create(REPLICATION_CONTROLLER, "default", body)

    async def refused() -> bool:
        found = await plane.client.get(REPLICATION_CONTROLLER, "default", "web")
        conditions = found["status"].get("conditions") or ()
        return any("no PriorityClass with name high" in c["message"] for c in conditions)

    await plane.eventually(refused)
    await plane.client.create(PRIORITY_CLASS, None, {"metadata": {"name": "high"}, "value": 10})
    found = await reached(plane, 2)
    assert found["status"]["replicas"] == 2


REFUSED = {
    "a selector that misses the template": (
        {"selector": {"app": "other"}},
        "spec.template.metadata.labels: Invalid value",
    ),
    "no template": ({"template": None, "selector": {"a": "b"}}, "spec.template: Required value"),
    "nothing to select by": (
        {"template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}},
        "spec.selector: Required value",
    ),
    "fewer than none": ({"replicas": -1}, "spec.replicas: Invalid value: -1"),
}


@pytest.mark.parametrize(("spec", "expected"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused(plane: ControlPlane, spec: Any, expected: str) -> None:
    with pytest.raises(ApiError) as refused:
        await plane.client.create(REPLICATION_CONTROLLER, "default", controller(**spec))
    assert expected in refused.value.message
