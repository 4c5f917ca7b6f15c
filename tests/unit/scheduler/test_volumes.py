"""Claims and where a pod may run."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.scheduler.filters import Context
from netlab.scheduler.volumes import (
    claims_are_not_taken,
    claims_are_usable,
    claims_to_place,
    volumes_are_reachable,
)

NODE = Node.parse({"metadata": {"name": "node0", "labels": {"kubernetes.io/hostname": "node0"}}})
CLASSES = {
    name: StorageClass.parse(
        {"metadata": {"name": name}, "provisioner": who, "volumeBindingMode": mode}
    )
    for name, who, mode in (
        ("wait", "netlab.io/local-path", "WaitForFirstConsumer"),
        ("by-hand", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        ("now", "netlab.io/local-path", "Immediate"),
    )
}


def pod(*claims: str, name: str = "web") -> Pod:
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return Pod.parse(
        {"metadata": {"name": name, "namespace": "shop"}, "spec": {"volumes": volumes}}
    )


def claim(
    phase: str = "Pending", meta: dict[str, Any] | None = None, **spec: Any
) -> PersistentVolumeClaim:
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if phase != "Pending" else {}
    resources = {"requests": {"storage": "1Gi"}}
    return PersistentVolumeClaim.parse(
        {
            "metadata": {
                "name": "data",
                "namespace": "shop",
                "annotations": annotations,
                **(meta or {}),
            },
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec},
            "status": {"phase": phase},
        }
    )


def volume(node: str, **spec: Any) -> PersistentVolume:
    requirement = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    terms = [{"matchExpressions": [requirement]}]
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "by-hand",
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        **spec,
    }
    return PersistentVolume.parse(
        {"metadata": {"name": "pv1"}, "spec": spec, "status": {"phase": "Available"}}
    )


def context(
    own: PersistentVolumeClaim | None, *volumes: PersistentVolume, others: tuple[Pod, ...] = ()
) -> Context:
    by_name = {each.metadata.name: each for each in volumes}
    return Context(
        pods_on=lambda node: others,
        claim=lambda namespace, name: own if name == "data" else None,
        volume=by_name.get,
        storage_class=CLASSES.get,
        volumes=lambda: volumes,
    )


PODS: dict[str, tuple[PersistentVolumeClaim | None, str | None]] = {
    "no such claim": (None, 'persistentvolumeclaim "data" not found'),
    "going": (
        claim("Bound", {"deletionTimestamp": "2026-01-01T00:00:00Z"}, volumeName="pv1"),
        'persistentvolumeclaim "data" is being deleted',
    ),
    "lost": (
        claim("Lost", volumeName="pv1"),
        'persistentvolumeclaim "data" bound to non-existent persistentvolume "pv1"',
    ),
    "not bound yet": (
        claim(storageClassName="now"),
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "without a class": (
        claim(storageClassName=""),
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "being bound to a volume": (
        claim(storageClassName="wait", volumeName="pv1"),
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    "waits for the pod": (claim(storageClassName="wait"), None),
    "bound": (claim("Bound", volumeName="pv1"), None),
}


@pytest.mark.parametrize("name", PODS)
def test_what_keeps_a_pod_from_every_node(name: str) -> None:
    own, expected = PODS[name]
    rejection = claims_are_usable(pod("data"), context(own))
    assert (rejection.reasons[0] if rejection else None) == expected


NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NODES: dict[str, tuple[PersistentVolumeClaim, tuple[PersistentVolume, ...], str | None]] = {
    "bound here": (claim("Bound", volumeName="pv1"), (volume("node0"),), None),
    "bound elsewhere": (
        claim("Bound", volumeName="pv1"),
        (volume("node1"),),
        "node(s) didn't match PersistentVolume's node affinity",
    ),
    "can be made": (claim(storageClassName="wait"), (), None),
    "made by hand here": (claim(storageClassName="by-hand"), (volume("node0"),), None),
    "made by hand elsewhere": (claim(storageClassName="by-hand"), (volume("node1"),), NO_VOLUME),
    "not made": (claim(storageClassName="by-hand"), (), NO_VOLUME),
}


@pytest.mark.parametrize("name", NODES)
def test_what_keeps_a_pod_from_a_node(name: str) -> None:
    own, volumes, expected = NODES[name]
    rejection = volumes_are_reachable(pod("data"), NODE, context(own, *volumes))
    assert (rejection.reasons[0] if rejection else None) == expected


def test_one_pod_alone_uses_a_read_write_once_pod_claim() -> None:
    alone = claim("Bound", accessModes=["ReadWriteOncePod"])
    other = pod("data", name="other")
    rejection = claims_are_not_taken(pod("data"), NODE, context(alone, others=(other,)))
    assert rejection is not None
    assert rejection.pods_in_the_way
    assert claims_are_not_taken(pod("data"), NODE, context(alone)) is None
    shared = context(claim("Bound"), others=(other,))
    assert claims_are_not_taken(pod("data"), NODE, shared) is None


def test_claims_that_must_learn_of_the_node() -> None:
    waiting = claim(storageClassName="wait")
    assert list(claims_to_place(pod("data", "data"), context(waiting))) == [waiting]
    assert list(claims_to_place(pod("data"), context(claim("Bound", volumeName="pv1")))) == []
