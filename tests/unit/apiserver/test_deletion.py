"""Deleting: grace, finalizers, propagation, namespaces, collections."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, DEPLOYMENT, NAMESPACE, POD, SERVICE
from netlab.apiserver.requests import DeleteOptions, ListOptions, WriteOptions
from netlab.errors import ApiError


async def bound_pod(lab: Any, name: str = "p", **spec: Any) -> Any:
    return await lab.create(POD, lab.pod(name, nodeName="node0", **spec))


async def held(lab: Any, kind: Any = CONFIG_MAP, name: str = "c") -> Any:
    body = lab.config_map(name) if kind is CONFIG_MAP else lab.deployment(name)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    return await lab.create(kind, body)


async def test_an_object_is_gone_at_once(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c"))
    result = await lab.delete(CONFIG_MAP, "c")
    assert (result.removed, result.returns_object) == (True, False)
    assert result.item.object["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(ApiError, match='configmaps "c" not found'):
        await lab.get(CONFIG_MAP, "c")
    with pytest.raises(ApiError, match='configmaps "c" not found'):
        await lab.delete(CONFIG_MAP, "c")


async def test_some_kinds_answer_with_the_object(lab: Any):
    await lab.create(SERVICE, lab.service("s"))
    assert (await lab.delete(SERVICE, "s")).returns_object


@pytest.mark.parametrize(
    ("options", "grace_s"),
    [({}, 30), ({"grace_period_s": 5}, 5), ({"grace_period_s": -1}, 1)],
    ids=["its own", "asked", "negative"],
)
async def test_a_running_pod_gets_time(lab: Any, options: Any, grace_s: int):
    await bound_pod(lab)
    result = await lab.delete(POD, "p", **options)
    assert not result.removed
    metadata = (await lab.get(POD, "p"))["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == grace_s
    assert metadata["deletionTimestamp"] == f"2026-01-01T00:00:{grace_s:02}Z"
    assert metadata["generation"] == 2


async def test_pods_that_run_nowhere_go_at_once(lab: Any):
    await lab.create(POD, lab.pod("unscheduled"))
    assert (await lab.delete(POD, "unscheduled")).removed
    for phase in ("Succeeded", "Failed"):
        await bound_pod(lab, phase.lower())
        await lab.patch(POD, phase.lower(), {"status": {"phase": phase}}, subresource="status")
        assert (await lab.delete(POD, phase.lower())).removed
    await bound_pod(lab, "forced")
    assert (await lab.delete(POD, "forced", grace_period_s=0)).removed


async def test_a_second_delete_only_shortens(lab: Any):
    await bound_pod(lab)
    await lab.delete(POD, "p", grace_period_s=20)
    version = lab.store.revision
    for longer in ({}, {"grace_period_s": 20}, {"grace_period_s": 40}):
        assert not (await lab.delete(POD, "p", **longer)).removed
    assert lab.store.revision == version
    await lab.delete(POD, "p", grace_period_s=5)
    metadata = (await lab.get(POD, "p"))["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-01T00:00:05Z"
    assert metadata["deletionGracePeriodSeconds"] == 5


async def test_the_kubelet_finishes(lab: Any):
    made = await bound_pod(lab)
    await lab.delete(POD, "p")
    with pytest.raises(ApiError, match="Precondition failed: UID in precondition: other"):
        await lab.delete(POD, "p", grace_period_s=0, uid="other")
    assert (await lab.delete(POD, "p", grace_period_s=0, uid=made["metadata"]["uid"])).removed


async def test_versions_are_preconditions_too(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    with pytest.raises(ApiError, match="ResourceVersion in precondition: 1, Resource"):
        await lab.delete(CONFIG_MAP, "c", resource_version="1")


async def test_finalizers_hold_an_object(lab: Any):
    await held(lab)
    result = await lab.delete(CONFIG_MAP, "c")
    assert (result.removed, result.returns_object) == (False, True)
    metadata = (await lab.get(CONFIG_MAP, "c"))["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["deletionGracePeriodSeconds"] == 0
    version = lab.store.revision
    assert not (await lab.delete(CONFIG_MAP, "c")).removed
    assert lab.store.revision == version


async def test_the_last_finalizer_lets_it_go(lab: Any):
    await held(lab)
    await lab.delete(CONFIG_MAP, "c")
    async with await lab.watch(CONFIG_MAP, resource_version=str(lab.store.revision)) as watch:
        await lab.patch(CONFIG_MAP, "c", {"metadata": {"finalizers": None}})
        (event,) = watch.ready()
    assert event.type == "DELETED"
    assert await lab.names(CONFIG_MAP) == []


async def test_a_pod_with_finalizers_outlives_its_containers(lab: Any):
    body = lab.pod("p", nodeName="node0")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await lab.create(POD, body)
    await lab.delete(POD, "p")
    assert not (await lab.delete(POD, "p", grace_period_s=0)).removed
    assert (await lab.get(POD, "p"))["metadata"]["deletionGracePeriodSeconds"] == 0
    await lab.patch(POD, "p", {"metadata": {"finalizers": None}})
    assert await lab.names(POD) == []


async def test_removing_finalizers_during_the_grace_period_keeps_the_pod(lab: Any):
    body = lab.pod("p", nodeName="node0")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await lab.create(POD, body)
    await lab.delete(POD, "p")
    await lab.patch(POD, "p", {"metadata": {"finalizers": None}})
    assert await lab.names(POD) == ["p"]


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({"propagation": "Foreground"}, ["foregroundDeletion"]),
        ({"propagation": "Orphan"}, ["orphan"]),
        ({"orphan_dependents": True}, ["orphan"]),
        ({"propagation": "Background"}, None),
        ({"orphan_dependents": False}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_propagation(lab: Any, options: Any, finalizers: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    result = await lab.delete(DEPLOYMENT, "d", **options)
    assert result.removed is (finalizers is None)
    if finalizers:
        metadata = (await lab.get(DEPLOYMENT, "d"))["metadata"]
        assert metadata["finalizers"] == finalizers
        assert metadata["generation"] == 2


async def test_a_later_background_delete_does_not_wait_for_dependents(lab: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    await lab.delete(DEPLOYMENT, "d", propagation="Foreground")
    assert (await lab.delete(DEPLOYMENT, "d", propagation="Background")).removed


async def test_other_finalizers_stay_beside(lab: Any):
    await held(lab, DEPLOYMENT, "d")
    await lab.delete(DEPLOYMENT, "d", propagation="Foreground")
    metadata = (await lab.get(DEPLOYMENT, "d"))["metadata"]
    assert metadata["finalizers"] == ["example.com/hold", "foregroundDeletion"]


async def test_a_dry_run_deletes_nothing(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    assert (await lab.delete(CONFIG_MAP, "c", dry_run=True)).removed
    assert await lab.names(CONFIG_MAP) == ["c"]


# namespaces ---------------------------------------------------------------------------------------


async def test_a_namespace_terminates_until_it_is_finalized(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "shop"}})
    result = await lab.delete(NAMESPACE, "shop")
    assert not result.removed
    namespace = await lab.get(NAMESPACE, "shop")
    assert namespace["status"]["phase"] == "Terminating"
    assert namespace["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    with pytest.raises(ApiError) as raised:
        await lab.create(CONFIG_MAP, lab.config_map("c"), "shop")
    assert raised.value.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace shop because it is'
        " being terminated"
    )
    assert raised.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    namespace["spec"] = {}
    await lab.update(NAMESPACE, namespace, subresource="finalize")
    assert await lab.names(NAMESPACE) == ["default"]


async def test_a_namespace_with_finalizers_of_both_kinds(lab: Any):
    body = {"metadata": {"name": "shop", "finalizers": ["example.com/hold"]}}
    await lab.create(NAMESPACE, body)
    await lab.delete(NAMESPACE, "shop")
    namespace = await lab.get(NAMESPACE, "shop")
    namespace["spec"]["finalizers"] = []
    await lab.update(NAMESPACE, namespace, subresource="finalize")
    assert await lab.names(NAMESPACE) == ["default", "shop"]
    await lab.patch(NAMESPACE, "shop", {"metadata": {"finalizers": None}})
    assert await lab.names(NAMESPACE) == ["default"]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_system_namespaces_stay(lab: Any, name: str):
    with pytest.raises(ApiError) as raised:
        await lab.delete(NAMESPACE, name)
    assert raised.value.message == (
        f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    )


# collections --------------------------------------------------------------------------------------


async def test_a_collection(lab: Any):
    for name in ("a", "b", "c"):
        body = lab.config_map(name)
        body["metadata"]["labels"] = {"keep": str(name == "b").lower()}
        await lab.create(CONFIG_MAP, body)
    result = await lab.registry.delete_collection(
        CONFIG_MAP, "default", ListOptions(label_selector="keep=false"), DeleteOptions()
    )
    assert [item.object["metadata"]["name"] for item in result.items] == ["a", "c"]
    assert await lab.names(CONFIG_MAP) == ["b"]


async def test_eviction_is_a_deletion(lab: Any):
    await bound_pod(lab)
    result = await lab.registry.create_subresource(
        POD, "default", "p", "eviction", {"metadata": {"name": "p"}}, WriteOptions()
    )
    assert result.item.object["status"] == "Success"
    assert (await lab.get(POD, "p"))["metadata"]["deletionTimestamp"]
