"""Which node a pod gets, and what is said when it gets none."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Node
from netlab.api.pods import Pod
from netlab.scheduler.choose import Refusal, choose_node
from netlab.scheduler.filters import Context

ROOM = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "3"}


def node(name: str, ready: str | None = "True", **spec: Any) -> Node:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    labels = {"kubernetes.io/hostname": name, "disk": "ssd" if name == "node1" else "hdd"}
    return Node.parse(
        {
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {"conditions": conditions, "allocatable": ROOM},
        }
    )


def pod(**spec: Any) -> Pod:
    return Pod.parse({"metadata": {"name": "p", "namespace": "default"}, "spec": spec})


def around(*pods: Pod) -> Context:
    """What the filters see when these pods are bound."""
    return Context(pods_on=lambda name: [p for p in pods if p.spec.node_name == name])


def asking(host_port: int = 0, host_ip: str = "", **requests: str) -> dict[str, Any]:
    """A container that reserves something, or wants a port of the node."""
    port = {"containerPort": 80, "hostPort": host_port, "hostIP": host_ip}
    amounts = {name.replace("_", "-"): amount for name, amount in requests.items()}
    ports = [port] if host_port else []
    return {"name": "c", "resources": {"requests": amounts}, "ports": ports}


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
    chosen = choose_node(wanted, nodes, around(pod(nodeName="node0")))
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
    assert choose_node(wanted, nodes, around()) == Refusal(message)


EVICTION = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 {}."
NO_VICTIMS = EVICTION.format("No preemption victims found for incoming pod")
NOT_HELPFUL = EVICTION.format("Preemption is not helpful for scheduling")
HALF = pod(nodeName="node0", containers=[asking(cpu="1", memory="2Gi")])
WEB = pod(nodeName="node0", containers=[asking(8080)])
SIDECAR = {**asking(cpu="1"), "restartPolicy": "Always"}

ROOM_REFUSED = [
    ("more than there is", pod(containers=[asking(cpu="3")]), [],
     "1 Insufficient cpu. " + NOT_HELPFUL),
    ("more than is left", pod(containers=[asking(cpu="1500m", memory="3Gi")]), [HALF],
     "1 Insufficient cpu, 1 Insufficient memory. " + NO_VICTIMS),
    ("one hopeless, one not", pod(containers=[asking(cpu="1500m", memory="5Gi")]), [HALF],
     "1 Insufficient cpu, 1 Insufficient memory. " + NOT_HELPFUL),
    ("disk", pod(containers=[asking(ephemeral_storage="11Gi")]), [],
     "1 Insufficient ephemeral-storage. " + NOT_HELPFUL),
    ("no such resource", pod(containers=[asking(**{"x.y/gpu": "1"})]), [],
     "1 Insufficient x.y/gpu. " + NOT_HELPFUL),
    ("the third and last place", pod(), [HALF] * 3, "1 Too many pods. " + NO_VICTIMS),
    ("a sidecar beside the container",
     pod(initContainers=[SIDECAR], containers=[asking(cpu="1500m")]), [],
     "1 Insufficient cpu. " + NOT_HELPFUL),
    ("an init container beside the sidecar", pod(initContainers=[SIDECAR, asking(cpu="1500m")]),
     [], "1 Insufficient cpu. " + NOT_HELPFUL),
    ("of the pod as a whole",
     pod(resources={"requests": {"cpu": "3"}}, containers=[asking(cpu="1")]), [],
     "1 Insufficient cpu. " + NOT_HELPFUL),
    ("the same port", pod(containers=[asking(8080)]), [WEB],
     "1 node(s) didn't have free ports for the requested pod ports. " + NO_VICTIMS),
    ("the same port at one address", pod(containers=[asking(8080, "10.0.0.1")]), [WEB],
     "1 node(s) didn't have free ports for the requested pod ports. " + NO_VICTIMS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "others", "message"), [pytest.param(*row[1:], id=row[0]) for row in ROOM_REFUSED]
)
def test_no_room(wanted: Pod, others: list[Pod], message: str) -> None:
    found = choose_node(wanted, [node("node0")], around(*others))
    assert found == Refusal(f"0/1 nodes are available: {message}")


ROOM_TAKEN = [
    ("exactly what is left", pod(containers=[asking(cpu="1", memory="2Gi")]), [HALF]),
    ("init containers run one by one",
     pod(initContainers=[asking(cpu="2"), asking(cpu="2")], containers=[asking(cpu="1")]), []),
    ("another port", pod(containers=[asking(8081)]), [WEB]),
    ("the port at another address", pod(containers=[asking(8080, "10.0.0.1")]),
     [pod(nodeName="node0", containers=[asking(8080, "10.0.0.2")])]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "others"), [pytest.param(*row[1:], id=row[0]) for row in ROOM_TAKEN]
)
def test_room(wanted: Pod, others: list[Pod]) -> None:
    assert isinstance(choose_node(wanted, [node("node0")], around(*others)), Node)
