"""``client.https.HttpsClient`` against the real server, and what it makes of errors."""

import asyncio

import pytest

from netlab.api.kinds import CONFIG_MAP, POD, SERVICE_ACCOUNT
from netlab.client.https import Endpoint, HttpsClient, _error, in_cluster_endpoint
from netlab.client.informer import Informer, wait_synced
from netlab.clock import SystemClock
from netlab.errors import ApiError, HostError, is_conflict, is_expired, is_not_found


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


async def test_verbs(client):
    made = await client.create(CONFIG_MAP, "default", config_map("a", k="1"))
    assert (await client.get(CONFIG_MAP, "default", "a")) == made
    patched = await client.patch(CONFIG_MAP, "default", "a", {"data": {"k": "2"}})
    assert patched["data"] == {"k": "2"}
    with pytest.raises(ApiError) as raised:
        await client.update(CONFIG_MAP, "default", made)
    assert is_conflict(raised.value)
    listed = await client.list(CONFIG_MAP, "default", field_selector="metadata.name=a")
    assert [item["metadata"]["name"] for item in listed.items] == ["a"]
    with pytest.raises(ApiError) as raised:
        await client.delete(CONFIG_MAP, "default", "a", uid="other")
    assert is_conflict(raised.value)
    await client.delete(CONFIG_MAP, "default", "a", grace_period_s=0, propagation="Background")
    with pytest.raises(ApiError) as raised:
        await client.get(CONFIG_MAP, "default", "a")
    assert is_not_found(raised.value)


async def test_a_long_list_comes_in_pages(client, lab, monkeypatch):
    monkeypatch.setattr("netlab.client.https.PAGE", 2)
    for name in "abcde":
        await lab.local.create(CONFIG_MAP, "default", config_map(name))
    listed = await client.list(CONFIG_MAP, "default")
    assert [item["metadata"]["name"] for item in listed.items] == list("abcde")


async def test_subresources(client, lab):
    await lab.make_pod("p", node="")
    target = {"apiVersion": "v1", "kind": "Node", "name": "node0"}
    await client.create_subresource(POD, "default", "p", "binding", {"target": target})
    assert (await client.get(POD, "default", "p"))["spec"]["nodeName"] == "node0"
    answer = await client.create_subresource(
        SERVICE_ACCOUNT, "default", "default", "token", {"spec": {}}
    )
    assert answer["status"]["token"]


async def test_a_watch_goes_on_from_its_last_bookmark(client, lab, monkeypatch):
    monkeypatch.setattr("netlab.client.https.WATCH_TIMEOUT_S", 1)
    version = (await client.list(CONFIG_MAP)).resource_version
    await lab.local.create(CONFIG_MAP, "default", config_map("early"))
    seen = []
    async with asyncio.timeout(10):
        async for event in client.watch(CONFIG_MAP, resource_version=version):
            seen.append((event.type, event.object["metadata"].get("name")))
            version = event.object["metadata"]["resourceVersion"]
        await lab.local.create(CONFIG_MAP, "default", config_map("late"))
        async for event in client.watch(CONFIG_MAP, resource_version=version):
            seen.append((event.type, event.object["metadata"].get("name")))
            break
    assert seen == [("ADDED", "early"), ("BOOKMARK", None), ("ADDED", "late")]


async def test_a_watch_from_the_future_or_the_past(client):
    with pytest.raises(ApiError) as raised:
        async for _ in client.watch(CONFIG_MAP, resource_version="nonsense"):
            pass
    assert not is_expired(raised.value)


async def test_an_informer_follows(client, lab):
    informer = Informer(client, CONFIG_MAP, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await wait_synced([informer])
        changed = asyncio.Event()
        informer.on_change(lambda old, new: changed.set())
        changed.clear()
        await lab.local.create(CONFIG_MAP, "default", config_map("a"))
        async with asyncio.timeout(5):
            await changed.wait()
        assert informer.get("default", "a") is not None
        task.cancel()


async def test_an_unreachable_server_is_told(lab):
    gone = Endpoint(url="https://127.0.0.1:1", ca_pem=lab.pki.ca_pem)
    async with HttpsClient(gone) as client:
        with pytest.raises(ApiError) as raised:
            await client.list(CONFIG_MAP)
    assert raised.value.reason == "ServiceUnavailable"
    assert "https://127.0.0.1:1" in raised.value.message


def test_an_answer_that_is_no_status_is_told_by_its_text():
    error = _error(502, b"<html>bad gateway</html>")
    assert (error.code, error.message) == (502, "<html>bad gateway</html>")


async def test_a_pod_finds_its_server(tmp_path, lab):
    (tmp_path / "ca.crt").write_bytes(lab.pki.ca_pem)
    (tmp_path / "token").write_text("t\n")
    environment = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    endpoint = in_cluster_endpoint(environment, tmp_path)
    assert (endpoint.url, endpoint.token_file) == ("https://10.96.0.1:443", tmp_path / "token")
    with pytest.raises(HostError, match="this is no pod"):
        in_cluster_endpoint({}, tmp_path)
    with pytest.raises(HostError, match="No such file"):
        in_cluster_endpoint(environment, tmp_path / "nosuch")
