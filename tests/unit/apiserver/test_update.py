"""Update and patch: conflicts, separation of status, generations, writes that change nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    LEASE,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
)
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError

MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


async def test_update_replaces(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c", a="1", b="2"))
    made["data"] = {"a": "3"}
    new = await lab.update(CONFIG_MAP, made)
    assert new["data"] == {"a": "3"}
    assert new["metadata"]["uid"] == made["metadata"]["uid"]
    assert new["metadata"]["resourceVersion"] == "4"
    assert await lab.get(CONFIG_MAP, "c") == new


async def test_an_old_version_conflicts(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    old = await lab.get(CONFIG_MAP, "c")
    await lab.patch(CONFIG_MAP, "c", {"data": {"a": "1"}})
    old["data"] = {"a": "2"}
    with pytest.raises(ApiError) as raised:
        await lab.update(CONFIG_MAP, old)
    assert raised.value.message == (f'Operation cannot be fulfilled on configmaps "c": {MODIFIED}')
    assert (raised.value.code, raised.value.reason) == (409, "Conflict")


async def test_an_update_without_version_is_unconditional(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    body = lab.config_map("c", a="2")
    body["metadata"]["namespace"] = "default"
    assert (await lab.update(CONFIG_MAP, body))["data"] == {"a": "2"}


async def test_a_lease_must_say_its_version(lab: Any):
    body = {"metadata": {"name": "node0", "namespace": "default"}}
    await lab.create(LEASE, {"metadata": {"name": "node0"}})
    with pytest.raises(ApiError, match=r"metadata.resourceVersion: Invalid value: 0: must be spec"):
        await lab.update(LEASE, body)


REFUSALS = {
    "missing": ({"metadata": {"name": "x"}}, 404, 'configmaps "x" not found'),
    "another name": (
        {"metadata": {"name": "y"}},
        400,
        "the name of the object (y) does not match the name on the URL (x)",
    ),
    "another namespace": (
        {"metadata": {"name": "x", "namespace": "y"}},
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refused(lab: Any, case: str):
    body, code, message = REFUSALS[case]
    with pytest.raises(ApiError) as raised:
        await lab.registry.update(CONFIG_MAP, "default", "x", body, WriteOptions())
    assert (raised.value.code, raised.value.message) == (code, message)


async def test_another_uid_conflicts(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c"))
    body = lab.config_map("c")
    body["metadata"] |= {"uid": "other", "namespace": "default"}
    with pytest.raises(ApiError) as raised:
        await lab.update(CONFIG_MAP, body)
    assert raised.value.message == (
        'Operation cannot be fulfilled on configmaps "c": Precondition failed:'
        f" UID in precondition: other, UID in object meta: {made['metadata']['uid']}"
    )


async def test_a_write_that_changes_nothing_is_none(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c", a="1"))
    async with await lab.watch(CONFIG_MAP, resource_version=str(lab.store.revision)) as watch:
        body = {"data": {"a": "1"}, "metadata": {"name": "c", "namespace": "default"}}
        again = await lab.update(CONFIG_MAP, body)
        patched = await lab.patch(CONFIG_MAP, "c", {"data": {"a": "1"}})
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert patched == again
        assert watch.ready() == []


async def test_many_patches_at_once_all_count(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    await asyncio.gather(*(lab.patch(CONFIG_MAP, "c", {"data": {f"k{n}": "x"}}) for n in range(50)))
    assert len((await lab.get(CONFIG_MAP, "c"))["data"]) == 50


async def test_a_patch_that_names_an_old_version_conflicts(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c"))
    version = made["metadata"]["resourceVersion"]
    await lab.patch(CONFIG_MAP, "c", {"data": {"a": "1"}})
    patch = {"metadata": {"resourceVersion": version}, "data": {"a": "2"}}
    with pytest.raises(ApiError, match="the object has been modified"):
        await lab.patch(CONFIG_MAP, "c", patch)


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        ("merge", {"metadata": {"labels": {"a": "b"}}}),
        ("strategic", {"metadata": {"labels": {"a": "b"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]),
    ],
)
async def test_patch_types(lab: Any, patch_type: str, patch: Any):
    await lab.create(POD, lab.pod("p"))
    patched = await lab.patch(POD, "p", patch, patch_type=patch_type)
    assert patched["metadata"]["labels"] == {"a": "b"}


async def test_a_patch_of_nothing_is_not_found(lab: Any):
    with pytest.raises(ApiError, match='pods "p" not found'):
        await lab.patch(POD, "p", {})


async def test_a_patch_cannot_rename(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    with pytest.raises(ApiError, match="the name of the object"):
        await lab.patch(CONFIG_MAP, "c", {"metadata": {"name": "d"}})


async def test_a_patch_cannot_take_identity(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c"))
    patch = {"metadata": {"uid": None, "creationTimestamp": None, "labels": {"a": "b"}}}
    patched = await lab.patch(CONFIG_MAP, "c", patch)
    for field in ("uid", "creationTimestamp"):
        assert patched["metadata"][field] == made["metadata"][field]


async def test_strict_patches_name_unknown_fields(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    with pytest.raises(ApiError, match='unknown field "dta"'):
        await lab.patch(CONFIG_MAP, "c", {"dta": {"a": "1"}}, field_validation="Strict")


# status -------------------------------------------------------------------------------------------


async def test_the_main_resource_leaves_the_status(lab: Any):
    await lab.create(POD, lab.pod("p"))
    patch = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}}
    patched = await lab.patch(POD, "p", patch)
    assert patched["status"]["phase"] == "Pending"
    assert patched["metadata"]["labels"] == {"a": "b"}


async def test_the_status_subresource_leaves_the_rest(lab: Any):
    made = await lab.create(POD, lab.pod("p"))
    patch = {
        "status": {"phase": "Running", "podIP": "10.244.0.5"},
        "metadata": {"labels": {"a": "b"}},
        "spec": {"nodeName": "node1"},
    }
    patched = await lab.patch(POD, "p", patch, subresource="status", patch_type="strategic")
    assert patched["status"]["podIP"] == "10.244.0.5"
    assert patched["spec"] == made["spec"]
    assert "labels" not in patched["metadata"]
    assert patched["metadata"]["generation"] == 1


async def test_a_revision_noted_through_the_status_is_no_change_of_what_was_asked_for(lab: Any):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    patch = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}}
    noted = await lab.patch(DEPLOYMENT, "d", patch, subresource="status")
    assert noted["metadata"]["annotations"] == patch["metadata"]["annotations"]
    assert noted["metadata"]["generation"] == 1


async def test_status_updates_conflict_too(lab: Any):
    await lab.create(POD, lab.pod("p"))
    old = await lab.get(POD, "p")
    await lab.patch(POD, "p", {"metadata": {"labels": {"a": "b"}}})
    old["status"]["phase"] = "Running"
    with pytest.raises(ApiError, match="the object has been modified"):
        await lab.update(POD, old, subresource="status")


async def test_kinds_without_status_have_no_such_subresource(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    with pytest.raises(ApiError) as raised:
        await lab.patch(CONFIG_MAP, "c", {}, subresource="status")
    assert raised.value.code == 405


# generations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "generation"),
    [
        ({"spec": {"replicas": 3}}, 2),
        ({"metadata": {"annotations": {"a": "b"}}}, 2),
        ({"metadata": {"labels": {"a": "b"}}}, 1),
        ({"spec": {"replicas": 1}}, 1),
    ],
    ids=["spec", "annotations", "labels", "nothing"],
)
async def test_a_deployments_generation(lab: Any, patch: Any, generation: int):
    await lab.create(DEPLOYMENT, lab.deployment("d"))
    assert (await lab.patch(DEPLOYMENT, "d", patch))["metadata"]["generation"] == generation


async def test_a_slices_generation_follows_its_content(lab: Any):
    made = await lab.create(
        ENDPOINT_SLICE, {"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": []}
    )
    assert made["metadata"]["generation"] == 1
    patch = {"endpoints": [{"addresses": ["10.244.0.5"]}]}
    assert (await lab.patch(ENDPOINT_SLICE, "s", patch))["metadata"]["generation"] == 2
    patch = {"metadata": {"annotations": {"a": "b"}}}
    assert (await lab.patch(ENDPOINT_SLICE, "s", patch))["metadata"]["generation"] == 2


# rules --------------------------------------------------------------------------------------------


async def test_invalid_updates_are_refused(lab: Any):
    await lab.create(POD, lab.pod("p"))
    with pytest.raises(ApiError) as raised:
        await lab.patch(POD, "p", {"spec": {"hostname": "x"}})
    assert 'Pod "p" is invalid: spec: Forbidden: pod updates may not change' in str(raised.value)


async def test_only_warnings_about_the_change_are_given(lab: Any):
    await lab.registry.create(POD, "default", lab.pod("p", hostNetwork=True), WriteOptions())
    result = await lab.registry.patch(
        POD, "default", "p", {"metadata": {"labels": {"a": "b"}}}, "merge", WriteOptions()
    )
    assert result.warnings == ()


async def test_a_namespaces_finalizers_change_only_through_finalize(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "shop"}})
    patched = await lab.patch(NAMESPACE, "shop", {"spec": {"finalizers": ["a.b/c"]}})
    assert patched["spec"] == {"finalizers": ["kubernetes"]}


async def test_string_data_becomes_data(lab: Any):
    await lab.create(SECRET, {"metadata": {"name": "s"}, "stringData": {"a": "hello"}})
    patched = await lab.patch(SECRET, "s", {"stringData": {"b": "bye"}})
    assert patched["data"] == {"a": "aGVsbG8=", "b": "Ynll"}
    assert "stringData" not in patched


async def test_dry_runs_change_nothing(lab: Any):
    made = await lab.create(SERVICE, lab.service("s"))
    body = {**made, "spec": {**made["spec"], "type": "NodePort"}}
    tried = await lab.update(SERVICE, body, dry_run=True)
    assert tried["spec"]["ports"][0]["nodePort"]
    assert (await lab.get(SERVICE, "s"))["spec"]["type"] == "ClusterIP"
