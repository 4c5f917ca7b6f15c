"""Deployments on a real registry: roll out, scale, pause, go back, get stuck."""

from __future__ import annotations

import copy
from typing import Any

from netlab.api.kinds import DEPLOYMENT, EVENT, POD, REPLICA_SET


def deployment(replicas: int = 3, image: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            **spec,
        },
    }


def sets(cluster: Any) -> dict[str, tuple[str, int]]:
    """Revision -> (image, size)."""
    return {
        rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: (
            rs["spec"]["template"]["spec"]["containers"][0]["image"],
            rs["spec"]["replicas"],
        )
        for rs in cluster.api.find(REPLICA_SET)
    }


def conditions(cluster: Any) -> dict[str, tuple[str, str]]:
    (obj,) = cluster.api.find(DEPLOYMENT)
    return {c["type"]: (c["status"], c["reason"]) for c in obj["status"]["conditions"]}


def running(cluster: Any) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in cluster.api.find(POD)
        if pod.get("status", {}).get("phase") == "Running"
        and "deletionTimestamp" not in pod["metadata"]
    ]


async def play(cluster: Any, *, start: bool = True) -> None:
    """Be the kubelet until nothing changes: start new pods, end deleted ones."""
    for _ in range(30):
        await cluster.settle()
        moved = False
        for pod in cluster.api.find(POD):
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"]:
                cluster.finish_pod(name)
                moved = True
            elif start and pod["status"]["phase"] == "Pending":
                cluster.run_pod(name, f"10.244.0.{len(running(cluster)) + 2}")
                moved = True
        if not moved:
            return


async def test_a_new_deployment_becomes_available(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment())
        await cluster.settle()
        assert conditions(cluster) == {
            "Progressing": ("True", "ReplicaSetUpdated"),
            "Available": ("False", "MinimumReplicasUnavailable"),
        }
        await play(cluster)
        (rs,) = cluster.api.find(REPLICA_SET)
        (obj,) = cluster.api.find(DEPLOYMENT)
        hash_value = rs["metadata"]["labels"]["pod-template-hash"]
        assert rs["metadata"]["name"] == f"web-{hash_value}"
        assert rs["spec"]["selector"]["matchLabels"]["pod-template-hash"] == hash_value
        assert 8 <= len(hash_value) <= 10
        assert obj["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        counts = {k: v for k, v in obj["status"].items() if k != "conditions"}
        assert counts == {
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
        }
        assert conditions(cluster) == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }
        messages = [e["message"] for e in cluster.api.find(EVENT) if "replica set" in e["message"]]
        assert messages == [f"Scaled up replica set {rs['metadata']['name']} from 0 to 3"]


async def test_a_rolling_update_stays_within_its_bounds(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment(4, strategy={
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1},
        }))  # fmt: skip
        await play(cluster)
        cluster.api.put(deployment(4, image="v2"))
        seen = set()
        for _ in range(40):
            await cluster.settle(150)
            alive = [p for p in cluster.api.find(POD) if "deletionTimestamp" not in p["metadata"]]
            seen.add((len(alive), len(running(cluster))))
            starting = [p for p in alive if p["status"]["phase"] == "Pending"]
            ending = [p for p in cluster.api.find(POD) if "deletionTimestamp" in p["metadata"]]
            if starting:
                cluster.run_pod(starting[0]["metadata"]["name"], "10.244.0.9")
            elif ending:
                cluster.finish_pod(ending[0]["metadata"]["name"])
        assert max(total for total, _ in seen) <= 5
        assert min(ready for _, ready in seen) >= 3
        assert sets(cluster) == {"1": ("v1", 0), "2": ("v2", 4)}
        assert conditions(cluster)["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_recreate_waits_until_the_old_pods_are_gone(clusters: Any) -> None:
    async with clusters() as cluster:
        recreate = {"type": "Recreate", "rollingUpdate": None}
        cluster.api.put(deployment(2, strategy={"type": "Recreate"}))
        await play(cluster)
        cluster.api.put(deployment(2, image="v2", strategy=recreate))
        await cluster.settle()
        assert sets(cluster) == {"1": ("v1", 0)}
        await play(cluster)
        assert sets(cluster) == {"1": ("v1", 0), "2": ("v2", 2)}
        assert len(running(cluster)) == 2


async def test_going_back_reuses_the_old_set_with_a_new_revision(clusters: Any) -> None:
    async with clusters() as cluster:
        for image in ("v1", "v2", "v1"):
            cluster.api.put(deployment(1, image=image))
            await play(cluster)
        assert sets(cluster) == {"2": ("v2", 0), "3": ("v1", 1)}
        back = next(
            rs for rs in cluster.api.find(REPLICA_SET) if rs["spec"]["replicas"] == 1
        )  # fmt: skip
        history = back["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"]
        assert history == "1"


async def test_history_is_limited(clusters: Any) -> None:
    async with clusters() as cluster:
        for image in ("v1", "v2", "v3", "v4"):
            cluster.api.put(deployment(1, image=image, revisionHistoryLimit=1))
            await play(cluster)
        assert sets(cluster) == {"3": ("v3", 0), "4": ("v4", 1)}


async def test_a_paused_deployment_scales_but_does_not_roll(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment(2))
        await play(cluster)
        cluster.api.put(deployment(4, image="v2", paused=True))
        await play(cluster)
        assert sets(cluster) == {"1": ("v1", 4)}
        assert conditions(cluster)["Progressing"] == ("Unknown", "DeploymentPaused")
        cluster.api.put(deployment(4, image="v2", paused=False))
        await play(cluster)
        assert sets(cluster) == {"1": ("v1", 0), "2": ("v2", 4)}


async def test_scaling_amid_a_rollout_keeps_the_proportions(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment(10, strategy={
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2},
        }))  # fmt: skip
        await play(cluster)
        cluster.api.put(deployment(10, image="bad", strategy={
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2},
        }))  # fmt: skip
        await play(cluster, start=False)
        assert sets(cluster) == {"1": ("v1", 8), "2": ("bad", 5)}
        scaled = deployment(15, image="bad")
        del scaled["spec"]["strategy"]
        cluster.api.put(scaled)
        await play(cluster, start=False)
        # the example of the Kubernetes documentation: three of the five new ones go to the old set
        assert sets(cluster) == {"1": ("v1", 11), "2": ("bad", 7)}


async def test_a_rollout_that_stands_still_is_told(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment(1, progressDeadlineSeconds=60))
        await cluster.settle()
        await cluster.clock.advance(59)
        await cluster.settle()
        assert conditions(cluster)["Progressing"][0] == "True"
        await cluster.clock.advance(3)
        await cluster.settle()
        assert conditions(cluster)["Progressing"] == ("False", "ProgressDeadlineExceeded")
        (obj,) = cluster.api.find(DEPLOYMENT)
        (message,) = (
            c["message"] for c in obj["status"]["conditions"] if c["type"] == "Progressing"
        )
        assert message.endswith("has timed out progressing.")


async def test_a_taken_name_gives_another_hash(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(deployment(1))
        await cluster.settle()
        (rs,) = cluster.api.find(REPLICA_SET)
    async with clusters() as cluster:
        foreign = copy.deepcopy(rs)
        foreign["metadata"] = {"name": rs["metadata"]["name"], "namespace": "default"}
        foreign["spec"]["replicas"] = 0
        cluster.api.put(foreign)
        await cluster.settle()
        cluster.api.put(deployment(1))
        await cluster.settle()
        names = [obj["metadata"]["name"] for obj in cluster.api.find(REPLICA_SET)]
        assert len(names) == 2
        assert cluster.api.find(DEPLOYMENT)[0]["status"]["collisionCount"] == 1
