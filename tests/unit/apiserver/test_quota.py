"""ResourceQuotas: exact at every moment, and refused in Kubernetes' words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SERVICE,
)
from netlab.apiserver.storage.quota import usage_of
from netlab.errors import ApiError


def quota(name: str = "q", /, scopes: Any = (), **hard: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"hard": {key.replace("__", "."): hard[key] for key in hard}}
    if scopes:
        spec["scopes"] = list(scopes)
    return {"metadata": {"name": name}, "spec": spec}


def asking(lab: Any, name: str, **requests: str) -> dict[str, Any]:
    return lab.pod(
        name, containers=[{"name": "c", "image": "i", "resources": {"requests": requests}}]
    )


async def used(lab: Any, name: str = "q") -> Any:
    return (await lab.get(RESOURCE_QUOTA, name))["status"]["used"]


async def refusal(lab: Any, kind: Any, obj: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await lab.create(kind, obj)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    return caught.value.message


async def test_a_new_quota_counts_what_is_there(lab: Any) -> None:
    await lab.create(POD, asking(lab, "p", cpu="250m"))
    await lab.create(RESOURCE_QUOTA, quota(pods="4", requests__cpu="1"))
    found = await lab.get(RESOURCE_QUOTA, "q")
    assert found["status"] == {
        "hard": {"pods": "4", "requests.cpu": "1"},
        "used": {"pods": "1", "requests.cpu": "250m"},
    }


async def test_the_next_one_is_one_too_many(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(pods="2"))
    for name in "ab":
        await lab.create(POD, lab.pod(name))
    assert await used(lab) == {"pods": "2"}
    assert await refusal(lab, POD, lab.pod("c")) == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    )


async def test_concurrent_writes_do_not_share_a_place(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(pods="5"))
    creating = (lab.create(POD, lab.pod(f"p{n}")) for n in range(20))
    results = await asyncio.gather(*creating, return_exceptions=True)
    assert sum(1 for each in results if not isinstance(each, ApiError)) == 5
    assert len(await lab.names(POD)) == 5
    assert await used(lab) == {"pods": "5"}


async def test_what_a_pod_held_is_free_when_it_ends_or_goes(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(pods="2", requests__memory="1Gi"))
    for name in "ab":
        await lab.create(POD, asking(lab, name, memory="512Mi"))
    done = {"status": {"phase": "Succeeded"}}
    await lab.patch(POD, "a", done, subresource="status")
    assert await used(lab) == {"pods": "1", "requests.memory": "512Mi"}
    await lab.delete(POD, "b", grace_period_s=0)
    assert await used(lab) == {"pods": "0", "requests.memory": "0"}


async def test_amounts_must_be_written(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(limits__cpu="1", requests__memory="1Gi"))
    assert await refusal(lab, POD, lab.pod("p")) == (
        'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: web;'
        " requests.memory for: web"
    )


async def test_each_quota_for_itself(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota("best", scopes=["BestEffort"], pods="1"))
    await lab.create(RESOURCE_QUOTA, quota("rest", scopes=["NotBestEffort"], pods="1"))
    await lab.create(POD, lab.pod("a"))
    await lab.create(POD, asking(lab, "b", cpu="1"))
    assert (await used(lab, "best"), await used(lab, "rest")) == ({"pods": "1"}, {"pods": "1"})
    assert "exceeded quota: best" in await refusal(lab, POD, lab.pod("c"))
    assert "exceeded quota: rest" in await refusal(lab, POD, asking(lab, "d", cpu="1"))
    short = {**lab.pod("e"), "spec": {**lab.pod("e")["spec"], "activeDeadlineSeconds": 5}}
    assert "exceeded quota: best" in await refusal(lab, POD, short)


async def test_any_kind_is_counted(lab: Any) -> None:
    await lab.create(
        RESOURCE_QUOTA,
        quota(**{"count/deployments.apps": "1", "configmaps": "1", "services.nodeports": "1"}),
    )
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    assert await refusal(lab, DEPLOYMENT, lab.deployment("e")) == (
        'deployments.apps "e" is forbidden: exceeded quota: q, requested:'
        " count/deployments.apps=1, used: count/deployments.apps=1, limited:"
        " count/deployments.apps=1"
    )
    await lab.create(CONFIG_MAP, lab.config_map("m"))
    assert "exceeded quota" in await refusal(lab, CONFIG_MAP, lab.config_map("n"))
    await lab.create(SERVICE, lab.service("s"))
    two = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    with pytest.raises(ApiError, match=r"exceeded quota: q, requested: services\.nodeports=2"):
        await lab.patch(SERVICE, "s", {"spec": {"type": "NodePort", "ports": two}})
    await lab.patch(SERVICE, "s", {"spec": {"type": "NodePort"}})
    assert (await used(lab))["services.nodeports"] == "1"


async def test_a_larger_quota_lets_more_in(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(pods="0"))
    assert "limited: pods=0" in await refusal(lab, POD, lab.pod("a"))
    await lab.patch(RESOURCE_QUOTA, "q", {"spec": {"hard": {"pods": "1"}}})
    await lab.create(POD, lab.pod("a"))
    assert (await lab.get(RESOURCE_QUOTA, "q"))["status"]["hard"] == {"pods": "1"}
    await lab.delete(RESOURCE_QUOTA, "q")
    await lab.create(POD, lab.pod("b"))


async def test_a_dry_run_takes_no_place(lab: Any) -> None:
    await lab.create(RESOURCE_QUOTA, quota(pods="1"))
    await lab.create(POD, lab.pod("a"), dry_run=True)
    assert await used(lab) == {"pods": "0"}


def test_a_claim_counts_for_its_class() -> None:
    spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}
    usage = usage_of(PERSISTENT_VOLUME_CLAIM, {"spec": spec})
    assert {name: str(amount) for name, amount in usage.items()} == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }
