"""The arithmetic of rolling updates."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.apps import Deployment, ReplicaSet
from netlab.api.pods import PodTemplateSpec
from netlab.controllers.deployment_template import template_hash
from netlab.controllers.rollout import MOST_PODS, bounds, new_set_size, resize, shrink_old_sets


def deployment(replicas: int, surge: int | str = "25%", missing: int | str = "25%") -> Deployment:
    rolling = {"maxSurge": surge, "maxUnavailable": missing}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return Deployment.parse({"spec": {"replicas": replicas, "strategy": strategy}})


def sized(name: str, size: int, available: int = 0, maximum: int = 0) -> ReplicaSet:
    annotations = {"deployment.kubernetes.io/max-replicas": str(maximum)} if maximum else {}
    return ReplicaSet.parse(
        {
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"replicas": size},
            "status": {"replicas": size, "availableReplicas": available},
        }
    )


@pytest.mark.parametrize(
    ("replicas", "surge", "missing", "expected"),
    [
        pytest.param(4, "25%", "25%", (1, 1), id="quarter of four"),
        pytest.param(3, "25%", "25%", (1, 0), id="surge rounds up, unavailable down"),
        pytest.param(1, "25%", "25%", (1, 0), id="one pod is replaced by surging"),
        pytest.param(10, 3, 2, (3, 2), id="numbers"),
        pytest.param(10, 0, 0, (0, 1), id="both zero would stand still"),
        pytest.param(2, 0, 5, (0, 2), id="not more than there are"),
        pytest.param(0, "25%", "25%", (0, 0), id="nothing wanted"),
        pytest.param(4, "9" * 400 + "%", 0, (MOST_PODS, 0), id="more than numbers say"),
        pytest.param(4, "9" * 18 + "%", 0, (MOST_PODS, 0), id="more than there are"),
    ],
)
def test_bounds(replicas: int, surge: Any, missing: Any, expected: tuple[int, int]) -> None:
    assert bounds(deployment(replicas, surge, missing)) == expected


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        pytest.param(10, None, [10], 3, id="first step is the surge"),
        pytest.param(10, 3, [8], 5, id="as room appears"),
        pytest.param(10, 10, [0], 10, id="done"),
        pytest.param(10, 3, [10], 3, id="no room"),
        pytest.param(4, 6, [], 4, id="never above the wanted number"),
    ],
)
def test_new_set_size(wanted: int, new: int | None, old: list[int], expected: int) -> None:
    present = None if new is None else sized("new", new)
    others = [sized(f"old{n}", size) for n, size in enumerate(old)]
    assert new_set_size(deployment(wanted, 3, 2), present, others) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param((3, 0), [(10, 10)], {"old0": 8}, id="down to the minimum"),
        pytest.param((3, 3), [(8, 8)], {"old0": 5}, id="as new pods become available"),
        pytest.param((5, 0), [(8, 8)], {}, id="nothing to spare"),
        pytest.param((3, 0), [(10, 4)], {"old0": 8}, id="unhealthy pods go within the room"),
        pytest.param((3, 3), [(2, 0), (6, 6)], {"old0": 0, "old1": 5}, id="unhealthy ones first"),
        pytest.param((3, 0), [(5, 2), (5, 2)], {"old0": 3}, id="room is used up once"),
        pytest.param((10, 10), [(0, 0)], {}, id="none left"),
    ],
)
def test_shrinking(new: tuple[int, int], old: list[tuple[int, int]], expected: Any) -> None:
    others = [sized(f"old{n}", *size) for n, size in enumerate(old)]
    sizes = shrink_old_sets(deployment(10, 3, 2), sized("new", *new), others)
    assert sizes == expected


def earlier(rs: ReplicaSet) -> int:
    return int(rs.metadata.annotations.get("deployment.kubernetes.io/max-replicas", 0))


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        pytest.param(15, sized("new", 5, maximum=13), [sized("old", 8, 8, 13)],
                     {"new": 7, "old": 11}, id="grow in proportion"),
        pytest.param(5, sized("new", 5, maximum=13), [sized("old", 8, 8, 13)],
                     {"new": 3, "old": 5}, id="shrink in proportion"),
        pytest.param(0, sized("new", 5, maximum=13), [sized("old", 8, 8, 13)],
                     {"new": 0, "old": 0}, id="to nothing"),
        pytest.param(4, sized("new", 3), [sized("old", 0)], {"new": 4}, id="one active set"),
        pytest.param(4, None, [sized("a", 0), sized("b", 0)], {"b": 4}, id="the latest of none"),
        pytest.param(5, sized("new", 5, 5), [sized("old", 2, 2)], {"old": 0}, id="new one is full"),
    ],
)  # fmt: skip
def test_resize(wanted: int, new: ReplicaSet | None, old: list[ReplicaSet], expected: Any) -> None:
    assert resize(deployment(wanted, 3, 2), new, old, earlier) == expected


def test_hashes_are_stable_and_spell_nothing() -> None:
    template = PodTemplateSpec(metadata={"labels": {"app": "web"}}, spec={"containers": []})
    again = PodTemplateSpec(
        metadata={"labels": {"app": "web"}, "creationTimestamp": None}, spec={"containers": []}
    )
    assert template_hash(template, 0) == template_hash(again, 0)
    assert template_hash(template, 0) != template_hash(template, 1)
    assert set(template_hash(template, 0)) <= set("bcdfghjklmnpqrstvwxz2456789")
