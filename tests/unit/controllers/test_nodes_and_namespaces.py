"""Silent nodes, pods without a node, namespaces that end, and what each namespace is given."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from netlab.api.core import Node
from netlab.api.discovery import Lease
from netlab.api.kinds import CONFIG_MAP, NAMESPACE, NODE, POD, SERVICE_ACCOUNT
from netlab.api.pods import Pod
from netlab.controllers.actions import Burst, Delete, Patch, Update
from netlab.controllers.namespace import decide_namespace
from netlab.controllers.nodelifecycle import decide_node

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def node(ready: str = "True", **spec: Any) -> Node:
    created = (NOW - timedelta(hours=1)).isoformat()
    return Node.parse(
        {
            "metadata": {"name": "node0", "creationTimestamp": created, "resourceVersion": "4"},
            "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }
    )


def lease(age_s: int) -> Lease:
    return Lease.parse({"spec": {"renewTime": (NOW - timedelta(seconds=age_s)).isoformat()}})


READY_POD = Pod.parse(
    {
        "metadata": {"name": "p", "namespace": "default"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
)


def test_a_heard_node_is_left_alone_until_its_lease_runs_out() -> None:
    decision = decide_node(node(), lease(15), [READY_POD], NOW)
    assert decision.actions == ()
    assert decision.requeue_after_s == 25


def test_a_silent_node_is_unknown_and_its_pods_not_ready() -> None:
    decision = decide_node(node(), lease(41), [READY_POD], NOW)
    ready, note, pod, taint = decision.actions
    assert isinstance(ready, Patch)
    assert ready.patch["status"]["conditions"][0]["reason"] == "NodeStatusUnknown"
    assert note.message == "Node node0 status is now: NodeNotReady"  # type: ignore[union-attr]
    assert pod.patch["status"]["conditions"][0]["status"] == "False"  # type: ignore[union-attr]
    key = "node.kubernetes.io/unreachable"
    assert taint.patch["spec"]["taints"] == [  # type: ignore[union-attr]
        {"key": key, "effect": "NoSchedule"},
        {"key": key, "effect": "NoExecute", "timeAdded": "2026-01-01T12:00:00Z"},
    ]


def test_nothing_is_said_twice() -> None:
    key = "node.kubernetes.io/unreachable"
    since = "2026-01-01T11:00:00Z"
    taints = [
        {"key": key, "effect": "NoSchedule"},
        {"key": key, "effect": "NoExecute", "timeAdded": since},
    ]
    assert decide_node(node("Unknown", taints=taints), lease(41), [], NOW).actions == ()


def test_taints_follow_the_state_and_others_are_kept() -> None:
    own = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    ours = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    (patch,) = decide_node(node(taints=[own, ours], unschedulable=True), lease(1), [], NOW).actions
    assert isinstance(patch, Patch)
    assert patch.patch["spec"]["taints"] == [
        own,
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ]


def test_what_was_silent_before_anybody_listened_is_no_silence() -> None:
    began = NOW - timedelta(seconds=10)
    decision = decide_node(node(), lease(3600), [READY_POD], NOW, watching_since=began)
    assert decision.actions == ()
    assert decision.requeue_after_s == 30


def test_taints_of_others_keep_their_time() -> None:
    added = "2026-01-01T10:00:00Z"
    own = {"key": "dedicated", "effect": "NoExecute", "timeAdded": added}
    (patch,) = decide_node(node(taints=[own], unschedulable=True), lease(1), [], NOW).actions
    assert isinstance(patch, Patch)
    assert patch.patch["spec"]["taints"][0] == own


def namespace(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": status,
    }


def held(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, **meta}}


def test_what_is_in_the_namespace_is_deleted() -> None:
    decision = decide_namespace(namespace(), {POD: [held("a"), held("b")]}, NOW)
    (burst,) = decision.actions
    assert isinstance(burst, Burst)
    assert [(a.name, a.uid) for a in burst.actions if isinstance(a, Delete)] == [
        ("a", "a"),
        ("b", "b"),
    ]


def test_what_remains_is_told() -> None:
    waiting = held("a", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x/y"])
    (patch,) = decide_namespace(namespace(), {POD: [waiting]}, NOW).actions
    assert isinstance(patch, Patch)
    messages = [c["message"] for c in patch.patch["status"]["conditions"]]
    assert messages == [
        "Some resources are remaining: pods. has 1 resource instances",
        "Some content in the namespace has finalizers remaining: x/y in 1 resource instances",
    ]
    again = namespace(conditions=patch.patch["status"]["conditions"])
    assert decide_namespace(again, {POD: [waiting]}, NOW).actions == ()


def test_an_empty_namespace_is_released() -> None:
    (update,) = decide_namespace(namespace(), {POD: []}, NOW).actions
    assert isinstance(update, Update)
    assert (update.kind, update.subresource) == (NAMESPACE, "finalize")
    assert update.obj["spec"]["finalizers"] == []


def test_a_living_namespace_is_left_alone() -> None:
    living = namespace()
    del living["metadata"]["deletionTimestamp"]
    assert decide_namespace(living, {POD: [held("a")]}, NOW).actions == ()


async def test_accounts_and_authorities_are_put_back(clusters: Any) -> None:
    async with clusters() as cluster:
        await cluster.api.delete(SERVICE_ACCOUNT, "default", "default")
        await cluster.settle()
        assert len(cluster.api.find(SERVICE_ACCOUNT)) == 1
        patch = {"data": {"ca.crt": "forged", "more": "x"}}
        await cluster.api.patch(CONFIG_MAP, "default", "kube-root-ca.crt", patch)
        await cluster.settle()
        (ca,) = cluster.api.find(CONFIG_MAP)
        assert ca["data"] == {"ca.crt": "CA"}


BOUND_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {"nodeName": "node0"},
    "status": {"phase": "Running"},
}


async def test_pods_of_a_removed_node_go_after_a_while(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(copy.deepcopy(BOUND_POD))
        await cluster.settle()
        await cluster.api.delete(NODE, None, "node0")
        await cluster.settle()
        await cluster.clock.advance(39)
        await cluster.settle()
        assert len(cluster.api.find(POD)) == 1
        await cluster.clock.advance(2)
        await cluster.settle()
        assert cluster.api.find(POD) == []


async def test_pods_of_a_node_that_comes_back_stay(clusters: Any) -> None:
    async with clusters() as cluster:
        cluster.api.put(copy.deepcopy(BOUND_POD))
        node = copy.deepcopy(cluster.api.find(NODE)[0])
        await cluster.settle()
        await cluster.api.delete(NODE, None, "node0")
        await cluster.settle()
        await cluster.clock.advance(30)
        cluster.api.put({k: v for k, v in node.items() if k != "status"})
        await cluster.settle()
        await cluster.clock.advance(60)
        await cluster.settle()
        assert len(cluster.api.find(POD)) == 1


async def test_a_node_falls_silent_while_the_controllers_run(clusters: Any) -> None:
    async with clusters() as cluster:
        await cluster.clock.advance(39)
        await cluster.settle()
        assert cluster.api.find(NODE)[0]["status"]["conditions"][0]["status"] == "True"
        await cluster.clock.advance(2)
        await cluster.settle()
        assert cluster.api.find(NODE)[0]["status"]["conditions"][0]["status"] == "Unknown"
