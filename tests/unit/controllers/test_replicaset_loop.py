"""ReplicaSets on a real registry: pods appear, are replaced, adopted, released."""

from __future__ import annotations

from typing import Any

from netlab.api.kinds import EVENT, POD, REPLICA_SET
from netlab.errors import ApiError


def replica_set(replicas: int = 3, **labels: str) -> dict[str, Any]:
    labels = labels or {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
    }


async def test_creates_exactly_the_missing_pods_while_the_informer_lags(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(replica_set(3))
        # the set arrives, but nothing the controller writes comes back for now
        cluster.api.hold()
        await cluster.settle()
        assert cluster.api.count("create", POD) == 3
        loop = cluster.manager._loops[0]
        for _ in range(3):
            loop.queue.add(("default", "web"))
            await cluster.settle()
        assert cluster.api.count("create", POD) == 3
        cluster.api.release()
        await cluster.settle()
        assert cluster.api.count("create", POD) == 3


async def test_deletes_exactly_the_surplus_while_the_informer_lags(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(replica_set(4))
        await cluster.settle()
        for n, pod in enumerate(cluster.api.find(POD)):
            cluster.run_pod(pod["metadata"]["name"], f"10.244.0.{n + 2}")
        await cluster.settle()
        cluster.api.put(replica_set(1))
        await cluster.settle(5)
        cluster.api.hold()
        await cluster.settle()
        cluster.manager._loops[0].queue.add(("default", "web"))
        await cluster.settle()
        assert cluster.api.count("delete", POD) == 3
        cluster.api.release()
        await cluster.settle()
        assert cluster.api.count("delete", POD) == 3


async def test_pod_shape_events_and_status(clusters: Any) -> None:
    async with clusters() as cluster:
        rs = cluster.api.put(replica_set(1))
        await cluster.settle()
        (pod,) = cluster.api.find(POD)
        assert pod["metadata"]["generateName"] == "web-"
        assert pod["metadata"]["labels"] == {"app": "web"}
        assert pod["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "web",
                "uid": rs["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        cluster.run_pod(pod["metadata"]["name"], "10.244.0.2")
        await cluster.settle()
        (rs,) = cluster.api.find(REPLICA_SET)
        assert rs["status"] == {
            "replicas": 1,
            "fullyLabeledReplicas": 1,
            "readyReplicas": 1,
            "availableReplicas": 1,
            "observedGeneration": 1,
        }
        events = [(e["reason"], e["message"]) for e in cluster.api.find(EVENT)]
        assert events == [("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")]


async def test_a_hundred_pods_take_no_time_but_their_writes(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(replica_set(100))
        await cluster.settle(2000)  # the clock does not move
        assert cluster.api.count("create", POD) == 100


async def test_replaces_deleted_and_ended_pods(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(replica_set(2))
        await cluster.settle()
        first, second = (pod["metadata"]["name"] for pod in cluster.api.find(POD))
        cluster.finish_pod(first)
        await cluster.settle()
        assert cluster.api.count("create", POD) == 3
        pod = cluster.api.objects["pods", "default", second]
        cluster.api.put({**pod, "status": {"phase": "Failed"}})
        await cluster.settle()
        assert cluster.api.count("create", POD) == 4


async def test_adopts_an_orphan_and_releases_a_relabelled_pod(clusters: Any) -> None:
    async with clusters() as cluster:
        orphan = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            "status": {"phase": "Pending"},
        }
        cluster.api.put(orphan)
        cluster.api.put(replica_set(2))
        await cluster.settle()
        pods = {pod["metadata"]["name"]: pod for pod in cluster.api.find(POD)}
        assert len(pods) == 2
        assert pods["orphan"]["metadata"]["ownerReferences"][0]["name"] == "web"
        pods["orphan"]["metadata"]["labels"] = {"app": "debug"}
        cluster.api.put(pods["orphan"])
        await cluster.settle()
        pods = {pod["metadata"]["name"]: pod for pod in cluster.api.find(POD)}
        assert len(pods) == 3
        assert "ownerReferences" not in pods["orphan"]["metadata"]


async def test_a_refused_create_is_told_and_tried_again_later(clusters: Any) -> None:
    async with clusters() as cluster:
        refusal = ApiError(403, "Forbidden", "exceeded quota")
        cluster.api.refuse = lambda verb, kind, name: refusal if kind is POD else None
        cluster.api.put(replica_set(3))
        await cluster.settle()
        (rs,) = cluster.api.find(REPLICA_SET)
        (condition,) = rs["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
        assert condition["message"] == "exceeded quota"
        cluster.api.refuse = lambda verb, kind, name: None
        event = cluster.api.find(EVENT)[0]
        assert (event["type"], event["message"]) == ("Warning", "Error creating: exceeded quota")
        for _ in range(5):
            await cluster.clock.advance(0.1)
            await cluster.settle()
        (rs,) = cluster.api.find(REPLICA_SET)
        assert cluster.api.count("create", POD) == 3
        assert not rs["status"].get("conditions")


async def test_min_ready_seconds_delays_availability(clusters: Any) -> None:
    async with clusters() as cluster:
        rs = replica_set(1)
        rs["spec"]["minReadySeconds"] = 5
        cluster.api.put(rs)
        await cluster.settle()
        cluster.run_pod(cluster.api.find(POD)[0]["metadata"]["name"], "10.244.0.2")
        await cluster.settle()
        status = cluster.api.find(REPLICA_SET)[0]["status"]
        assert status["readyReplicas"] == 1
        assert "availableReplicas" not in status
        await cluster.clock.advance(5)
        await cluster.settle()
        assert cluster.api.find(REPLICA_SET)[0]["status"]["availableReplicas"] == 1
