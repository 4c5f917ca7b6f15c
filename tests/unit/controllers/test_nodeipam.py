"""Which part of the pods' range a node gets."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.kinds import NODE
from netlab.controllers.actions import NOTHING, Note, Patch
from netlab.controllers.nodeipam import decide_range, free_range

RANGE = IPv4Network("10.244.0.0/16")

FREE: dict[str, tuple[str, list[str], str | None]] = {
    "the first": ("10.244.0.0/16", [], "10.244.0.0/24"),
    "the next": ("10.244.0.0/16", ["10.244.0.0/24"], "10.244.1.0/24"),
    "one that was given back": (
        "10.244.0.0/16", ["10.244.0.0/24", "10.244.2.0/24"], "10.244.1.0/24",
    ),
    "beside a larger one": ("10.244.0.0/16", ["10.244.0.0/22"], "10.244.4.0/24"),
    "beside a smaller one": ("10.244.0.0/16", ["10.244.0.128/25"], "10.244.1.0/24"),
    "beside one from elsewhere": ("10.244.0.0/16", ["192.168.0.0/24", "", "x"], "10.244.0.0/24"),
    "all of a small range": ("10.244.7.0/26", [], "10.244.7.0/26"),
    "a small range that is given away": ("10.244.7.0/24", ["10.244.7.0/24"], None),
    "none left": ("10.244.0.0/23", ["10.244.0.0/24", "10.244.1.0/24"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", FREE)
def test_the_lowest_that_is_free(name: str) -> None:
    cluster, taken, expected = FREE[name]
    found = free_range(IPv4Network(cluster), taken)
    assert (None if found is None else str(found)) == expected


def node(name: str, pod_cidr: str = "") -> Node:
    spec = {"podCIDR": pod_cidr} if pod_cidr else {}
    return Node.parse({"metadata": {"name": name, "uid": name}, "spec": spec})


def test_a_node_gets_a_range_once() -> None:
    decision = decide_range(node("b"), [node("a", "10.244.0.0/24")], RANGE)
    spec = {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}
    assert decision.actions == (Patch(NODE, None, "b", {"spec": spec}, gone_ok=True),)
    assert decide_range(node("b", "10.9.0.0/24"), [], RANGE) is NOTHING


def test_a_node_without_a_range_is_told_and_looked_at_again() -> None:
    full = IPv4Network("10.244.0.0/24")
    decision = decide_range(node("b"), [node("a", "10.244.0.0/24")], full)
    (note,) = decision.actions
    assert isinstance(note, Note)
    assert (note.reason, note.message) == (
        "CIDRNotAvailable",
        "Node b status is now: CIDRNotAvailable",
    )
    assert decision.requeue_after_s


async def test_nodes_that_register_at_once_get_different_ranges(clusters: Any) -> None:
    async with clusters() as cluster:
        for number in range(1, 6):
            cluster.api.put(
                {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}}
            )
        await cluster.settle()
        ranges = [found["spec"]["podCIDR"] for found in cluster.api.find(NODE)]
        assert sorted(ranges) == [f"10.244.{number}.0/24" for number in range(6)]
