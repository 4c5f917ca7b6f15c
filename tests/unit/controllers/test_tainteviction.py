"""NoExecute taints: who goes, when, and who is spared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.controllers.actions import Delete, Note, Patch
from netlab.controllers.tainteviction import decide_evictions

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOT = {"key": "hot", "value": "very", "effect": "NoExecute"}


def node(*taints: dict[str, Any]) -> Node:
    return Node.parse({"metadata": {"name": "node0"}, "spec": {"taints": list(taints)}})


def pod(*tolerations: dict[str, Any], deleting: bool = False) -> Pod:
    meta: dict[str, Any] = {"name": "p", "namespace": "default", "uid": "u"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return Pod.parse({"metadata": meta, "spec": {"tolerations": list(tolerations)}})


def toleration(seconds: int | None = None, **more: Any) -> dict[str, Any]:
    base = {"key": "hot", "operator": "Exists", "effect": "NoExecute", **more}
    return base if seconds is None else base | {"tolerationSeconds": seconds}


AT_ONCE = {
    "tolerates nothing": (pod(), [HOT]),
    "tolerates another key": (pod(toleration(key="cold")), [HOT]),
    "tolerates another value": (pod(toleration(operator="Equal", value="mild")), [HOT]),
    "tolerates another effect": (pod(toleration(effect="NoSchedule")), [HOT]),
    "tolerates one of two": (pod(toleration()), [HOT, {**HOT, "key": "dark"}]),
    "tolerates it for no time": (pod(toleration(0)), [HOT]),
    "tolerates it for less than none": (pod(toleration(-5)), [HOT]),
}


@pytest.mark.parametrize(("subject", "taints"), AT_ONCE.values(), ids=AT_ONCE.keys())
def test_goes_at_once(subject: Pod, taints: list[Any]) -> None:
    found = decide_evictions(node(*taints), [subject], {}, NOW)
    note, patch, delete = found.decision.actions
    assert isinstance(note, Note)
    assert (note.reason, note.message) == (
        "TaintManagerEviction",
        "Marking for deletion Pod default/p",
    )
    assert isinstance(patch, Patch)
    (condition,) = patch.patch["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == (
        "DisruptionTarget",
        "DeletionByTaintManager",
    )
    assert isinstance(delete, Delete)
    assert (delete.uid, delete.grace_period_s) == ("u", None)


STAYS = {
    "no taint": (pod(), []),
    "a taint that only keeps new pods off": (pod(), [{**HOT, "effect": "NoSchedule"}]),
    "tolerates it for ever": (pod(toleration()), [HOT]),
    "tolerates its value": (pod(toleration(operator="Equal", value="very")), [HOT]),
    "tolerates everything": (pod({"operator": "Exists"}), [HOT]),
    "is going already": (pod(deleting=True), [HOT]),
}


@pytest.mark.parametrize(("subject", "taints"), STAYS.values(), ids=STAYS.keys())
def test_stays(subject: Pod, taints: list[Any]) -> None:
    found = decide_evictions(node(*taints), [subject], {}, NOW)
    assert found.decision.actions == ()
    assert found.decision.requeue_after_s is None
    assert found.since == {}


def test_the_shortest_toleration_counts_from_when_the_taint_was_seen() -> None:
    taints = [HOT, {**HOT, "key": "dark"}]
    subject = pod(toleration(300), toleration(60, key="dark"))
    first = decide_evictions(node(*taints), [subject], {}, NOW)
    assert first.decision.actions == ()
    assert first.decision.requeue_after_s == 60
    later = decide_evictions(node(*taints), [subject], first.since, NOW + timedelta(seconds=45))
    assert later.decision.requeue_after_s == 15
    last = decide_evictions(node(*taints), [subject], later.since, NOW + timedelta(seconds=60))
    assert isinstance(last.decision.actions[-1], Delete)


def test_a_taint_taken_away_in_time_spares_the_pod() -> None:
    subject = pod(toleration(60))
    first = decide_evictions(node(HOT), [subject], {}, NOW)
    (note,) = decide_evictions(node(), [subject], first.since, NOW).decision.actions
    assert isinstance(note, Note)
    assert note.message == "Cancelling deletion of Pod default/p"
    again = decide_evictions(node(), [subject], {}, NOW)
    assert again.decision.actions == ()
