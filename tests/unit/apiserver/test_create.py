"""Creating: identity, names, what is dropped, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINTS,
    LEASE,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from netlab.apiserver.requests import WriteOptions
from netlab.errors import ApiError, StorageError
from netlab.store.log import Log


async def test_a_new_object_gets_its_identity(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c", a="1"))
    assert made["apiVersion"] == "v1"
    assert made["kind"] == "ConfigMap"
    metadata = made["metadata"]
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert metadata["namespace"] == "default"
    assert metadata["resourceVersion"] == "3"
    assert len(metadata["uid"]) == 36
    assert "generation" not in metadata
    assert await lab.get(CONFIG_MAP, "c") == made


async def test_what_only_the_server_sets_is_not_taken_from_the_client(lab: Any):
    body = lab.config_map("c")
    body["metadata"] |= {
        "uid": "mine",
        "creationTimestamp": "1999-01-01T00:00:00Z",
        "deletionTimestamp": "1999-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3,
        "generation": 9,
        "selfLink": "/x",
        "managedFields": [{"manager": "me"}],
    }
    metadata = (await lab.create(CONFIG_MAP, body))["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["resourceVersion"] == "3"
    assert metadata["creationTimestamp"] == "2026-01-01T00:00:00Z"
    dropped = {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"}
    assert not dropped & set(metadata)


@pytest.mark.parametrize(("version", "refused"), [("77", True), ("x", True), ("0", False)])
async def test_a_new_object_is_at_no_version_yet(lab: Any, version: str, refused: bool):
    body = lab.config_map("c")
    body["metadata"]["resourceVersion"] = version
    if not refused:
        assert (await lab.create(CONFIG_MAP, body))["metadata"]["resourceVersion"] == "3"
        return
    with pytest.raises(ApiError) as caught:
        await lab.create(CONFIG_MAP, body)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert str(caught.value) == "resourceVersion should not be set on objects to be created"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (NAMESPACE, {"phase": "Active"}),
        (POD, {"phase": "Pending", "qosClass": "BestEffort"}),
        (SERVICE, {"loadBalancer": {}}),
        (REPLICA_SET, {"replicas": 0}),
        (DEPLOYMENT, {}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_the_first_status_is_the_servers(lab: Any, kind: Any, status: Any):
    bodies = {
        NAMESPACE: {"metadata": {"name": "x"}},
        POD: lab.pod("x"),
        SERVICE: lab.service("x"),
        REPLICA_SET: lab.deployment("x"),
        DEPLOYMENT: lab.deployment("x"),
    }
    body = {**bodies[kind], "status": {"phase": "Failed", "replicas": 4, "readyReplicas": 4}}
    if kind in (NAMESPACE, POD):
        body["status"] = {"phase": "Failed"}
    elif kind is SERVICE:
        body["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    assert (await lab.create(kind, body))["status"] == status


async def test_a_node_brings_its_status(lab: Any):
    status = {"capacity": {"cpu": "2"}}
    made = await lab.create(NODE, {"metadata": {"name": "node0"}, "status": status})
    assert made["status"]["capacity"] == {"cpu": "2"}


@pytest.mark.parametrize(
    ("kind", "generation"), [(POD, 1), (DEPLOYMENT, 1), (CONFIG_MAP, None), (SERVICE, None)]
)
async def test_generation_only_where_kubernetes_counts(lab: Any, kind: Any, generation: Any):
    bodies = {
        POD: lab.pod("x"),
        DEPLOYMENT: lab.deployment("x"),
        CONFIG_MAP: lab.config_map("x"),
        SERVICE: lab.service("x"),
    }
    assert (await lab.create(kind, bodies[kind]))["metadata"].get("generation") == generation


async def test_generated_names_never_collide(lab: Any):
    names = set()
    for _ in range(30):
        body = {"metadata": {"generateName": "web-"}}
        made = await lab.create(CONFIG_MAP, body)
        assert made["metadata"]["generateName"] == "web-"
        names.add(made["metadata"]["name"])
    assert len(names) == 30
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


async def test_a_taken_generated_name_is_tried_again(lab: Any, monkeypatch: pytest.MonkeyPatch):
    names = iter(["web-a", "web-a", "web-a", "web-b"])
    monkeypatch.setattr("netlab.apiserver.registry.registry.generate_name", lambda *_: next(names))
    body = {"metadata": {"generateName": "web-"}}
    first = await lab.create(CONFIG_MAP, {"metadata": dict(body["metadata"])})
    second = await lab.create(CONFIG_MAP, body)
    assert [made["metadata"]["name"] for made in (first, second)] == ["web-a", "web-b"]


REFUSALS = {
    "no name": (
        {"metadata": {}},
        {},
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    ),
    "bad name": ({"metadata": {"name": "A_b"}}, {}, 'ConfigMap "A_b" is invalid: metadata.name: '),
    "wrong namespace": (
        {"metadata": {"name": "c", "namespace": "other"}},
        {},
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    "wrong kind": (
        {"kind": "Secret", "metadata": {"name": "c"}},
        {},
        'Secret in version "v1" cannot be handled as a ConfigMap',
    ),
    "wrong version": (
        {"apiVersion": "apps/v1", "metadata": {"name": "c"}},
        {},
        "the API version in the data (apps/v1) does not match the expected API version (v1)",
    ),
    "unknown field": (
        {"metadata": {"name": "c"}, "dta": {}},
        {"field_validation": "Strict"},
        'strict decoding error: unknown field "dta"',
    ),
    "duplicate field": (
        {"metadata": {"name": "c"}},
        {"field_validation": "Strict", "duplicate_fields": ("data.x",)},
        'strict decoding error: duplicate field "data.x"',
    ),
    "missing namespace": ({"metadata": {"name": "c"}}, {"to": "nowhere"}, 'namespaces "nowhere"'),
    "no object": ([], {}, "the body of the request is not an object"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refused(lab: Any, case: str):
    body, options, message = REFUSALS[case]
    options = dict(options)
    namespace = options.pop("to", "default")
    with pytest.raises(ApiError) as raised:
        await lab.create(CONFIG_MAP, body, namespace, **options)
    assert message in raised.value.message
    assert lab.store.revision == 2


async def test_existing_names_are_refused(lab: Any):
    await lab.create(CONFIG_MAP, lab.config_map("c"))
    with pytest.raises(ApiError) as raised:
        await lab.create(CONFIG_MAP, lab.config_map("c"))
    assert raised.value.message == 'configmaps "c" already exists'
    assert raised.value.code == 409
    assert raised.value.reason == "AlreadyExists"


async def test_a_name_that_is_still_being_deleted_says_so(lab: Any):
    body = lab.config_map("c")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await lab.create(CONFIG_MAP, body)
    await lab.delete(CONFIG_MAP, "c")
    with pytest.raises(ApiError, match=r'^object is being deleted: configmaps "c" already exists'):
        await lab.create(CONFIG_MAP, lab.config_map("c"))


async def test_two_creates_at_once_give_one_object(lab: Any):
    outcomes = await asyncio.gather(
        *(lab.create(CONFIG_MAP, lab.config_map("c", n=str(n))) for n in range(10)),
        return_exceptions=True,
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(made) == 1
    assert await lab.get(CONFIG_MAP, "c") == made[0]


async def test_warnings(lab: Any):
    body = {"metadata": {"name": "c"}, "dta": {}}
    result = await lab.registry.create(
        CONFIG_MAP, "default", body, WriteOptions(duplicate_fields=("data",))
    )
    assert result.warnings == ('unknown field "dta"', 'duplicate field "data"')
    assert result.created
    assert "dta" not in result.item.object


async def test_inert_fields_are_told_unless_nobody_listens(lab: Any):
    body = lab.pod("p", priorityClassName="", hostUsers=False)
    result = await lab.registry.create(POD, "default", body, WriteOptions())
    assert any("hostUsers" in text for text in result.warnings)
    body = lab.pod("q", hostUsers=False)
    result = await lab.registry.create(POD, "default", body, WriteOptions(advise=False))
    assert result.warnings == ()


def test_endpoints_are_deprecated(lab: Any):
    assert ENDPOINTS.warnings == (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    )
    assert POD.warnings == ()


async def test_dry_run_stores_nothing(lab: Any):
    made = await lab.create(CONFIG_MAP, lab.config_map("c"), dry_run=True)
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    assert await lab.names(CONFIG_MAP) == []
    assert lab.store.revision == 2


async def test_cluster_scoped_objects_have_no_namespace(lab: Any):
    made = await lab.create(NAMESPACE, {"metadata": {"name": "shop"}})
    assert "namespace" not in made["metadata"]
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}


@pytest.mark.parametrize("kind", [LEASE, ENDPOINTS], ids=lambda kind: kind.kind)
async def test_put_creates_where_kubernetes_does(lab: Any, kind: Any):
    body = {"metadata": {"name": "x", "namespace": "default"}}
    result = await lab.registry.update(kind, "default", "x", body, WriteOptions())
    assert result.created
    assert (await lab.get(kind, "x"))["metadata"]["uid"]


async def test_a_full_disk_is_no_success(lab: Any, monkeypatch: pytest.MonkeyPatch):
    def full(self: Log, rows: Any) -> None:
        raise StorageError("store x: write: no space left on the disk; nothing was saved")

    monkeypatch.setattr(Log, "append", full)
    with pytest.raises(StorageError, match="no space left"):
        await lab.create(CONFIG_MAP, lab.config_map("c"))
    assert await lab.names(CONFIG_MAP) == []


async def test_a_caller_that_gives_up_does_not_undo_the_write(lab: Any):
    task = asyncio.create_task(lab.create(CONFIG_MAP, lab.config_map("c")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await lab.create(CONFIG_MAP, lab.config_map("d"))
    assert await lab.names(CONFIG_MAP) == ["c", "d"]


async def test_a_pod_waits_a_moment_for_the_default_account(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "new"}})
    making = asyncio.create_task(lab.create(POD, lab.pod("p"), "new"))
    await asyncio.sleep(0)
    await lab.clock.advance(0.15)
    assert not making.done()
    await lab.create(SERVICE_ACCOUNT, {"metadata": {"name": "default"}}, "new")
    await lab.clock.advance(0.1)
    assert (await making)["spec"]["serviceAccountName"] == "default"


async def test_a_pod_without_account_is_refused_in_the_end(lab: Any):
    await lab.create(NAMESPACE, {"metadata": {"name": "new"}})
    making = asyncio.create_task(lab.create(POD, lab.pod("p"), "new"))
    await asyncio.sleep(0)
    await lab.clock.advance(2)
    with pytest.raises(ApiError) as raised:
        await making
    assert raised.value.message == (
        'pods "p" is forbidden: error looking up service account new/default:'
        ' serviceaccount "default" not found'
    )
