"""A store that holds objects nobody can read: the components start and serve all others."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import DEPLOYMENT, EVENT, NAMESPACE, POD, SERVICE, Kind, builtin_catalog
from netlab.store.records import Key
from tests.support.control_plane import eventually, node

KINDS = builtin_catalog().stored()

BAD_TIME = "1-01-01T00:00:05.000000Z"


def broken(kind: Kind[Any], name: str, revision: int) -> bytes:
    """An object of the kind with a time that is none, as an older netlab has stored it."""
    metadata = {
        "name": name,
        "uid": f"uid-{kind.plural}",
        "resourceVersion": str(revision),
        "creationTimestamp": BAD_TIME,
    }
    if kind.namespaced:
        metadata["namespace"] = "default"
    return msgspec.json.encode(
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    )


def spoil(store: Any, kind: Kind[Any], name: str = "bad") -> None:
    """Put the broken object past the registry into the store, new or in place of a good one."""
    key = Key(kind.group_resource, "default" if kind.namespaced else "", name)
    present = store.latest(key)
    expected = present.revision if present else 0
    _, done = store.write(key, expected, lambda revision: broken(kind, name, revision))
    done.add_done_callback(lambda future: future.exception())


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    spec = {"containers": [{"name": "c", "image": "busybox"}]}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


async def bound_pods(lab: Any, app: str) -> bool:
    listed = (await lab.client.list(POD, "default", label_selector=f"app={app}")).items
    return len([pod for pod in listed if pod["spec"].get("nodeName")]) == 2


async def check_all_works(lab: Any, app: str) -> None:
    await lab.client.create(DEPLOYMENT, "default", deployment(app))
    await eventually(lambda: bound_pods(lab, app))
    await lab.client.create(NAMESPACE, None, {"metadata": {"name": f"{app}-space"}})
    await lab.client.delete(NAMESPACE, None, f"{app}-space")

    async def gone() -> bool:
        spaces = (await lab.client.list(NAMESPACE)).items
        return f"{app}-space" not in [space["metadata"]["name"] for space in spaces]

    await eventually(gone)
    assert not [task for task in lab.tasks if task.done()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_an_object_that_cannot_be_read_costs_only_itself(kind: Kind[Any], lab: Any) -> None:
    await lab.add_node(node("node0"))
    spoil(lab.store, kind)
    await asyncio.sleep(0.01)
    await check_all_works(lab, "late")


async def test_components_start_with_such_objects_of_all_kinds(lab: Any) -> None:
    await lab.add_node(node("node0"))
    for kind in KINDS:
        spoil(lab.store, kind)
    await lab.restart()
    await check_all_works(lab, "again")

    async def told() -> bool:
        events = (await lab.client.list(EVENT)).items
        named = {
            event["involvedObject"]["kind"]
            for event in events
            if event.get("reason") == "UnreadableObject"
        }
        return named == {kind.kind for kind in KINDS if kind is not EVENT}

    await eventually(told)


async def test_a_good_object_that_became_unreadable_is_mended_by_a_write(lab: Any) -> None:
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    await lab.client.create(SERVICE, "default", service)
    spoil(lab.store, SERVICE, "web")
    await asyncio.sleep(0.01)
    await lab.client.delete(SERVICE, "default", "web")
    await lab.client.create(SERVICE, "default", service)
    assert not [task for task in lab.tasks if task.done()]
