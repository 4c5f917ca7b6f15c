"""LimitRanges complete and bound what is created in their namespace."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import LIMIT_RANGE, NAMESPACE, PERSISTENT_VOLUME_CLAIM, POD
from netlab.errors import ApiError


def limit_range(**item: Any) -> dict[str, Any]:
    return {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", **item}]}}


def container(name: str = "c", **resources: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "resources": resources}


async def test_containers_get_what_they_do_not_say(lab: Any) -> None:
    bounds = limit_range(default={"memory": "512Mi"}, defaultRequest={"cpu": "100m"})
    stored = await lab.create(LIMIT_RANGE, bounds)
    assert stored["spec"]["limits"][0]["defaultRequest"] == {"memory": "512Mi", "cpu": "100m"}
    pod = lab.pod(
        "p",
        containers=[container(), container("d", limits={"cpu": "1", "memory": "1Gi"})],
        initContainers=[container("i", requests={"cpu": "1"}, limits={"memory": "1Gi"})],
    )
    made = await lab.create(POD, pod)
    assert [each["resources"] for each in made["spec"]["containers"]] == [
        {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}},
        {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
    ]
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container c;"
        " memory limit for container c"
    }
    assert made["status"]["qosClass"] == "Burstable"


REFUSED = [
    (
        "limit above",
        {"max": {"memory": "1Gi"}},
        {"limits": {"memory": "2Gi"}},
        "maximum memory usage per Container is 1Gi, but limit is 2Gi",
    ),
    (
        "request below",
        {"min": {"cpu": "500m"}},
        {"requests": {"cpu": "100m"}},
        "minimum cpu usage per Container is 500m, but request is 100m",
    ),
    (
        "ratio",
        {"maxLimitRequestRatio": {"cpu": "2"}},
        {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
        "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
    ),
    (
        "no limit for the pod",
        {"type": "Pod", "max": {"cpu": "1"}},
        {"requests": {"cpu": "1"}},
        "maximum cpu usage per Pod is 1.  No limit is specified",
    ),
    (
        "two reasons",
        {"max": {"cpu": "1", "memory": "1Gi"}},
        {"limits": {"cpu": "2", "memory": "2Gi"}},
        "[maximum cpu usage per Container is 1, but limit is 2, "
        "maximum memory usage per Container is 1Gi, but limit is 2Gi]",
    ),
]


@pytest.mark.parametrize(
    ("item", "resources", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
async def test_out_of_bounds(lab: Any, item: Any, resources: Any, message: str) -> None:
    await lab.create(LIMIT_RANGE, limit_range(**item))
    with pytest.raises(ApiError) as caught:
        await lab.create(POD, lab.pod("p", containers=[container(**resources)]))
    assert (caught.value.code, caught.value.message) == (403, f'pods "p" is forbidden: {message}')
    assert await lab.names(POD) == []


async def test_claims_are_bounded(lab: Any) -> None:
    await lab.create(LIMIT_RANGE, limit_range(type="PersistentVolumeClaim", max={"storage": "1Gi"}))
    claim = {
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
        },
    }
    with pytest.raises(ApiError) as caught:
        await lab.create(PERSISTENT_VOLUME_CLAIM, claim)
    expected = "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    assert caught.value.message.endswith(expected)


async def test_other_namespaces_are_left_alone(lab: Any) -> None:
    await lab.create(NAMESPACE, {"metadata": {"name": "shop"}})
    await lab.create(LIMIT_RANGE, limit_range(default={"cpu": "1"}), namespace="shop")
    made = await lab.create(POD, lab.pod("p"))
    assert made["spec"]["containers"][0]["resources"] == {}
