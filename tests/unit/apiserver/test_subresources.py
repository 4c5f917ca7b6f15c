"""Scale, binding, and subresources that others answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netlab.api.kinds import CONFIG_MAP, DEPLOYMENT, POD, SERVICE_ACCOUNT
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError


async def bind(lab: Any, node: str = "node0", **metadata: Any) -> Any:
    body = {"metadata": {"name": "p", **metadata}, "target": {"kind": "Node", "name": node}}
    return await lab.registry.create_subresource(
        POD, "default", "p", "binding", body, WriteOptions()
    )


async def test_binding(lab: Any):
    await lab.create(POD, lab.pod("p"))
    result = await bind(lab, annotations={"a": "b"})
    assert result.created
    assert result.item.object["status"] == "Success"
    pod = await lab.get(POD, "p")
    assert pod["spec"]["nodeName"] == "node0"
    assert pod["metadata"]["annotations"] == {"a": "b"}
    assert pod["metadata"]["generation"] == 1
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"


async def test_a_pod_is_bound_once(lab: Any):
    await lab.create(POD, lab.pod("p"))
    outcomes = await asyncio.gather(*(bind(lab) for _ in range(5)), return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
    assert len(errors) == 4
    assert errors[0].reason == "Conflict"
    assert errors[0].message == (
        'Operation cannot be fulfilled on pods/binding "p":'
        ' pod p is already assigned to node "node0"'
    )


async def test_bindings_that_are_refused(lab: Any):
    with pytest.raises(ApiError, match='pods "p" not found'):
        await bind(lab)
    await lab.create(POD, lab.pod("p"))
    with pytest.raises(ApiError, match=r"target.name: Required value"):
        await bind(lab, "")
    with pytest.raises(ApiError, match="Precondition failed: UID"):
        await bind(lab, uid="other")
    body = lab.pod("p2")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await lab.create(POD, body)
    await lab.delete(POD, "p2")
    with pytest.raises(ApiError, match="pod p2 is being deleted, cannot be assigned to a host"):
        await lab.registry.create_subresource(
            POD, "default", "p2", "binding", {"target": {"name": "node0"}}, WriteOptions()
        )


async def test_reading_a_scale(lab: Any):
    made = await lab.create(DEPLOYMENT, lab.deployment("d", replicas=3))
    scale = await lab.get(DEPLOYMENT, "d", subresource="scale")
    assert scale == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            field: made["metadata"][field]
            for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": 3},
        "status": {"replicas": 0, "selector": "app=d"},
    }


async def test_writing_a_scale(lab: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    scale = await lab.get(DEPLOYMENT, "d", subresource="scale")
    scale["spec"]["replicas"] = 5
    answer = await lab.update(DEPLOYMENT, scale, subresource="scale")
    assert (answer["kind"], answer["spec"]["replicas"]) == ("Scale", 5)
    present = await lab.get(DEPLOYMENT, "d")
    assert present["spec"]["replicas"] == 5
    assert present["metadata"]["generation"] == 2
    with pytest.raises(ApiError, match="the object has been modified"):
        await lab.update(DEPLOYMENT, scale, subresource="scale")


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        ("merge", {"spec": {"replicas": 4}}),
        ("strategic", {"spec": {"replicas": 4}}),
        ("json", [{"op": "replace", "path": "/spec/replicas", "value": 4}]),
    ],
)
async def test_patching_a_scale(lab: Any, patch_type: str, patch: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    answer = await lab.patch(DEPLOYMENT, "d", patch, patch_type=patch_type, subresource="scale")
    assert answer["spec"] == {"replicas": 4}


async def test_scaling_to_nothing_and_below(lab: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    patch = {"spec": {"replicas": 0}}
    assert (await lab.patch(DEPLOYMENT, "d", patch, subresource="scale"))["spec"] == {}
    with pytest.raises(ApiError) as raised:
        await lab.patch(DEPLOYMENT, "d", {"spec": {"replicas": -1}}, subresource="scale")
    assert raised.value.message == (
        'Scale.autoscaling "d" is invalid:'
        " spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    )
    with pytest.raises(ApiError, match=r"cannot unmarshal|cannot be handled"):
        await lab.patch(DEPLOYMENT, "d", {"spec": {"replicas": "many"}}, subresource="scale")


async def test_others_answer_for_tokens(lab: Any):
    async def creator(account: Any, body: Any, options: Any) -> Any:
        return {"kind": "TokenRequest", "for": account.object["metadata"]["name"], "body": body}

    registry = Registry(
        lab.store, lab.config, lab.clock, creators={(SERVICE_ACCOUNT, "token"): creator}
    )
    result = await registry.create_subresource(
        SERVICE_ACCOUNT, "default", "default", "token", {"spec": {}}, WriteOptions()
    )
    assert result.item.object["for"] == "default"
    assert result.item.object["body"] == {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {},
    }
    with pytest.raises(ApiError, match='serviceaccounts "nobody" not found'):
        await registry.create_subresource(
            SERVICE_ACCOUNT, "default", "nobody", "token", {}, WriteOptions()
        )


async def test_what_there_is_not(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    for call in (
        lab.registry.create_subresource(CONFIG_MAP, "default", "c", "x", {}, WriteOptions()),
        lab.registry.get(CONFIG_MAP, "default", "c", subresource="status"),
        lab.patch(CONFIG_MAP, "c", {}, subresource="scale"),
    ):
        with pytest.raises(ApiError) as raised:
            await call
        assert raised.value.code == 405
