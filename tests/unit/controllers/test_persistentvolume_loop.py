"""Claims and volumes find each other through the API, whatever comes first."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from netlab.api.view import Object

PV: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "pv1"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/x"},
        "persistentVolumeReclaimPolicy": "Retain",
    },
    "status": {"phase": "Pending"},
}
PVC: Object = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "default"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
    },
    "status": {"phase": "Pending"},
}


def phase(cluster: Any, kind: Any) -> str:
    found = cluster.api.find(kind)
    return str(found[0]["status"]["phase"]) if found else "gone"


async def pause(cluster: Any) -> None:
    # a write that met a newer object is tried again a moment later
    for _ in range(5):
        await cluster.settle()
        await cluster.clock.advance(0.1)
    await cluster.settle()


@pytest.mark.parametrize("order", [(PV, PVC), (PVC, PV)], ids=["volume first", "claim first"])
async def test_bound_and_released(clusters: Any, order: tuple[Object, Object]) -> None:
    async with clusters() as cluster:
        for obj in order:
            cluster.api.put(obj)
            await cluster.settle(20)
        await pause(cluster)
        assert phase(cluster, PERSISTENT_VOLUME_CLAIM) == "Bound"
        assert phase(cluster, PERSISTENT_VOLUME) == "Bound"
        (bound,) = cluster.api.find(PERSISTENT_VOLUME_CLAIM)
        assert bound["spec"]["volumeName"] == "pv1"
        assert bound["status"]["capacity"] == {"storage": "1Gi"}
        assert bound["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        await cluster.api.delete(PERSISTENT_VOLUME_CLAIM, "default", "data")
        await pause(cluster)
        assert phase(cluster, PERSISTENT_VOLUME_CLAIM) == "gone"
        assert phase(cluster, PERSISTENT_VOLUME) == "Released"


async def test_two_claims_never_share_a_volume(clusters: Any) -> None:
    async with clusters() as cluster:
        for name in ("a", "b", "c"):
            cluster.api.put({**PVC, "metadata": {"name": name, "namespace": "default"}})
        cluster.api.put(PV)
        cluster.api.put({**PV, "metadata": {"name": "pv2"}})
        await pause(cluster)
        claims = cluster.api.find(PERSISTENT_VOLUME_CLAIM)
        taken = sorted(c["spec"].get("volumeName", "") for c in claims)
        assert taken == ["", "pv1", "pv2"]
        owners = {v["spec"]["claimRef"]["name"] for v in cluster.api.find(PERSISTENT_VOLUME)}
        assert len(owners) == 2
