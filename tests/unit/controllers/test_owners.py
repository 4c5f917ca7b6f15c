"""The garbage collector on a real registry: owners in wrong places, finalizers, orphans."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    RESOURCE_QUOTA,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
    Kind,
)
from netlab.api.view import Object
from netlab.clock import FakeClock
from netlab.errors import ApiError, is_not_found
from tests.support.control_plane import ControlPlane, control_plane, eventually, node


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path) as found:
        for name in ("here", "there"):
            await found.client.create(NAMESPACE, None, {"metadata": {"name": name}})
            await found.ready_for_pods(name)
        yield found


def owned_by(owner: Object, **more: Any) -> Object:
    meta = owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
    return reference | more


async def put(
    plane: ControlPlane,
    name: str,
    *owners: Object,
    namespace: str = "here",
    finalizers: tuple[str, ...] = (),
) -> Object:
    metadata: Object = {"name": name, "ownerReferences": list(owners)}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return await plane.client.create(CONFIG_MAP, namespace, {"metadata": metadata})


async def is_there(
    plane: ControlPlane, name: str, kind: Kind[Any] = CONFIG_MAP, namespace: str | None = "here"
) -> bool:
    try:
        await plane.client.get(kind, namespace, name)
    except ApiError as error:
        if is_not_found(error):
            return False
        raise
    return True


async def wait_gone(plane: ControlPlane, name: str, **more: Any) -> None:
    async def gone() -> bool:
        return not await is_there(plane, name, **more)

    await eventually(gone)


async def test_an_owner_in_another_namespace_is_none(plane: ControlPlane) -> None:
    owner = await put(plane, "owner", namespace="there")
    await plane.settle()
    dependent = await put(plane, "dependent", owned_by(owner))
    await wait_gone(plane, "dependent")
    await plane.settle()
    uid = owner["metadata"]["uid"]
    assert await plane.events("dependent") == [
        (
            "Warning",
            "OwnerRefInvalidNamespace",
            f"ownerRef [v1/ConfigMap, namespace: here, name: owner, uid: {uid}]"
            ' does not exist in namespace "here"',
        )
    ]
    assert dependent["metadata"]["namespace"] == "here"
    assert await is_there(plane, "owner", namespace="there")


async def test_a_good_owner_keeps_what_a_misplaced_one_does_not(plane: ControlPlane) -> None:
    good = await put(plane, "good")
    bad = await put(plane, "bad", namespace="there")
    await plane.settle()
    await put(plane, "dependent", owned_by(good), owned_by(bad))
    await plane.settle()
    found = await plane.client.get(CONFIG_MAP, "here", "dependent")
    assert [o["name"] for o in found["metadata"]["ownerReferences"]] == ["good"]
    assert [reason for _, reason, _ in await plane.events("dependent")] == [
        "OwnerRefInvalidNamespace"
    ]


WRONG = {
    "uid of nobody": {"uid": "00000000-0000-4000-8000-000000000000"},
    "uid of the owner, name of nobody": {"name": "nobody"},
    "uid of the owner, another kind": {"kind": "Secret"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
async def test_a_reference_that_does_not_fit_its_owner_leads_nowhere(
    plane: ControlPlane, change: Object
) -> None:
    owner = await put(plane, "owner")
    await plane.settle()
    await put(plane, "dependent", owned_by(owner) | change)
    await wait_gone(plane, "dependent")
    assert await is_there(plane, "owner")


async def test_an_owner_of_a_kind_that_nobody_serves_is_left_alone(plane: ControlPlane) -> None:
    reference = {"apiVersion": "example.org/v1", "kind": "Widget", "name": "w", "uid": "u"}
    await put(plane, "dependent", reference)
    await plane.settle()
    assert await is_there(plane, "dependent")


async def test_an_owner_without_namespace_may_have_dependents_in_one(plane: ControlPlane) -> None:
    owner = await plane.client.create(NODE, None, node("node9"))
    await plane.settle()
    await put(plane, "dependent", owned_by(owner))
    await plane.settle()
    assert await is_there(plane, "dependent")
    await plane.client.delete(NODE, None, "node9")
    await wait_gone(plane, "dependent")


async def test_an_object_without_namespace_with_an_owner_in_one_is_left_alone(
    plane: ControlPlane,
) -> None:
    owner = await put(plane, "owner")
    await plane.settle()
    body = {
        "metadata": {"name": "slow", "ownerReferences": [owned_by(owner)]},
        "provisioner": "example.org/x",
    }
    await plane.client.create(STORAGE_CLASS, None, body)
    await plane.settle()
    await plane.client.delete(CONFIG_MAP, "here", "owner")
    await plane.settle()
    assert await is_there(plane, "slow", kind=STORAGE_CLASS, namespace=None)
    assert [reason for _, reason, _ in await plane.events("slow")] == ["OwnerRefInvalidNamespace"]


async def test_a_foreground_deletion_waits_only_for_those_that_block(plane: ControlPlane) -> None:
    owner = await put(plane, "owner")
    await put(
        plane, "blocks", owned_by(owner, blockOwnerDeletion=True), finalizers=("example.org/x",)
    )
    await put(plane, "free", owned_by(owner), finalizers=("example.org/x",))
    await plane.settle()
    await plane.client.delete(CONFIG_MAP, "here", "owner", propagation="Foreground")
    await plane.settle()
    found = await plane.client.get(CONFIG_MAP, "here", "owner")
    assert found["metadata"]["finalizers"] == ["foregroundDeletion"]
    for name in ("blocks", "free"):
        dependent = await plane.client.get(CONFIG_MAP, "here", name)
        assert "deletionTimestamp" in dependent["metadata"]
    await plane.client.patch(CONFIG_MAP, "here", "blocks", {"metadata": {"finalizers": None}})
    await wait_gone(plane, "owner")
    assert await is_there(plane, "free")


async def test_a_deletion_that_orphans_releases_and_keeps(plane: ControlPlane) -> None:
    owner = await put(plane, "owner")
    other = await put(plane, "other")
    await put(plane, "alone", owned_by(owner))
    await put(plane, "shared", owned_by(owner), owned_by(other))
    await plane.settle()
    await plane.client.delete(CONFIG_MAP, "here", "owner", propagation="Orphan")
    await wait_gone(plane, "owner")
    await plane.settle()
    alone = await plane.client.get(CONFIG_MAP, "here", "alone")
    assert "ownerReferences" not in alone["metadata"]
    shared = await plane.client.get(CONFIG_MAP, "here", "shared")
    assert [o["name"] for o in shared["metadata"]["ownerReferences"]] == ["other"]


# adoption ----------------------------------------------------------------------------------------


def deployment(image: str = "busybox") -> Object:
    labels = {"app": "web"}
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
        },
    }


async def names(plane: ControlPlane, kind: Kind[Any]) -> set[str]:
    return {o["metadata"]["name"] for o in (await plane.client.list(kind, "here")).items}


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
async def test_an_orphaned_set_is_adopted_before_one_is_made(
    plane: ControlPlane, strategy: str
) -> None:
    wanted = deployment()
    wanted["spec"]["strategy"] = {"type": strategy}
    await plane.client.create(DEPLOYMENT, "here", wanted)
    await plane.settle()
    sets, pods = await names(plane, REPLICA_SET), await names(plane, POD)
    assert (len(sets), len(pods)) == (1, 2)
    await plane.client.delete(DEPLOYMENT, "here", "web", propagation="Orphan")
    await wait_gone(plane, "web", kind=DEPLOYMENT)
    created = await plane.client.create(DEPLOYMENT, "here", wanted)
    await plane.settle()
    assert (await names(plane, REPLICA_SET), await names(plane, POD)) == (sets, pods)
    (found,) = (await plane.client.list(REPLICA_SET, "here")).items
    (owner,) = found["metadata"]["ownerReferences"]
    assert owner["uid"] == created["metadata"]["uid"]
    reasons = [reason for _, reason, _ in await plane.events("web")]
    assert reasons.count("ScalingReplicaSet") == 1


async def test_an_adopted_set_of_another_template_is_rolled_over(plane: ControlPlane) -> None:
    await plane.client.create(DEPLOYMENT, "here", deployment())
    await plane.settle()
    await plane.client.delete(DEPLOYMENT, "here", "web", propagation="Orphan")
    await wait_gone(plane, "web", kind=DEPLOYMENT)
    await plane.client.create(DEPLOYMENT, "here", deployment("busybox:1.36"))
    await plane.settle()
    sets = (await plane.client.list(REPLICA_SET, "here")).items
    assert len(sets) == 2
    assert all(len(rs["metadata"]["ownerReferences"]) == 1 for rs in sets)
    revisions = sorted(
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for rs in sets
    )
    assert revisions == ["1", "2"]


# refusals ----------------------------------------------------------------------------------------


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A control plane whose time stands still: nothing is tried again by itself."""
    async with control_plane(tmp_path, FakeClock()) as found:
        await found.client.create(NAMESPACE, None, {"metadata": {"name": "here"}})
        await found.ready_for_pods("here")
        yield found


async def test_a_missing_account_is_told_and_not_asked_for_all_the_time(
    still: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = deployment()
    wanted["spec"]["template"]["spec"]["serviceAccountName"] = "robot"
    await still.client.create(DEPLOYMENT, "here", wanted)

    async def told() -> Object | None:
        found = await still.client.get(DEPLOYMENT, "here", "web")
        conditions = found.get("status", {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == "ReplicaFailure"), None)

    condition = await eventually(told)
    assert (condition["status"], condition["reason"]) == ("True", "FailedCreate")
    assert 'serviceaccount "robot" not found' in condition["message"]
    await still.settle()
    (rs,) = (await still.client.list(REPLICA_SET, "here")).items
    failures = [e for e in await still.events(rs["metadata"]["name"]) if e[1] == "FailedCreate"]
    assert len(failures) == 1
    assert failures[0][2].startswith("Error creating: pods")
    assert len([r for r in caplog.records if "robot" in r.getMessage() and r.levelno > 10]) <= 2
    # whoever makes the account need not wait for the next try
    await still.client.create(SERVICE_ACCOUNT, "here", {"metadata": {"name": "robot"}})

    async def made() -> bool:
        return len(await names(still, POD)) == 2

    await eventually(made)


async def test_a_quota_that_is_raised_lets_pods_be_made_at_once(still: ControlPlane) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await still.client.create(RESOURCE_QUOTA, "here", quota)
    await still.settle()
    await still.client.create(DEPLOYMENT, "here", deployment())

    async def count(wanted: int) -> bool:
        return len(await names(still, POD)) == wanted

    await eventually(lambda: count(1))
    await still.settle()
    await still.client.patch(RESOURCE_QUOTA, "here", "few", {"spec": {"hard": {"pods": "5"}}})
    await eventually(lambda: count(2))
