"""Binding claims and volumes: what is decided, and how the loops carry it out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from netlab.api.storage_marks import default_class
from netlab.api.volume_affinity import volume_fits_node
from netlab.api.volume_match import Place, best_volume, mismatch
from netlab.controllers.actions import Decision, Note, Patch
from netlab.controllers.persistentvolume import StorageWorld, decide_claim, decide_volume
from netlab.controllers.volumeprotection import (
    by_claim,
    decide_claim_protection,
    decide_volume_protection,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUND_MARKS = {"pv.kubernetes.io/bind-completed": "yes"}


def claim(
    status: dict[str, Any] | None = None, *, annotations: dict[str, str] | None = None, **spec: Any
) -> PersistentVolumeClaim:
    meta = {
        "name": "data",
        "namespace": "shop",
        "uid": "c1",
        "resourceVersion": "5",
        "annotations": annotations or {},
    }
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "manual",
        **spec,
    }
    return PersistentVolumeClaim.parse(
        {"metadata": meta, "spec": spec, "status": status or {"phase": "Pending"}}
    )


def volume(
    name: str = "pv1",
    phase: str = "Available",
    *,
    size: str = "1Gi",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> PersistentVolume:
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "labels": labels or {},
        "annotations": annotations or {},
    }
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": size},
        "storageClassName": "manual",
        "hostPath": {"path": "/x"},
        **spec,
    }
    return PersistentVolume.parse({"metadata": meta, "spec": spec, "status": {"phase": phase}})


def storage_class(
    name: str, provisioner: str, mode: str = "Immediate", **meta: Any
) -> StorageClass:
    return StorageClass.parse(
        {
            "metadata": {"name": name, **meta},
            "provisioner": provisioner,
            "volumeBindingMode": mode,
        }
    )


OWN = {"namespace": "shop", "name": "data", "uid": "c1"}
STRANGER = {"namespace": "shop", "name": "other", "uid": "c9"}
RESERVED = {"namespace": "shop", "name": "data"}
LOCAL = storage_class("local", "netlab.io/local-path", "WaitForFirstConsumer")
AT_ONCE = storage_class("at-once", "netlab.io/local-path")
BY_HAND = storage_class("by-hand", "kubernetes.io/no-provisioner", "WaitForFirstConsumer")
CLOUD = storage_class("cloud", "example.com/disk")


def world(*volumes: PersistentVolume, users: tuple[Pod, ...] = ()) -> StorageWorld:
    by_name = {each.metadata.name: each for each in volumes}
    classes = {each.metadata.name: each for each in (LOCAL, AT_ONCE, BY_HAND, CLOUD)}
    labels = {"node0": {"kubernetes.io/hostname": "node0"}}
    return StorageWorld(volumes, by_name.get, classes, labels.get, users)


def told(decision: Decision) -> list[tuple[str, str]]:
    return [(a.reason, a.message) for a in decision.actions if isinstance(a, Note)]


def written(decision: Decision) -> list[tuple[str, str]]:
    return [
        (a.kind.singular, a.subresource or "spec") for a in decision.actions if isinstance(a, Patch)
    ]


WHOLE_BINDING = [
    ("persistentvolume", "spec"),
    ("persistentvolume", "status"),
    ("persistentvolumeclaim", "spec"),
    ("persistentvolumeclaim", "status"),
]

# -- matching ---------------------------------------------------------------------------------

NODE_ONE = {
    "required": {
        "nodeSelectorTerms": [
            {
                "matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1"]}
                ]
            }
        ]
    }
}
MATCHES: dict[str, tuple[PersistentVolumeClaim, list[PersistentVolume], str | None]] = {
    "the smallest that is large enough": (
        claim(),
        [volume("a", size="5Gi"), volume("b", size="2Gi"), volume("c", size="500Mi")],
        "b",
    ),
    "the fewest access modes": (
        claim(),
        [volume("a", accessModes=["ReadWriteOnce", "ReadOnlyMany"]), volume("b", size="9Gi")],
        "b",
    ),
    "another class": (claim(), [volume(storageClassName="fast")], None),
    "no class wanted": (claim(storageClassName=""), [volume(storageClassName="")], "pv1"),
    "another access mode": (claim(accessModes=["ReadWriteMany"]), [volume()], None),
    "labels that match": (
        claim(selector={"matchLabels": {"disk": "ssd"}}),
        [volume("a"), volume("b", labels={"disk": "ssd"})],
        "b",
    ),
    "taken": (claim(), [volume(phase="Bound", claimRef=STRANGER)], None),
    "released": (claim(), [volume(phase="Released", claimRef=STRANGER)], None),
    "kept for this claim": (claim(), [volume("a"), volume("b", claimRef=RESERVED)], "b"),
    "kept for another of its name": (
        claim(),
        [volume(claimRef={**RESERVED, "uid": "old"})],
        None,
    ),
    "not looked at yet": (claim(), [volume(phase="Pending")], None),
}


@pytest.mark.parametrize("name", MATCHES)
def test_the_volume_for_a_claim(name: str) -> None:
    wanted, volumes, expected = MATCHES[name]
    found = best_volume(wanted, volumes)
    assert (found.metadata.name if found else None) == expected


def test_a_volume_is_chosen_for_a_node() -> None:
    far = volume(nodeAffinity=NODE_ONE)
    here, there = Place("node0", {"kubernetes.io/hostname": "node0"}), Place("node1", {})
    assert best_volume(claim(), [far], place=here) is None
    labelled = Place("node1", {"kubernetes.io/hostname": "node1"})
    assert best_volume(claim(), [far], place=labelled) is far
    assert best_volume(claim(), [volume()], wait_for_node=True) is None
    assert best_volume(claim(), [volume(claimRef=RESERVED)], wait_for_node=True) is not None
    assert not volume_fits_node(far, there.name, there.labels)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": "1Mi"}, "requested PV is too small"),
        ({"storageClassName": "x"}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, "incompatible volumeMode"),
        ({"accessModes": ["ReadOnlyMany"]}, "incompatible accessMode"),
        ({}, None),
    ],
)
def test_a_named_volume_may_not_fit(fields: dict[str, Any], expected: str | None) -> None:
    assert mismatch(claim(), volume(**fields)) == expected


def test_the_default_class_is_the_youngest_of_those_marked() -> None:
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    old = storage_class("a", "x", annotations=mark, creationTimestamp="2026-01-01T00:00:00Z")
    new = storage_class("b", "x", annotations=mark, creationTimestamp="2026-01-02T00:00:00Z")
    assert default_class([old, new, LOCAL]) is new
    assert default_class([LOCAL]) is None


# -- claims -----------------------------------------------------------------------------------


def test_a_binding_is_four_writes_in_order() -> None:
    decision = decide_claim(claim(), world(volume()), NOW)
    assert written(decision) == WHOLE_BINDING
    first = decision.actions[0]
    assert isinstance(first, Patch)
    assert first.patch["spec"]["claimRef"]["uid"] == "c1"
    assert first.patch["metadata"]["resourceVersion"] == "7"


def test_a_binding_cut_short_is_completed() -> None:
    half = volume(phase="Bound", claimRef=OWN)
    assert written(decide_claim(claim(), world(half), NOW)) == WHOLE_BINDING[2:]
    bound = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    whole = claim(bound, annotations=BOUND_MARKS, volumeName="pv1")
    assert decide_claim(whole, world(half), NOW) == Decision()
    assert written(decide_claim(whole, world(volume()), NOW)) == WHOLE_BINDING[:2]


def test_a_larger_volume_is_told_in_the_claim() -> None:
    status = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    whole = claim(status, annotations=BOUND_MARKS, volumeName="pv1")
    larger = volume(phase="Bound", claimRef=OWN, size="2Gi")
    assert written(decide_claim(whole, world(larger), NOW)) == [("persistentvolumeclaim", "status")]


WAITING_POD = Pod.parse({"metadata": {"name": "web", "namespace": "shop"}})
UNBOUND: dict[str, tuple[PersistentVolumeClaim, StorageWorld, tuple[str, str]]] = {
    "no class at all": (
        claim(storageClassName=""),
        world(),
        (
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
        ),
    ),
    "no consumer": (
        claim(storageClassName="local"),
        world(),
        ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
    ),
    "a consumer without a node": (
        claim(storageClassName="local"),
        world(users=(WAITING_POD,)),
        ("WaitForPodScheduled", "waiting for pod web to be scheduled"),
    ),
    "a class that does not exist": (
        claim(storageClassName="typo"),
        world(),
        ("ProvisioningFailed", 'storageclass.storage.k8s.io "typo" not found'),
    ),
    "a class of volumes made by hand": (
        claim(
            storageClassName="by-hand", annotations={"volume.kubernetes.io/selected-node": "node0"}
        ),
        world(),
        ("ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
    ),
    "a volume that is too small": (
        claim(volumeName="pv1"),
        world(volume(size="1Mi")),
        ("VolumeMismatch", 'Cannot bind to requested volume "pv1": requested PV is too small'),
    ),
    "a volume of somebody else": (
        claim(volumeName="pv1"),
        world(volume(claimRef=STRANGER)),
        ("FailedBinding", 'volume "pv1" already bound to a different claim.'),
    ),
    "its volume is gone": (
        claim({"phase": "Bound"}, annotations=BOUND_MARKS, volumeName="pv1"),
        world(),
        ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
    ),
    "its volume is another's": (
        claim({"phase": "Bound"}, annotations=BOUND_MARKS, volumeName="pv1"),
        world(volume(claimRef=STRANGER)),
        (
            "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
        ),
    ),
}


@pytest.mark.parametrize("name", UNBOUND)
def test_what_a_claim_is_told(name: str) -> None:
    subject, around, expected = UNBOUND[name]
    assert told(decide_claim(subject, around, NOW)) == [expected]


def test_a_claim_is_handed_to_its_provisioner_once() -> None:
    decision = decide_claim(claim(storageClassName="at-once"), world(), NOW)
    (patch,) = decision.actions
    assert isinstance(patch, Patch)
    marks = patch.patch["metadata"]["annotations"]
    assert marks["volume.kubernetes.io/storage-provisioner"] == "netlab.io/local-path"
    again = claim(storageClassName="at-once", annotations=marks)
    assert decide_claim(again, world(), NOW) == Decision()


def test_a_claim_with_a_node_is_provisioned_there() -> None:
    marks = {"volume.kubernetes.io/selected-node": "node0"}
    chosen = claim(storageClassName="local", annotations=marks)
    assert written(decide_claim(chosen, world(), NOW)) == [("persistentvolumeclaim", "spec")]


def test_a_foreign_provisioner_is_waited_for() -> None:
    reason, message = told(decide_claim(claim(storageClassName="cloud"), world(), NOW))[0]
    assert reason == "ExternalProvisioning"
    assert "'example.com/disk'" in message


# -- volumes ----------------------------------------------------------------------------------

MADE = {"pv.kubernetes.io/provisioned-by": "netlab.io/local-path"}
DELETE = {"persistentVolumeReclaimPolicy": "Delete"}
PHASES: dict[str, tuple[PersistentVolume, PersistentVolumeClaim | None, str | None]] = {
    "new": (volume(phase="Pending"), None, "Available"),
    "kept for a claim": (volume(phase="Pending", claimRef=RESERVED), None, "Available"),
    "bound": (volume(claimRef=OWN), claim(volumeName="pv1"), "Bound"),
    "being bound": (volume(claimRef=OWN), claim(), None),
    "its claim is gone": (volume(phase="Bound", claimRef=OWN), None, "Released"),
    "a new claim of the old name": (
        volume(phase="Bound", claimRef={**OWN, "uid": "old"}),
        claim(),
        "Released",
    ),
    "left for its provisioner": (
        volume(phase="Bound", claimRef=OWN, annotations=MADE, **DELETE),
        None,
        "Released",
    ),
    "nobody can delete it": (volume(phase="Bound", claimRef=OWN, **DELETE), None, "Failed"),
    "nobody can recycle it": (
        volume(phase="Bound", claimRef=OWN, persistentVolumeReclaimPolicy="Recycle"),
        None,
        "Failed",
    ),
    "failed stays failed": (volume(phase="Failed", claimRef=OWN, **DELETE), None, None),
    "made for a claim that got another": (
        volume(phase="Bound", claimRef=OWN, annotations=MADE, **DELETE),
        claim(volumeName="other"),
        "Released",
    ),
}


@pytest.mark.parametrize("name", PHASES)
def test_phases_of_a_volume(name: str) -> None:
    subject, owner, expected = PHASES[name]
    patches = [a for a in decide_volume(subject, owner, NOW).actions if isinstance(a, Patch)]
    phases = [a.patch["status"]["phase"] for a in patches if a.subresource == "status"]
    assert phases == ([] if expected is None else [expected])


def test_a_volume_of_the_controllers_choice_is_let_go() -> None:
    ours = volume(
        phase="Bound", claimRef=OWN, annotations={"pv.kubernetes.io/bound-by-controller": "yes"}
    )
    first = decide_volume(ours, claim(volumeName="other"), NOW).actions[0]
    assert isinstance(first, Patch)
    assert first.patch["spec"] == {"claimRef": None}


# -- protection -------------------------------------------------------------------------------


def marked(obj: Any, *finalizers: str, deleted: bool = True) -> Any:
    meta = {
        **obj.metadata.to_object(),
        "finalizers": list(finalizers),
        "deletionTimestamp": "2026-01-01T00:00:00Z" if deleted else None,
    }
    return type(obj).parse({**obj.to_object(), "metadata": meta})


def test_a_claim_goes_when_no_pod_on_a_node_uses_it() -> None:
    going = marked(claim(), "kubernetes.io/pvc-protection", "x")
    running = Pod.parse({"metadata": {"name": "p"}, "spec": {"nodeName": "node0"}})
    assert decide_claim_protection(going, [running]) == Decision()
    (patch,) = decide_claim_protection(going, [WAITING_POD]).actions
    assert isinstance(patch, Patch)
    assert patch.patch["metadata"]["finalizers"] == ["x"]


def test_a_bound_volume_stays() -> None:
    finalizer = "kubernetes.io/pv-protection"
    assert decide_volume_protection(marked(volume(phase="Bound"), finalizer)) == Decision()
    assert decide_volume_protection(marked(volume(phase="Released"), finalizer)).actions
    missing = decide_volume_protection(marked(volume(), deleted=False)).actions[0]
    assert isinstance(missing, Patch)
    assert missing.patch["metadata"]["finalizers"] == [finalizer]


def test_pods_are_found_by_their_claims() -> None:
    spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    pod = Pod.parse({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec})
    assert list(by_claim(pod)) == ["shop/data"]
