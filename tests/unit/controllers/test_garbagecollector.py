"""Who goes with whom: the garbage collector's decisions."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import DEPLOYMENT, POD, builtin_catalog
from netlab.api.meta import OwnerReference
from netlab.api.pods import Pod
from netlab.controllers.actions import Burst, Delete, Patch
from netlab.controllers.garbagecollector import Item, decide_garbage, owner_kind


def item(
    *owners: str, deleting: bool = False, finalizers: tuple[str, ...] = (), block: bool = True
) -> Item:
    metadata: dict[str, Any] = {
        "name": "p",
        "namespace": "default",
        "uid": "me",
        "resourceVersion": "5",
        "finalizers": list(finalizers),
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": uid,
                "uid": uid,
                "blockOwnerDeletion": block,
            }
            for uid in owners
        ],
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return Item(POD, Pod.parse({"metadata": metadata}))


def decide(subject: Item, **facts: Any) -> Any:
    known: dict[str, Any] = {"absent": (), "waiting": (), "dependents": ()} | facts
    return decide_garbage(subject, **known).actions


DELETIONS = [
    ("owner gone", item("a"), {"absent": {"a"}}, "Background"),
    ("both owners gone", item("a", "b"), {"absent": {"a", "b"}}, "Background"),
    ("owner waits", item("a"), {"waiting": {"a"}}, "Background"),
    ("owner waits, dependents of its own", item("a"),
     {"waiting": {"a"}, "dependents": [item("me")]}, "Foreground"),
    ("owner gone, orphan wanted", item("a", finalizers=("orphan",)), {"absent": {"a"}}, "Orphan"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "facts", "propagation"), [pytest.param(*row[1:], id=row[0]) for row in DELETIONS]
)
def test_deleted(subject: Item, facts: Any, propagation: str) -> None:
    (action,) = decide(subject, **facts)
    assert isinstance(action, Delete)
    assert (action.uid, action.propagation) == ("me", propagation)


LEFT_ALONE = [
    ("no owner", item(), {}),
    ("owner there", item("a"), {}),
    ("already being deleted", item("a", deleting=True), {"absent": {"a"}}),
    ("waits for a blocking dependent", item(deleting=True, finalizers=("foregroundDeletion",)),
     {"dependents": [item("me")]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "facts"), [pytest.param(*row[1:], id=row[0]) for row in LEFT_ALONE]
)
def test_left_alone(subject: Item, facts: Any) -> None:
    assert decide(subject, **facts) == ()


def test_one_of_two_owners_gone_is_struck_off() -> None:
    (action,) = decide(item("a", "b"), absent={"a"})
    assert isinstance(action, Patch)
    (kept,) = action.patch["metadata"]["ownerReferences"]
    assert kept["uid"] == "b"
    assert action.patch["metadata"]["resourceVersion"] == "5"


def test_foreground_ends_when_nothing_blocks() -> None:
    holder = item(deleting=True, finalizers=("x", "foregroundDeletion"))
    (action,) = decide(holder, dependents=[item("me", block=False)])
    assert action.patch["metadata"]["finalizers"] == ["x"]


def test_orphaning_releases_the_dependents_first() -> None:
    holder = item(deleting=True, finalizers=("orphan",))
    release, finish = decide(holder, dependents=[item("me"), item("me", "b")])
    assert isinstance(release, Burst)
    owners = [patch.patch["metadata"]["ownerReferences"] for patch in release.actions]  # type: ignore[union-attr]
    assert owners[0] is None
    assert [owner["uid"] for owner in owners[1]] == ["b"]
    assert finish.patch["metadata"]["finalizers"] is None


def test_a_circle_is_broken() -> None:
    waiting = item("me", deleting=True, finalizers=("foregroundDeletion",))
    unblock, action = decide(item("a"), waiting={"a"}, dependents=[waiting])
    assert "blockOwnerDeletion" not in unblock.patch["metadata"]["ownerReferences"][0]
    assert action.propagation == "Foreground"


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        pytest.param("apps/v1", "Deployment", DEPLOYMENT, id="served"),
        pytest.param("apps/v1beta1", "Deployment", DEPLOYMENT, id="older version"),
        pytest.param("v1", "Pod", POD, id="core"),
        pytest.param("example.org/v1", "Pod", None, id="another group"),
    ],
)
def test_owner_kind(version: str, kind: str, expected: Any) -> None:
    reference = OwnerReference(api_version=version, kind=kind, name="x", uid="u")
    assert owner_kind(builtin_catalog(), reference) is expected
