"""The order in which a ReplicaSet gives up its pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from netlab.api.pods import Pod
from netlab.controllers.replicaset import choose_victims

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(
    name: str,
    *,
    node: str = "node0",
    phase: str = "Running",
    ready_s: int | None = 600,
    restarts: int = 0,
    age_s: int = 600,
    cost: str | None = None,
) -> Pod:
    conditions = []
    if ready_s is not None:
        since = (NOW - timedelta(seconds=ready_s)).isoformat()
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    metadata: dict[str, Any] = {
        "name": name,
        "uid": name,
        "creationTimestamp": (NOW - timedelta(seconds=age_s)).isoformat(),
    }
    if cost is not None:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    status = {
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": [{"name": "c", "restartCount": restarts}],
    }
    return Pod.parse({"metadata": metadata, "spec": {"nodeName": node}, "status": status})


KEPT = pod("kept")
ROWS = [
    ("not on a node", pod("victim", node="")),
    ("pending", pod("victim", phase="Pending")),
    ("not ready", pod("victim", ready_s=None)),
    ("cheaper", pod("victim", cost="-5")),
    ("ready for a shorter time", pod("victim", ready_s=60)),
    ("more restarts", pod("victim", restarts=3)),
    ("younger", pod("victim", age_s=60)),
]


@pytest.mark.parametrize("victim", [pytest.param(row[1], id=row[0]) for row in ROWS])
def test_goes_first(victim: Pod) -> None:
    for pods in ([KEPT, victim], [victim, KEPT]):
        assert choose_victims(pods, pods, NOW)[0].metadata.name == "victim"


def test_the_fuller_node_gives_first() -> None:
    alone = pod("a-alone", node="node1")
    pair = [pod("b", node="node0"), pod("c", node="node0")]
    assert choose_victims([alone, *pair], [alone, *pair], NOW)[-1].metadata.name == "a-alone"


def test_not_ready_outweighs_what_counts_less() -> None:
    unready, ready = pod("a", ready_s=None), pod("b", ready_s=0, restarts=9, cost="-9")
    assert choose_victims([ready, unready], [], NOW)[0].metadata.name == "a"


def test_a_small_difference_in_age_does_not_decide() -> None:
    older, younger = pod("z", age_s=601, restarts=1), pod("a", age_s=600)
    assert choose_victims([older, younger], [], NOW)[0].metadata.name == "z"


def test_a_faulty_cost_counts_as_none() -> None:
    assert (
        choose_victims([pod("a", cost="cheap"), pod("b", cost="-1")], [], NOW)[0].metadata.name
        == "b"
    )
