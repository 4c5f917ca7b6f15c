"""Scheduler and controllers together, on the real registry."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    REPLICA_SET,
    SERVICE,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
)
from netlab.errors import ApiError
from netlab.scheduler.run import SELECTED_NODE


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def deployment(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
    }


def service() -> dict[str, Any]:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {"metadata": {"name": "web"}, "spec": spec}


async def exists(lab: Any, kind: Any, namespace: str | None, name: str) -> Any:
    async def check() -> Any:
        try:
            return await lab.client.get(kind, namespace, name)
        except ApiError:
            return None

    return await lab.eventually(check)


async def test_every_namespace_has_its_account_and_the_authority(lab: Any) -> None:
    await lab.client.create(NAMESPACE, None, {"metadata": {"name": "shop"}})
    for namespace in ("default", "kube-system", "shop"):
        await exists(lab, SERVICE_ACCOUNT, namespace, "default")
        ca = await exists(lab, CONFIG_MAP, namespace, "kube-root-ca.crt")
        assert ca["data"] == {"ca.crt": "CA"}


async def test_a_pod_is_bound_within_milliseconds(lab: Any, node0: None) -> None:
    begin = time.perf_counter()
    await lab.client.create(POD, "default", pod("one"))
    bound = await lab.eventually(lambda: bound_to(lab, "one"))
    assert time.perf_counter() - begin < 0.5
    assert bound["spec"]["nodeName"] == "node0"

    async def told() -> Any:
        events = (await lab.client.list(EVENT, "default")).items
        return [e["message"] for e in events if e["reason"] == "Scheduled"]

    assert await lab.eventually(told) == ["Successfully assigned default/one to node0"]


async def bound_to(lab: Any, name: str) -> Any:
    obj = await lab.client.get(POD, "default", name)
    return obj if obj["spec"].get("nodeName") else None


async def test_a_pod_waits_for_a_node_and_says_so(lab: Any) -> None:
    await exists(lab, SERVICE_ACCOUNT, "default", "default")
    await lab.client.create(POD, "default", pod("one"))

    async def refused() -> Any:
        obj = await lab.client.get(POD, "default", "one")
        return [c for c in obj["status"].get("conditions", []) if c["type"] == "PodScheduled"]

    (condition,) = await lab.eventually(refused)
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert condition["message"] == "no nodes available to schedule pods"
    await lab.client.create(NODE, None, {"metadata": {"name": "node0"}})
    ready = [{"type": "Ready", "status": "True"}]
    status = {"status": {"conditions": ready, "allocatable": {"pods": "110"}}}
    await lab.client.patch(NODE, None, "node0", status, subresource="status")
    await lab.eventually(lambda: bound_to(lab, "one"))


def asking(name: str, cpu: str) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "resources": {"requests": {"cpu": cpu}}}
    return pod(name, containers=[container])


async def test_a_pod_that_leaves_makes_room(lab: Any, node0: None) -> None:
    await lab.client.create(POD, "default", asking("one", "3"))
    await lab.eventually(lambda: bound_to(lab, "one"))
    await lab.client.create(POD, "default", asking("two", "2"))

    async def refused() -> Any:
        obj = await lab.client.get(POD, "default", "two")
        return [c["message"] for c in obj["status"].get("conditions", [])]

    (message,) = await lab.eventually(refused)
    assert message.startswith("0/1 nodes are available: 1 Insufficient cpu. ")
    assert message.endswith("1 No preemption victims found for incoming pod.")
    await lab.client.patch(
        POD, "default", "one", {"status": {"phase": "Succeeded"}}, subresource="status"
    )
    await lab.eventually(lambda: bound_to(lab, "two"))


async def test_claims_learn_of_the_node_before_the_pod_is_bound(lab: Any, node0: None) -> None:
    late = {
        "metadata": {"name": "late"},
        "provisioner": "a.b/c",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    await lab.client.create(STORAGE_CLASS, None, late)
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "late",
        },
    }
    await lab.client.create(PERSISTENT_VOLUME_CLAIM, "default", claim)
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    await lab.client.create(POD, "default", pod("one", volumes=[volume]))

    async def told() -> Any:
        found = await lab.client.get(PERSISTENT_VOLUME_CLAIM, "default", "data")
        return (found["metadata"].get("annotations") or {}).get(SELECTED_NODE)

    assert await lab.eventually(told) == "node0"
    assert await bound_to(lab, "one") is None

    async def refusals() -> Any:
        events = (await lab.client.list(EVENT, "default")).items
        return [e["message"] for e in events if e["reason"] == "FailedScheduling"]

    # half bound is no reason to complain: the pod waits
    await lab.client.patch(
        PERSISTENT_VOLUME_CLAIM, "default", "data", {"spec": {"volumeName": "v"}}
    )
    bound = {"pv.kubernetes.io/bind-completed": "yes"}
    await lab.client.patch(
        PERSISTENT_VOLUME_CLAIM, "default", "data", {"metadata": {"annotations": bound}}
    )
    await lab.eventually(lambda: bound_to(lab, "one"))
    assert await refusals() == []


async def test_a_deployment_makes_a_hundred_bound_pods_in_a_second(lab: Any, node0: None) -> None:
    begin = time.perf_counter()
    await lab.client.create(DEPLOYMENT, "default", deployment(100))

    async def all_bound() -> bool:
        pods = (await lab.client.list(POD, "default")).items
        return len([p for p in pods if p["spec"].get("nodeName")]) == 100

    await lab.eventually(all_bound)
    took = time.perf_counter() - begin
    assert len((await lab.client.list(POD, "default")).items) == 100
    assert took < 4, took


async def test_scaling_down_and_deleting_leaves_nothing(lab: Any) -> None:
    await exists(lab, SERVICE_ACCOUNT, "default", "default")
    await lab.client.create(DEPLOYMENT, "default", deployment(3))

    async def size(wanted: int) -> bool:
        return len((await lab.client.list(POD, "default")).items) == wanted

    await lab.eventually(lambda: size(3))
    await lab.client.patch(DEPLOYMENT, "default", "web", {"spec": {"replicas": 1}})
    await lab.eventually(lambda: size(1))
    await lab.client.delete(DEPLOYMENT, "default", "web", propagation="Foreground")
    await lab.eventually(lambda: size(0))

    async def gone() -> bool:
        sets = (await lab.client.list(REPLICA_SET, "default")).items
        return not sets and not (await lab.client.list(DEPLOYMENT, "default")).items

    await lab.eventually(gone)


async def test_orphaning_keeps_the_pods(lab: Any) -> None:
    await exists(lab, SERVICE_ACCOUNT, "default", "default")
    await lab.client.create(DEPLOYMENT, "default", deployment(2))

    async def sets(count: int) -> Any:
        items = (await lab.client.list(REPLICA_SET, "default")).items
        return items if len(items) == count else None

    (rs,) = await lab.eventually(lambda: sets(1))
    await lab.eventually(lambda: pods(lab, 2))
    await lab.client.delete(REPLICA_SET, "default", rs["metadata"]["name"], propagation="Orphan")
    # the deployment makes the set anew, under the same name, and that adopts the pods
    await lab.eventually(lambda: reowned(lab, rs["metadata"]["uid"]))
    assert len((await lab.client.list(POD, "default")).items) == 2


async def pods(lab: Any, count: int) -> Any:
    items = (await lab.client.list(POD, "default")).items
    return items if len(items) == count else None


async def reowned(lab: Any, old_uid: str) -> bool:
    items = (await lab.client.list(POD, "default")).items
    owners = [p["metadata"].get("ownerReferences", [{}])[0].get("uid") for p in items]
    return all(owner and owner != old_uid for owner in owners)


async def test_a_namespace_is_emptied_and_goes(lab: Any) -> None:
    await lab.client.create(NAMESPACE, None, {"metadata": {"name": "shop"}})
    await exists(lab, SERVICE_ACCOUNT, "shop", "default")
    await lab.client.create(DEPLOYMENT, "shop", deployment(2))
    await lab.client.create(
        SERVICE,
        "shop",
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
    )

    async def slices() -> bool:
        return bool((await lab.client.list(ENDPOINT_SLICE, "shop")).items)

    await lab.eventually(slices)
    await lab.client.delete(NAMESPACE, None, "shop")

    async def gone() -> bool:
        try:
            await lab.client.get(NAMESPACE, None, "shop")
        except ApiError as error:
            return error.reason == "NotFound"
        return False

    await lab.eventually(gone)
    for kind in (POD, DEPLOYMENT, REPLICA_SET, SERVICE, ENDPOINT_SLICE, CONFIG_MAP):
        assert not (await lab.client.list(kind, "shop")).items


async def test_nothing_is_written_when_nothing_changes(lab: Any, node0: None) -> None:
    await lab.client.create(DEPLOYMENT, "default", deployment(2))
    await lab.client.create(
        SERVICE,
        "default",
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
    )
    await lab.eventually(lambda: pods(lab, 2))

    async def quiet() -> bool:
        """True when the store's version stands still for a moment."""
        first = (await lab.client.list(EVENT)).resource_version
        await asyncio.sleep(0.1)
        return first == (await lab.client.list(EVENT)).resource_version

    await lab.eventually(quiet)
