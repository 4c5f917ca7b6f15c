"""Pods that gates hold back and pods that taints send away, on a whole control plane."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from netlab.api.kinds import NODE, POD
from netlab.clock import FakeClock
from netlab.errors import ApiError
from tests.support.control_plane import ControlPlane, control_plane, eventually, node


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "busybox"}]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


async def place(lab: ControlPlane, name: str) -> tuple[str, str]:
    """Return the pod's node and the reason of its PodScheduled condition."""
    found = await lab.client.get(POD, "default", name)
    conditions = found["status"].get("conditions") or ()
    scheduled = next((c for c in conditions if c["type"] == "PodScheduled"), {})
    return found["spec"].get("nodeName", ""), scheduled.get("reason", "")


GATES = [{"name": "example.com/a"}, {"name": "example.com/b"}]


async def test_a_gated_pod_waits_until_its_last_gate_is_gone(lab: Any, node0: None) -> None:
    await lab.client.create(POD, "default", pod("held", schedulingGates=GATES))
    await lab.client.create(POD, "default", pod("free"))
    await eventually(lambda: _bound(lab, "free"))
    await lab.settle()
    assert await place(lab, "held") == ("", "SchedulingGated")
    assert await lab.events("held") == []
    await lab.client.patch(POD, "default", "held", {"spec": {"schedulingGates": GATES[1:]}})
    await lab.settle()
    assert await place(lab, "held") == ("", "SchedulingGated")
    await lab.client.patch(POD, "default", "held", {"spec": {"schedulingGates": None}})
    await eventually(lambda: _bound(lab, "held"))
    assert await place(lab, "held") == ("node0", "")


async def _bound(lab: ControlPlane, name: str) -> bool:
    return bool((await place(lab, name))[0])


async def test_a_gated_pod_cannot_be_bound_by_hand(lab: Any, node0: None) -> None:
    await lab.client.create(POD, "default", pod("held", schedulingGates=GATES))
    target = {"target": {"kind": "Node", "name": "node0"}}
    with pytest.raises(ApiError, match="pod held has non-empty") as caught:
        await lab.client.create_subresource(POD, "default", "held", "binding", target)
    assert caught.value.code == 409


SELECTOR = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
REFUSED = {
    "a gate added": (
        {"schedulingGates": [*GATES, {"name": "c"}]},
        "spec.schedulingGates[2].name: Forbidden: only deletion is allowed, but found new"
        " scheduling gate 'c'",
    ),
    "a gate replaced": (
        {"schedulingGates": [{"name": "c"}]},
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed",
    ),
    "a node label changed": ({"nodeSelector": {"disk": "hdd"}}, SELECTOR),
    "a node label removed": ({"nodeSelector": {"disk": None}}, SELECTOR),
    "something else changed": ({"hostNetwork": True}, "pod updates may not change fields"),
}


@pytest.mark.parametrize(("patch", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_may_not_change_while_gates_hold(lab: Any, patch: Any, message: str) -> None:
    await lab.ready_for_pods()
    held = pod("held", schedulingGates=GATES, nodeSelector={"disk": "ssd"})
    await lab.client.create(POD, "default", held)
    with pytest.raises(ApiError) as caught:
        await lab.client.patch(POD, "default", "held", {"spec": patch})
    assert caught.value.code == 422
    assert message in caught.value.message


def affinity(*terms: Any) -> Any:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(term)} for term in terms]}
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {name: required}}


A, B = ({"key": key, "operator": "Exists"} for key in "ab")


async def test_a_gated_pod_may_become_choosier(lab: Any) -> None:
    await lab.ready_for_pods()
    await lab.client.create(POD, "default", pod("held", schedulingGates=GATES))
    for spec in (
        {"nodeSelector": {"disk": "ssd"}},
        {"nodeSelector": {"zone": "a"}},
        {"affinity": affinity([A])},
        {"affinity": affinity([A, B])},
    ):
        found = await lab.client.patch(POD, "default", "held", {"spec": spec})
    assert found["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "a"}
    for terms, message in (
        ([[A]], "only additions are allowed (no mutations or deletions)"),
        ([[A, B], [A]], "no additions/deletions to non-empty NodeSelectorTerms list are allowed"),
    ):
        with pytest.raises(ApiError) as caught:
            await lab.client.patch(POD, "default", "held", {"spec": {"affinity": affinity(*terms)}})
        assert message in caught.value.message


async def test_without_gates_none_of_that_may_change(lab: Any, node0: None) -> None:
    await lab.client.create(POD, "default", pod("free"))
    for spec in (
        {"nodeSelector": {"disk": "ssd"}},
        {"affinity": affinity([A])},
        {"schedulingGates": GATES},
    ):
        with pytest.raises(ApiError):
            await lab.client.patch(POD, "default", "free", {"spec": spec})


# taints ------------------------------------------------------------------------------------------


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """A control plane whose time stands still, with one ready node."""
    async with control_plane(tmp_path, FakeClock()) as plane:
        await plane.add_node(node("node0"))
        await plane.ready_for_pods()
        yield plane


def tolerating(seconds: int | None) -> list[dict[str, Any]]:
    base = {"key": "hot", "operator": "Exists", "effect": "NoExecute"}
    return [base if seconds is None else base | {"tolerationSeconds": seconds}]


async def taint(lab: ControlPlane, *keys: str) -> None:
    taints = [{"key": key, "effect": "NoExecute"} for key in keys]
    await lab.client.patch(NODE, None, "node0", {"spec": {"taints": taints or None}})
    await lab.settle()


async def remaining(lab: ControlPlane) -> set[str]:
    """The pods that nobody has told to go."""
    pods = (await lab.client.list(POD, "default")).items
    return {p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]}


async def test_a_taint_sends_pods_away_when_their_time_is_over(slow: ControlPlane) -> None:
    wanted = {"none": [], "soon": tolerating(20), "later": tolerating(30), "ever": tolerating(None)}
    for name, tolerations in wanted.items():
        await slow.client.create(POD, "default", pod(name, tolerations=tolerations))
    for name in wanted:
        await eventually(lambda name=name: _bound(slow, name))
    assert await remaining(slow) == set(wanted)
    await taint(slow, "hot")
    assert await remaining(slow) == {"soon", "later", "ever"}
    assert ("Normal", "TaintManagerEviction", "Marking for deletion Pod default/none") in (
        await slow.events("none")
    )
    assert isinstance(slow.clock, FakeClock)
    await slow.clock.advance(19)
    await slow.settle()
    assert await remaining(slow) == {"soon", "later", "ever"}
    await slow.clock.advance(2)
    await slow.settle()
    assert await remaining(slow) == {"later", "ever"}
    await taint(slow)
    assert ("Normal", "TaintManagerEviction", "Cancelling deletion of Pod default/later") in (
        await slow.events("later")
    )
    await slow.clock.advance(15)
    await slow.settle()
    assert await remaining(slow) == {"later", "ever"}


async def test_an_evicted_pod_says_why(slow: ControlPlane) -> None:
    await slow.client.create(POD, "default", pod("p"))
    await eventually(lambda: _bound(slow, "p"))
    await taint(slow, "hot")
    found = await slow.client.get(POD, "default", "p")
    (condition,) = [c for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert (condition["status"], condition["reason"]) == ("True", "DeletionByTaintManager")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_a_silent_node_loses_its_pods_after_five_minutes(slow: ControlPlane) -> None:
    await slow.client.create(POD, "default", pod("p"))
    await eventually(lambda: _bound(slow, "p"))
    assert isinstance(slow.clock, FakeClock)
    await slow.clock.advance(41)
    await slow.settle()
    found = await slow.client.get(NODE, None, "node0")
    assert [(t["key"], t["effect"]) for t in found["spec"]["taints"]] == [
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    ]
    await slow.clock.advance(295)
    await slow.settle()
    assert await remaining(slow) == {"p"}
    await slow.clock.advance(10)
    await slow.settle()
    assert await remaining(slow) == set()
