"""RuntimeClass: what it may be, and what it makes of pods."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from netlab.api.kinds import POD
from netlab.api.kinds.runtimeclass import RUNTIME_CLASS
from netlab.api.pod_resources import pod_limits, pod_requests
from netlab.api.pods import PodSpec
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError

KATA = {
    "metadata": {"name": "kata"},
    "handler": "kata",
    "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}},
    "scheduling": {
        "nodeSelector": {"sandboxed": "yes"},
        "tolerations": [{"key": "sandboxed", "operator": "Exists", "effect": "NoSchedule"}],
    },
}


async def test_a_pod_of_no_class_that_exists_is_refused(lab: Any):
    with pytest.raises(ApiError) as refused:
        await lab.create(POD, lab.pod("p", runtimeClassName="x"))
    assert refused.value.code == 403
    assert refused.value.message == (
        'pods "p" is forbidden: pod rejected: RuntimeClass "x" not found'
    )


async def test_a_pod_gets_what_its_class_costs_and_asks_for(lab: Any):
    await lab.create(RUNTIME_CLASS, KATA)
    body = lab.pod("p", runtimeClassName="kata", nodeSelector={"disk": "ssd"})
    body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    spec = (await lab.create(POD, body))["spec"]
    assert spec["overhead"] == {"cpu": "250m", "memory": "120Mi"}
    assert spec["nodeSelector"] == {"disk": "ssd", "sandboxed": "yes"}
    assert KATA["scheduling"]["tolerations"][0] in spec["tolerations"]
    view = PodSpec.parse(spec)
    assert {name: str(amount) for name, amount in pod_requests(view).items()} == {
        "cpu": "1250m",
        "memory": "120Mi",
    }
    assert {name: str(amount) for name, amount in pod_limits(view).items()} == {"cpu": "1250m"}


async def test_contradictions_are_refused(lab: Any):
    await lab.create(RUNTIME_CLASS, KATA)
    await lab.create(RUNTIME_CLASS, {"metadata": {"name": "runc"}, "handler": "runc"})
    rows = {
        "Pod's Overhead doesn't match RuntimeClass's defined Overhead": {
            "runtimeClassName": "kata",
            "overhead": {"cpu": "1"},
        },
        "Pod Overhead set without corresponding RuntimeClass defined Overhead": {
            "runtimeClassName": "runc",
            "overhead": {"cpu": "1"},
        },
        "conflict: runtimeClass.scheduling.nodeSelector[sandboxed] = yes;"
        " pod.spec.nodeSelector[sandboxed] = no": {
            "runtimeClassName": "kata",
            "nodeSelector": {"sandboxed": "no"},
        },
    }
    for expected, spec in rows.items():
        with pytest.raises(ApiError) as refused:
            await lab.create(POD, lab.pod("p", **spec))
        assert expected in refused.value.message
    with pytest.raises(ApiError, match="Pod Overhead set without"):
        await lab.create(POD, lab.pod("p", overhead={"cpu": "1"}))


async def test_a_handler_is_fixed_and_has_no_effect(lab: Any):
    made = await lab.registry.create(RUNTIME_CLASS, None, copy.deepcopy(KATA), WriteOptions())
    assert made.warnings == ("handler: netlab stores this field but does not act on it",)
    runc = {"metadata": {"name": "runc"}, "handler": "runc"}
    assert (await lab.registry.create(RUNTIME_CLASS, None, runc, WriteOptions())).warnings == ()
    with pytest.raises(ApiError, match=r"handler: Invalid value: .*field is immutable"):
        await lab.patch(RUNTIME_CLASS, "runc", {"handler": "crun"})
    with pytest.raises(ApiError, match="handler: Invalid value"):
        await lab.create(RUNTIME_CLASS, {"metadata": {"name": "bad"}, "handler": "A_b"})
