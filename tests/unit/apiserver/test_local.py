"""The in-process client, what every cluster begins with, and the end of Events."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import msgspec
import pytest

from netlab.api.kinds import (
    CONFIG_MAP,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    NAMESPACE,
    POD,
    SERVICE,
    STORAGE_CLASS,
)
from netlab.apiserver.bootstrap import (
    KEEP_INTERVAL_S,
    ensure_system_objects,
    keep_kubernetes_service,
)
from netlab.apiserver.expiry import expire_events
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo
from netlab.client.informer import Informer
from netlab.client.interface import Client
from netlab.errors import is_conflict, is_not_found


@pytest.fixture
def client(lab: Any) -> Client:
    return LocalClient(lab.registry, UserInfo("tester"))


async def test_verbs(lab: Any, client: Client):
    made = await client.create(CONFIG_MAP, "default", lab.config_map("c", a="1"))
    assert await client.get(CONFIG_MAP, "default", "c") == made
    updated = await client.update(CONFIG_MAP, "default", {**made, "data": {"a": "2"}})
    with pytest.raises(Exception, match="modified") as raised:
        await client.update(CONFIG_MAP, "default", made)
    assert is_conflict(raised.value)
    patched = await client.patch(CONFIG_MAP, "default", "c", {"data": {"b": "3"}})
    assert patched["data"] == {"a": "2", "b": "3"}
    listed = await client.list(CONFIG_MAP)
    assert listed.items == [patched]
    assert listed.resource_version > updated["metadata"]["resourceVersion"]
    await client.delete(CONFIG_MAP, "default", "c", uid=made["metadata"]["uid"])
    with pytest.raises(Exception, match="not found") as raised:
        await client.get(CONFIG_MAP, "default", "c")
    assert is_not_found(raised.value)


async def test_objects_are_the_callers_own(lab: Any, client: Client):
    body = lab.config_map("c", a="1")
    body["metadata"]["labels"] = {"a": "b"}
    made = await client.create(CONFIG_MAP, "default", body)
    body["data"]["a"] = made["data"]["a"] = "changed"
    got = await client.get(CONFIG_MAP, "default", "c")
    got["metadata"]["labels"]["a"] = "changed"
    listed = await client.list(CONFIG_MAP)
    listed.items[0]["data"]["a"] = "changed"
    again = await client.get(CONFIG_MAP, "default", "c")
    assert again["data"] == {"a": "1"}
    assert again["metadata"]["labels"] == {"a": "b"}


async def test_two_watchers_do_not_share_objects(lab: Any, client: Client):
    version = str(lab.store.revision)
    streams = [client.watch(CONFIG_MAP, resource_version=version) for _ in range(2)]
    waiting = [asyncio.create_task(anext(stream)) for stream in streams]
    await asyncio.sleep(0)
    await client.create(CONFIG_MAP, "default", lab.config_map("c", a="1"))
    first, second = await asyncio.gather(*waiting)
    first.object["data"]["a"] = "changed"
    assert second.object["data"] == {"a": "1"}
    for stream in streams:
        await stream.aclose()
    assert lab.store._watchers["configmaps"] == []


async def test_an_informer_follows(lab: Any, client: Client):
    informer = Informer(client, POD, lab.clock)
    running = asyncio.create_task(informer.run())
    await informer.synced.wait()
    await client.create(POD, "default", lab.pod("p"))
    await client.create_subresource(POD, "default", "p", "binding", {"target": {"name": "node0"}})
    for _ in range(5):
        await asyncio.sleep(0)
    pod = informer.get("default", "p")
    assert pod is not None
    assert pod.spec.node_name == "node0"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_every_cluster_begins_alike(lab: Any, client: Client):
    await ensure_system_objects(client, lab.config)
    names = {item["metadata"]["name"] for item in (await client.list(NAMESPACE)).items}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    service = await client.get(SERVICE, "default", "kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    assert service["spec"]["ports"] == [
        {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    ]
    endpoints = await client.get(ENDPOINTS, "default", "kubernetes")
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "10.100.199.200"}]
    piece = await client.get(ENDPOINT_SLICE, "default", "kubernetes")
    assert piece["endpoints"][0]["addresses"] == ["10.100.199.200"]
    assert piece["ports"][0]["port"] == 6443


async def test_the_service_of_the_api_comes_back(lab: Any, client: Client):
    await ensure_system_objects(client, lab.config)
    keeping = asyncio.create_task(keep_kubernetes_service(client, lab.config, lab.clock))
    await asyncio.sleep(0)
    for kind in (SERVICE, ENDPOINTS, ENDPOINT_SLICE):
        await client.delete(kind, "default", "kubernetes")
    await client.delete(STORAGE_CLASS, None, "standard")
    await lab.clock.advance(KEEP_INTERVAL_S)
    async with asyncio.timeout(2):
        while not (await client.list(ENDPOINT_SLICE, "default")).items:
            await asyncio.sleep(0)
    assert (await client.get(SERVICE, "default", "kubernetes"))["spec"]["clusterIP"] == "10.96.0.1"
    assert (await client.get(ENDPOINTS, "default", "kubernetes"))["subsets"]
    assert (await client.list(STORAGE_CLASS)).items == []  # that one is the user's to delete
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_beginning_again_changes_nothing(lab: Any, client: Client):
    await ensure_system_objects(client, lab.config)
    version = lab.store.revision
    await ensure_system_objects(client, lab.config)
    assert lab.store.revision == version


@pytest.mark.parametrize(
    ("change", "address", "port", "endpoint"),
    [
        ({"api_port": 7443}, "10.96.0.1", 7443, "10.100.199.200"),
        ({"node_address": "10.1.0.5/24"}, "10.96.0.1", 6443, "10.1.0.5"),
        ({"service_cidr": "10.200.0.0/16"}, "10.200.0.1", 6443, "10.100.199.200"),
    ],
    ids=["port", "node", "range"],
)
async def test_beginning_again_follows_the_configuration(
    lab: Any, client: Client, change: Any, address: str, port: int, endpoint: str
):
    await ensure_system_objects(client, lab.config)
    kinds: dict[str, Any] = {"node_address": IPv4Interface, "service_cidr": IPv4Network}
    typed = {name: kinds.get(name, int)(value) for name, value in change.items()}
    config = msgspec.structs.replace(lab.config, **typed)
    again = LocalClient(Registry(lab.store, config, lab.clock), UserInfo("tester"))
    await ensure_system_objects(again, config)
    service = await client.get(SERVICE, "default", "kubernetes")
    assert service["spec"]["clusterIP"] == address
    assert service["spec"]["ports"][0]["targetPort"] == port
    piece = await client.get(ENDPOINT_SLICE, "default", "kubernetes")
    assert piece["endpoints"][0]["addresses"] == [endpoint]
    assert piece["ports"][0]["port"] == port


async def test_events_go_after_an_hour(lab: Any, client: Client):
    for name, told in (("old", "2026-01-01T00:00:00Z"), ("new", "2026-01-01T00:30:00Z")):
        await client.create(
            EVENT,
            "default",
            {
                "metadata": {"name": name},
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
                "lastTimestamp": told,
            },
        )
    assert await expire_events(lab.store, client, lab.clock.now() + timedelta(minutes=59)) == 0
    assert await expire_events(lab.store, client, lab.clock.now() + timedelta(minutes=60)) == 1
    assert await lab.names(EVENT) == ["new"]
