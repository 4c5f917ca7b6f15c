"""Which PersistentVolumes, claims and classes are refused, and how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netlab.api.defaults import apply_defaults
from netlab.api.kinds import (
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
    Kind,
)
from netlab.api.tables import table_for
from netlab.api.validation import validate_create, validate_update
from netlab.api.view import Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BORN = (NOW - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")

VOLUME_SPEC: Object = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
    "hostPath": {"path": "/data"},
}
CLAIM_SPEC: Object = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "standard",
}
CLASS: Object = {"provisioner": "netlab.io/local-path"}


def whole(kind: Kind[Any], fields: Object) -> Object:
    meta: Object = {"name": "x", "creationTimestamp": BORN, "resourceVersion": "1", "uid": "u"}
    if kind.namespaced:
        meta["namespace"] = "shop"
    return apply_defaults(kind, {"metadata": meta, **fields})


def volume(**changes: Any) -> Object:
    spec = {**VOLUME_SPEC, **changes}
    return whole(PERSISTENT_VOLUME, {"spec": {k: v for k, v in spec.items() if v is not None}})


def claim(status: Object | None = None, **changes: Any) -> Object:
    spec = {**CLAIM_SPEC, **changes}
    fields: Object = {"spec": {k: v for k, v in spec.items() if v is not None}}
    return whole(PERSISTENT_VOLUME_CLAIM, {**fields, **({"status": status} if status else {})})


def storage_class(**changes: Any) -> Object:
    return whole(STORAGE_CLASS, {**CLASS, **changes})


MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
LOCAL_ERROR = "metadata.annotations: Required value: Local volume requires node affinity"
REFUSED: dict[str, tuple[Kind[Any], Object, list[str]]] = {
    "volume: fine": (PERSISTENT_VOLUME, volume(), []),
    "volume: no modes": (
        PERSISTENT_VOLUME,
        volume(accessModes=[]),
        ["spec.accessModes: Required value"],
    ),
    "volume: unknown mode": (
        PERSISTENT_VOLUME,
        volume(accessModes=["RWO"]),
        [f'spec.accessModes: Unsupported value: "RWO": supported values: {MODES}'],
    ),
    "volume: no capacity": (
        PERSISTENT_VOLUME,
        volume(capacity=None),
        ["spec.capacity: Required value"],
    ),
    "volume: nothing": (
        PERSISTENT_VOLUME,
        volume(capacity={"storage": "0"}),
        ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
    ),
    "volume: no source": (
        PERSISTENT_VOLUME,
        volume(hostPath=None),
        ["spec: Required value: must specify a volume type"],
    ),
    "volume: two sources": (
        PERSISTENT_VOLUME,
        volume(nfs={"server": "a", "path": "/"}),
        ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
    ),
    "volume: out of its path": (
        PERSISTENT_VOLUME,
        volume(hostPath={"path": "/a/../b"}),
        ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
    ),
    "volume: local": (
        PERSISTENT_VOLUME,
        volume(hostPath=None, local={"path": "/a"}),
        [LOCAL_ERROR],
    ),
    "volume: policy": (
        PERSISTENT_VOLUME,
        volume(persistentVolumeReclaimPolicy="Keep"),
        [
            'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": '
            'supported values: "Delete", "Recycle", "Retain"'
        ],
    ),
    "claim: fine": (PERSISTENT_VOLUME_CLAIM, claim(), []),
    "claim: no modes": (
        PERSISTENT_VOLUME_CLAIM,
        claim(accessModes=None),
        ["spec.accessModes: Required value: at least 1 access mode is required"],
    ),
    "claim: once per pod and more": (
        PERSISTENT_VOLUME_CLAIM,
        claim(accessModes=["ReadWriteOncePod", "ReadOnlyMany"]),
        ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    ),
    "claim: no size": (
        PERSISTENT_VOLUME_CLAIM,
        claim(resources={}),
        ["spec.resources[storage]: Required value"],
    ),
    "claim: negative": (
        PERSISTENT_VOLUME_CLAIM,
        claim(resources={"requests": {"storage": "-1"}}),
        ['spec.resources[storage]: Invalid value: "-1": must be greater than zero'],
    ),
    "claim: mode": (
        PERSISTENT_VOLUME_CLAIM,
        claim(volumeMode="Tape"),
        ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
    ),
    "class: fine": (STORAGE_CLASS, storage_class(), []),
    "class: no provisioner": (
        STORAGE_CLASS,
        storage_class(provisioner=""),
        ["provisioner: Required value"],
    ),
    "class: binding": (
        STORAGE_CLASS,
        storage_class(volumeBindingMode="Later"),
        [
            'volumeBindingMode: Unsupported value: "Later": '
            'supported values: "Immediate", "WaitForFirstConsumer"'
        ],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_new_objects(name: str) -> None:
    kind, obj, expected = REFUSED[name]
    assert [str(error) for error in validate_create(kind, obj)] == expected


BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
LARGER = {"requests": {"storage": "2Gi"}}
IMMUTABLE = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)
CHANGES: dict[str, tuple[Kind[Any], Object, Object, list[str]]] = {
    "claim: bound": (PERSISTENT_VOLUME_CLAIM, claim(), claim(volumeName="pv1"), []),
    "claim: class given later": (
        PERSISTENT_VOLUME_CLAIM,
        claim(storageClassName=None),
        claim(),
        [],
    ),
    "claim: another class": (
        PERSISTENT_VOLUME_CLAIM,
        claim(),
        claim(storageClassName="fast"),
        [IMMUTABLE],
    ),
    "claim: another volume": (
        PERSISTENT_VOLUME_CLAIM,
        claim(BOUND, volumeName="pv1"),
        claim(BOUND, volumeName="pv2"),
        [IMMUTABLE],
    ),
    "claim: larger": (
        PERSISTENT_VOLUME_CLAIM,
        claim(BOUND, volumeName="pv1"),
        claim(BOUND, volumeName="pv1", resources=LARGER),
        [],
    ),
    "claim: larger but not bound": (
        PERSISTENT_VOLUME_CLAIM,
        claim(),
        claim(resources=LARGER),
        [IMMUTABLE],
    ),
    "claim: smaller than it is": (
        PERSISTENT_VOLUME_CLAIM,
        claim(BOUND, volumeName="pv1"),
        claim(BOUND, volumeName="pv1", resources={"requests": {"storage": "1Mi"}}),
        ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    ),
    "volume: elsewhere": (
        PERSISTENT_VOLUME,
        volume(),
        volume(hostPath={"path": "/other"}),
        [
            "spec.persistentvolumesource: Forbidden: "
            "spec.persistentvolumesource is immutable after creation"
        ],
    ),
    "volume: larger, kept": (
        PERSISTENT_VOLUME,
        volume(),
        volume(capacity={"storage": "2Gi"}, persistentVolumeReclaimPolicy="Delete"),
        [],
    ),
    "class: another provisioner": (
        STORAGE_CLASS,
        storage_class(),
        storage_class(provisioner="x/y"),
        ["provisioner: Forbidden: updates to provisioner are forbidden."],
    ),
    "class: expansion": (
        STORAGE_CLASS,
        storage_class(),
        storage_class(allowVolumeExpansion=True),
        [],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name: str) -> None:
    kind, old, new, expected = CHANGES[name]
    assert [str(error) for error in validate_update(kind, old, new)] == expected


def cells(kind: Kind[Any], obj: Object) -> dict[str, Any]:
    table = table_for(kind, [obj], NOW)
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


def test_rows_of_volumes() -> None:
    obj = volume(
        accessModes=["ReadOnlyMany", "ReadWriteOnce"],
        claimRef={"namespace": "shop", "name": "data"},
        storageClassName="manual",
    )
    obj["status"] = {"phase": "Bound"}
    assert cells(PERSISTENT_VOLUME, obj) == {
        "Name": "x",
        "Capacity": "1Gi",
        "Access Modes": "RWO,ROX",
        "Reclaim Policy": "Retain",
        "Status": "Bound",
        "Claim": "shop/data",
        "StorageClass": "manual",
        "VolumeAttributesClass": "<unset>",
        "Reason": "",
        "Age": "5m",
        "VolumeMode": "Filesystem",
    }


def test_rows_of_claims() -> None:
    status = {"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]}
    row = cells(PERSISTENT_VOLUME_CLAIM, claim(status, volumeName="pv1"))
    assert [row[name] for name in ("Status", "Volume", "Capacity", "Access Modes")] == [
        "Bound",
        "pv1",
        "5Gi",
        "RWO",
    ]
    row = cells(PERSISTENT_VOLUME_CLAIM, claim())
    assert [row[name] for name in ("Status", "Volume", "Capacity", "Access Modes")] == [
        "Pending",
        "",
        "",
        "",
    ]
    going = claim()
    going["metadata"]["deletionTimestamp"] = BORN
    assert cells(PERSISTENT_VOLUME_CLAIM, going)["Status"] == "Terminating"


def test_rows_of_classes() -> None:
    obj = storage_class()
    obj["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    row = cells(STORAGE_CLASS, obj)
    assert row["Name"] == "x (default)"
    assert (row["ReclaimPolicy"], row["VolumeBindingMode"]) == ("Delete", "Immediate")
    assert row["AllowVolumeExpansion"] is False
