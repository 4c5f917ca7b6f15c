"""The parts of a pod that have subresources of their own."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.kinds import LIMIT_RANGE, POD, RESOURCE_QUOTA
from netlab.errors import ApiError

DEBUGGER = {
    "name": "debugger",
    "image": "busybox",
    "resources": {},
    "terminationMessagePolicy": "File",
}


async def test_kubectl_debug_adds_a_container(lab: Any) -> None:
    made = await lab.create(POD, lab.pod("p"))
    patch = {"spec": {"ephemeralContainers": [DEBUGGER], "nodeName": "elsewhere"}}
    found = await lab.patch(
        POD, "p", patch, patch_type="strategic", subresource="ephemeralcontainers"
    )
    (added,) = found["spec"]["ephemeralContainers"]
    assert (added["name"], added["imagePullPolicy"]) == ("debugger", "Always")
    assert "nodeName" not in found["spec"]  # only what the subresource is for
    assert found["metadata"]["generation"] == made["metadata"]["generation"] + 1
    second = {"spec": {"ephemeralContainers": [{**DEBUGGER, "name": "second"}]}}
    found = await lab.patch(
        POD, "p", second, patch_type="strategic", subresource="ephemeralcontainers"
    )
    names = {each["name"] for each in found["spec"]["ephemeralContainers"]}
    assert names == {"debugger", "second"}
    assert await lab.get(POD, "p", subresource="ephemeralcontainers") == await lab.get(POD, "p")


async def test_ephemeral_containers_stay(lab: Any) -> None:
    await lab.create(POD, lab.pod("p"))
    patch = {"spec": {"ephemeralContainers": [DEBUGGER]}}
    await lab.patch(POD, "p", patch, subresource="ephemeralcontainers")
    gone: Any = {"spec": {"ephemeralContainers": []}}
    with pytest.raises(ApiError, match='existing ephemeral containers "debugger" may not be'):
        await lab.patch(POD, "p", gone, subresource="ephemeralcontainers")
    with pytest.raises(ApiError, match="pod updates may not change fields"):
        await lab.patch(POD, "p", {"spec": {"ephemeralContainers": None}})


def sized(lab: Any, **resources: Any) -> dict[str, Any]:
    return lab.pod("p", containers=[{"name": "c", "image": "i", "resources": resources}])


def asked(**resources: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "resources": resources}]}}


async def resize(lab: Any, **resources: Any) -> Any:
    return await lab.patch(
        POD, "p", asked(**resources), patch_type="strategic", subresource="resize"
    )


async def test_amounts_change_in_place(lab: Any) -> None:
    await lab.create(POD, sized(lab, requests={"cpu": "100m"}))
    found = await resize(lab, requests={"cpu": "200m"})
    assert found["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "200m"}}
    assert found["metadata"]["generation"] == 2
    with pytest.raises(ApiError, match="Pod QOS Class may not change as a result of resizing"):
        await resize(
            lab, requests={"cpu": "200m", "memory": "1Gi"}, limits={"cpu": "200m", "memory": "1Gi"}
        )
    with pytest.raises(ApiError, match="pod updates may not change fields"):
        await lab.patch(POD, "p", asked(requests={"cpu": "1"}), patch_type="strategic")


async def test_bounds_and_quotas_hold_for_a_resize(lab: Any) -> None:
    limits = [{"type": "Pod", "min": {"cpu": "100m"}}]
    await lab.create(LIMIT_RANGE, {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    hard = {"requests.cpu": "500m"}
    await lab.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await lab.create(POD, sized(lab, requests={"cpu": "400m"}))
    with pytest.raises(ApiError, match=r"requested: requests\.cpu=200m, used: requests\.cpu=400m"):
        await resize(lab, requests={"cpu": "600m"})
    with pytest.raises(ApiError, match="minimum cpu usage per Pod is 100m, but request is 50m"):
        await resize(lab, requests={"cpu": "50m"})
    await resize(lab, requests={"cpu": "500m"})
    assert (await lab.get(RESOURCE_QUOTA, "q"))["status"]["used"] == {"requests.cpu": "500m"}


async def test_a_pod_with_amounts_of_its_own(lab: Any) -> None:
    pod = sized(lab, requests={"cpu": "100m"})
    pod["spec"]["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}}
    made = await lab.create(POD, pod)
    assert made["spec"]["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}
    assert made["status"]["qosClass"] == "Burstable"
