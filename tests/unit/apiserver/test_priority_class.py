"""PriorityClass: what it may be, and what it makes of pods."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import POD
from netlab.api.kinds.priorityclass import PRIORITY_CLASS
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError


def priority_class(name: str, value: int, **more: Any) -> Any:
    return {"metadata": {"name": name}, "value": value, **more}


async def test_a_class_becomes_a_number(lab: Any):
    made = await lab.create(PRIORITY_CLASS, priority_class("high", 1000))
    assert (made["preemptionPolicy"], made["metadata"]["generation"]) == ("PreemptLowerPriority", 1)
    spec = (await lab.create(POD, lab.pod("p", priorityClassName="high")))["spec"]
    assert spec["priority"] == 1000
    with pytest.raises(ApiError) as refused:
        await lab.create(POD, lab.pod("q", priorityClassName="none"))
    assert refused.value.message == (
        'pods "q" is forbidden: no PriorityClass with name none was found'
    )
    with pytest.raises(ApiError, match=r"value of priority \(7\) must not be provided"):
        await lab.create(POD, lab.pod("q", priorityClassName="high", priority=7))


async def test_the_default_class_is_for_pods_that_name_none(lab: Any):
    await lab.create(PRIORITY_CLASS, priority_class("usual", 5, globalDefault=True))
    spec = (await lab.create(POD, lab.pod("p")))["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (5, "usual")
    with pytest.raises(ApiError) as refused:
        await lab.create(PRIORITY_CLASS, priority_class("other", 6, globalDefault=True))
    assert refused.value.message == (
        'priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already'
        " marked as default. Only one default can exist"
    )
    await lab.patch(PRIORITY_CLASS, "usual", {"description": "for most"})
    await lab.create(PRIORITY_CLASS, priority_class("other", 6))
    with pytest.raises(ApiError, match="already marked as default"):
        await lab.patch(PRIORITY_CLASS, "other", {"globalDefault": True})


async def test_a_class_that_preempts_nobody(lab: Any):
    await lab.create(PRIORITY_CLASS, priority_class("shy", 9, preemptionPolicy="Never"))
    spec = (await lab.create(POD, lab.pod("p", priorityClassName="shy")))["spec"]
    assert spec["preemptionPolicy"] == "Never"
    bad = lab.pod("q", priorityClassName="shy", preemptionPolicy="PreemptLowerPriority")
    with pytest.raises(ApiError, match=r"PreemptionPolicy \(PreemptLowerPriority\) must not be"):
        await lab.create(POD, bad)


REFUSED = {
    "too high": (
        priority_class("x", 1_000_000_001),
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
    ),
    "a system name": (
        priority_class("system-x", 1),
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for"
        " system use only. error: system-x is not a known system priority class",
    ),
    "a system class of another value": (
        priority_class("system-node-critical", 1),
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for"
        " system use only. error: value of system-node-critical PriorityClass must be 2000001000",
    ),
    "an unknown policy": (
        priority_class("x", 1, preemptionPolicy="Always"),
        'preemptionPolicy: Unsupported value: "Always": supported values: "Never",'
        ' "PreemptLowerPriority"',
    ),
}


@pytest.mark.parametrize(("obj", "expected"), REFUSED.values(), ids=REFUSED)
async def test_what_a_class_may_not_be(lab: Any, obj: Any, expected: str):
    with pytest.raises(ApiError) as refused:
        await lab.create(PRIORITY_CLASS, obj)
    assert expected in refused.value.message


async def test_the_number_is_fixed_and_said_to_order_nothing(lab: Any):
    result = await lab.registry.create(
        PRIORITY_CLASS, None, priority_class("high", 1000), WriteOptions()
    )
    assert result.warnings == (
        "value: netlab writes it into the pods of the class, but its scheduler takes pods as they"
        " come and preempts none",
    )
    with pytest.raises(ApiError, match=r"value: Forbidden: may not be changed in an update\."):
        await lab.patch(PRIORITY_CLASS, "high", {"value": 2})
    with pytest.raises(ApiError, match=r"preemptionPolicy: Invalid value: .*immutable"):
        await lab.patch(PRIORITY_CLASS, "high", {"preemptionPolicy": "Never"})
