"""Which node a pod gets, and what is said when it gets none."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Node, Pod
from netlab.scheduler.choose import Refusal, choose_node


def node(name: str, ready: str | None = "True", **spec: Any) -> Node:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    labels = {"kubernetes.io/hostname": name, "disk": "ssd" if name == "node1" else "hdd"}
    return Node.parse(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {"conditions": conditions},
        }
    )


def pod(**spec: Any) -> Pod:
    return Pod.parse({"metadata": {"name": "p", "namespace": "default"}, "spec": spec})


TAINT = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
SOFT = {"key": "dedicated", "value": "gpu", "effect": "PreferNoSchedule"}

CHOSEN = [
    ("the only one", pod(), [node("node0")], "node0"),
    ("by label", pod(nodeSelector={"disk": "ssd"}), [node("node0"), node("node1")], "node1"),
    ("not the cordoned", pod(), [node("node0", unschedulable=True), node("node1")], "node1"),
    ("not the silent", pod(), [node("node0", "Unknown"), node("node1")], "node1"),
    ("a soft taint does not refuse", pod(), [node("node0", taints=[SOFT])], "node0"),
    ("tolerated by value", pod(tolerations=[{"key": "dedicated", "value": "gpu"}]),
     [node("node0", taints=[TAINT])], "node0"),
    ("tolerated by key", pod(tolerations=[{"key": "dedicated", "operator": "Exists"}]),
     [node("node0", taints=[TAINT])], "node0"),
    ("tolerates everything", pod(tolerations=[{"operator": "Exists"}]),
     [node("node0", "False", taints=[TAINT], unschedulable=True)], "node0"),
    ("fewer pods", pod(), [node("node0"), node("node1")], "node1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "nodes", "expected"), [pytest.param(*row[1:], id=row[0]) for row in CHOSEN]
)
def test_chosen(wanted: Pod, nodes: list[Node], expected: str) -> None:
    chosen = choose_node(wanted, nodes, [pod(nodeName="node0")])
    assert isinstance(chosen, Node)
    assert chosen.metadata.name == expected


HELP = "no new claims to deallocate, preemption: 0/{0} nodes are available: {0} Preemption is not helpful for scheduling."  # noqa: E501

REFUSED = [
    ("no nodes", pod(), [], "no nodes available to schedule pods"),
    ("cordoned", pod(), [node("node0", unschedulable=True)],
     "0/1 nodes are available: 1 node(s) were unschedulable. " + HELP.format(1)),
    ("not ready", pod(), [node("node0", "False")],
     "0/1 nodes are available: 1 node(s) had untolerated taint(s). " + HELP.format(1)),
    ("not heard of yet", pod(), [node("node0", None)],
     "0/1 nodes are available: 1 node(s) had untolerated taint(s). " + HELP.format(1)),
    ("other value", pod(tolerations=[{"key": "dedicated", "value": "x"}]),
     [node("node0", taints=[TAINT])],
     "0/1 nodes are available: 1 node(s) had untolerated taint(s). " + HELP.format(1)),
    ("other effect", pod(tolerations=[{"operator": "Exists", "effect": "NoExecute"}]),
     [node("node0", taints=[TAINT])],
     "0/1 nodes are available: 1 node(s) had untolerated taint(s). " + HELP.format(1)),
    ("each for its reason", pod(nodeSelector={"disk": "tape"}),
     [node("node0"), node("node1"), node("node2", unschedulable=True)],
     "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node "
     "affinity/selector. " + HELP.format(3)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "nodes", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
def test_refused(wanted: Pod, nodes: list[Node], message: str) -> None:
    assert choose_node(wanted, nodes, ()) == Refusal(message)
