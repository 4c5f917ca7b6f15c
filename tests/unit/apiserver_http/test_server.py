"""The server as a client sees it: methods, forms, errors, headers."""

import asyncio
import contextlib
import io
import json

import aiohttp
import pytest

from netlab.api.kinds import CONFIG_MAP, NAMESPACE
from netlab.apiserver.http.server import SHUTDOWN_TIMEOUT_S
from tests.support.api import api_lab

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def config_map(name, **data):
    return {"metadata": {"name": name}, "data": data}


async def answer(response):
    return response.status, await response.json(content_type=None)


async def test_an_object_lives(http):
    status, made = await answer(await http.post(MAPS, json=config_map("a", k="v")))
    assert (status, made["kind"], made["data"]) == (201, "ConfigMap", {"k": "v"})
    status, read = await answer(await http.get(f"{MAPS}/a"))
    assert (status, read) == (200, made)
    made["data"]["k"] = "w"
    status, updated = await answer(await http.put(f"{MAPS}/a", json=made))
    assert (status, updated["data"]) == (200, {"k": "w"})
    status, gone = await answer(await http.delete(f"{MAPS}/a"))
    assert (status, gone["kind"], gone["status"]) == (200, "Status", "Success")
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}


PATCHES = {
    "json": ("application/json-patch+json", [{"op": "add", "path": "/data/b", "value": "2"}]),
    "merge": ("application/merge-patch+json", {"data": {"b": "2"}}),
    "strategic": ("application/strategic-merge-patch+json", {"data": {"b": "2"}}),
}


@pytest.mark.parametrize(("content_type", "patch"), PATCHES.values(), ids=PATCHES)
async def test_a_patch(http, content_type, patch):
    await http.post(MAPS, json=config_map("a", a="1"))
    response = await http.patch(
        f"{MAPS}/a", data=json.dumps(patch), headers={"Content-Type": content_type}
    )
    status, patched = await answer(response)
    assert (status, patched["data"]) == (200, {"a": "1", "b": "2"})


async def test_a_list_in_pages(http):
    for name in "abc":
        await http.post(MAPS, json=config_map(name))
    _, page = await answer(await http.get(f"{MAPS}?limit=2"))
    assert (page["kind"], page["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in page["items"]] == ["a", "b"]
    assert page["metadata"]["remainingItemCount"] == 1
    rest = await http.get(MAPS, params={"limit": "2", "continue": page["metadata"]["continue"]})
    _, rest = await answer(rest)
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert "continue" not in rest["metadata"]


async def test_a_collection_is_deleted(http):
    for name in "ab":
        await http.post(MAPS, json=config_map(name))
    status, deleted = await answer(await http.delete(MAPS))
    assert (status, len(deleted["items"])) == (200, 2)
    _, listed = await answer(await http.get(MAPS))
    assert listed["items"] == []


async def test_tables(http):
    await http.post(MAPS, json=config_map("a", k="v"))
    response = await http.get(MAPS, headers=TABLE)
    _, table = await answer(response)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in table["rows"]] == [["a", 1]]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    old = {"Accept": "application/json;as=Table;v=v1beta1;g=meta.k8s.io"}
    _, single = await answer(await http.get(f"{MAPS}/a?includeObject=Object", headers=old))
    assert single["apiVersion"] == "meta.k8s.io/v1beta1"
    assert single["rows"][0]["object"]["data"] == {"k": "v"}


async def test_metadata_only(http):
    await http.post(MAPS, json=config_map("a", k="v"))
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    _, partial = await answer(await http.get(MAPS, headers=accept))
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in partial["items"][0]


async def test_yaml_in_and_out(http):
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {day: '2026-01-01'}\n"
    headers = {"Content-Type": "application/yaml", "Accept": "application/yaml"}
    response = await http.post(MAPS, data=text, headers=headers)
    assert response.status == 201
    assert response.content_type == "application/yaml"
    assert "day: '2026-01-01'" in await response.text()


async def test_people_get_lines(http):
    plain = await (await http.get("/version")).text()
    curl = await (await http.get("/version", headers={"User-Agent": "curl/8"})).text()
    asked = await (await http.get("/version?pretty=true")).text()
    assert plain.count("\n") == 1
    assert curl == asked
    assert '\n  "major": "1",' in curl


REFUSED = {
    "no such object": ("GET", f"{MAPS}/a", {}, 404, "NotFound", 'configmaps "a" not found'),
    "no such resource": (
        "GET",
        "/api/v1/namespaces/default/widgets",
        {},
        404,
        "NotFound",
        "the server could not find the requested resource",
    ),
    "no such subresource": (
        "GET",
        f"{MAPS}/a/status",
        {},
        404,
        "NotFound",
        "the server could not find the requested resource",
    ),
    "post to an object": (
        "POST",
        f"{MAPS}/a",
        {"json": {}},
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    "create without a namespace": (
        "POST",
        "/api/v1/configmaps",
        {"json": {}},
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    "unknown body": (
        "POST",
        MAPS,
        {"data": b"x", "headers": {"Content-Type": "text/plain"}},
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf",
    ),
    "unknown patch": (
        "PATCH",
        f"{MAPS}/a",
        {"data": b"{}", "headers": {"Content-Type": "application/json"}},
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, "
        "application/strategic-merge-patch+json",
    ),
    "server-side apply": (
        "PATCH",
        f"{MAPS}/a",
        {"data": b"{}", "headers": {"Content-Type": "application/apply-patch+yaml"}},
        415,
        "UnsupportedMediaType",
        "server-side apply is not served by this version of netlab; apply without --server-side",
    ),
    "unknown form": (
        "GET",
        MAPS,
        {"headers": {"Accept": "text/html"}},
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf",
    ),
    "too large": (
        "POST",
        MAPS,
        {
            "data": io.BytesIO(b" " * (3 * 1024 * 1024 + 1)),
            "headers": {"Content-Type": "application/json"},
        },
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    ),
    "unknown field": (
        "POST",
        f"{MAPS}?fieldValidation=Strict",
        {"json": {"metadata": {"name": "a"}, "dta": {}}},
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'unknown field "dta"',
    ),
    "field given twice": (
        "POST",
        f"{MAPS}?fieldValidation=Strict",
        {"data": b'{"metadata":{"name":"a","name":"b"}}'},
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "metadata.name"',
    ),
}


@pytest.mark.parametrize(
    ("method", "path", "sent", "code", "reason", "message"), REFUSED.values(), ids=REFUSED
)
async def test_an_error_is_a_status(http, method, path, sent, code, reason, message):
    sent = dict(sent)
    if "data" in sent:
        sent.setdefault("headers", {"Content-Type": "application/json"})
    status, body = await answer(await http.request(method, path, **sent))
    assert (status, body["kind"], body["status"], body["code"]) == (code, "Status", "Failure", code)
    assert (body["reason"], body["message"]) == (reason, message)


async def test_an_unknown_subresource_has_empty_details(http):
    # kubectl debug looks into the details to tell a missing pod from a missing subresource
    _, body = await answer(await http.patch("/api/v1/namespaces/default/pods/a/nonsense"))
    assert body["details"] == {}


async def test_warnings_are_headers(http):
    response = await http.post(MAPS, json={"metadata": {"name": "a"}, "dta": {}})
    assert response.status == 201
    assert response.headers.getall("Warning") == ['299 - "unknown field \\"dta\\""']
    old = await http.get("/api/v1/endpoints")
    assert old.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated in v1.33+')


async def test_every_answer_has_an_audit_id(http):
    found = {(await http.get(path)).headers["Audit-Id"] for path in ("/version", MAPS, "/nosuch")}
    assert len(found) == 3


async def test_dry_run_stores_nothing(http):
    response = await http.post(f"{MAPS}?dryRun=All", json=config_map("a"))
    assert response.status == 201
    assert (await http.get(f"{MAPS}/a")).status == 404


async def test_health(http):
    assert await (await http.get("/healthz")).text() == "ok"
    assert await (await http.get("/readyz/ping")).text() == "ok"
    verbose = await (await http.get("/readyz?verbose")).text()
    assert verbose == "[+]ping ok\n[+]shutdown ok\nreadyz check passed\n"
    assert (await http.get("/livez/nosuch")).status == 404


async def test_discovery_is_not_sent_twice(http):
    for path, accept in (
        ("/api", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
        ("/apis/apps/v1", "application/json"),
        ("/openapi/v3", "application/json"),
    ):
        first = await http.get(path, headers={"Accept": accept})
        assert first.status == 200
        assert first.headers["Content-Type"].replace(" ", "") == accept
        again = {"Accept": accept, "If-None-Match": first.headers["ETag"]}
        assert (await http.get(path, headers=again)).status == 304


async def test_openapi_by_hash(http):
    index = await (await http.get("/openapi/v3")).json()
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    document = await http.get(url)
    assert document.headers["Cache-Control"] == "public, immutable"
    assert "io.k8s.api.apps.v1.Deployment" in (await document.json())["components"]["schemas"]
    stale = await http.get("/openapi/v3/apis/apps/v1?hash=OLD", allow_redirects=False)
    assert (stale.status, stale.headers["Location"]) == (301, url)
    assert (await http.get("/openapi/v3/apis/nosuch/v1")).status == 404


async def test_openapi_v2_forms(http):
    wanted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    protobuf = await http.get("/openapi/v2", headers={"Accept": wanted})
    assert protobuf.headers["Content-Type"] == wanted.replace("v2@", "v2.")
    assert (await protobuf.read()).startswith(b"\n\x032.0")
    plain = await (await http.get("/openapi/v2")).json()
    assert plain["swagger"] == "2.0"


class Stream:
    """Lines of a watch."""

    def __init__(self, response):
        self.response = response

    async def next(self):
        async with asyncio.timeout(5):
            return json.loads(await self.response.content.readline())


async def test_a_watch(http):
    _, listed = await answer(await http.get(MAPS))
    version = listed["metadata"]["resourceVersion"]
    response = await http.get(f"{MAPS}?watch=true&resourceVersion={version}")
    assert response.headers["Content-Type"] == "application/json"
    stream = Stream(response)
    await http.post(MAPS, json=config_map("a"))
    await http.delete(f"{MAPS}/a")
    added, deleted = await stream.next(), await stream.next()
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert deleted["type"] == "DELETED"
    response.close()


async def test_a_watch_ends_with_a_bookmark(http):
    query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersionMatch=NotOlderThan"
    await http.post(MAPS, json=config_map("a"))
    response = await http.get(f"{MAPS}?{query}&sendInitialEvents=true")
    events = [json.loads(line) for line in (await response.read()).splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK", "BOOKMARK"]
    annotations = events[1]["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_of_tables_tells_its_columns_once(http):
    await http.post(MAPS, json=config_map("a"))
    response = await http.get(f"{MAPS}?watch=true", headers=TABLE)
    stream = Stream(response)
    first = await stream.next()
    assert first["object"]["kind"] == "Table"
    assert len(first["object"]["columnDefinitions"]) == 3
    await http.post(MAPS, json=config_map("b"))
    second = await stream.next()
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "b"
    response.close()


async def test_a_reader_that_goes_away_ends_its_watch(lab, http):
    response = await http.get(f"{MAPS}?watch=true")
    running = lab.plane.server._streaming
    assert len(running) == 1
    response.close()
    async with asyncio.timeout(5):
        while running:
            await asyncio.sleep(0)


async def test_a_namespace_is_a_collection_and_an_object(http):
    status, made = await answer(
        await http.post("/api/v1/namespaces", json={"metadata": {"name": "n"}})
    )
    assert (status, made["kind"]) == (201, "Namespace")
    path = NAMESPACE.path(None, "n")
    assert (await http.get(path)).status == 200
    assert (await http.get(CONFIG_MAP.path("n"))).status == 200


async def test_scale(http):
    deployment = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "busybox"}]},
            },
        },
    }
    base = "/apis/apps/v1/namespaces/default/deployments"
    await http.post(base, json=deployment)
    response = await http.patch(
        f"{base}/d/scale",
        data=b'{"spec":{"replicas":3}}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    status, scale = await answer(response)
    assert (status, scale["kind"], scale["spec"]) == (200, "Scale", {"replicas": 3})
    scale["spec"]["replicas"] = 2
    status, scale = await answer(await http.put(f"{base}/d/scale", json=scale))
    assert (status, scale["spec"]) == (200, {"replicas": 2})
    _, read = await answer(await http.get(f"{base}/d"))
    assert read["spec"]["replicas"] == 2


async def test_there_are_no_custom_resources(http):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    _, listed = await answer(await http.get(path))
    assert (listed["kind"], listed["items"]) == ("CustomResourceDefinitionList", [])
    assert (await http.get(f"{path}/x")).status == 404
    assert (await http.post(path, json={})).status == 405


async def test_an_unforeseen_error_is_a_500_and_the_server_goes_on(lab, http, monkeypatch, caplog):
    async def broken(*args, **more):
        raise RuntimeError("boom")

    monkeypatch.setattr(lab.plane.registry, "get", broken)
    status, body = await answer(await http.get(f"{MAPS}/a"))
    assert (status, body["reason"]) == (500, "InternalError")
    assert body["message"] == "Internal error occurred: boom"
    assert "boom" in caplog.text
    assert (await http.get(MAPS)).status == 200


async def test_the_server_stops_while_somebody_watches(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        lab = await stack.enter_async_context(api_lab(tmp_path))
        async with lab.session() as http:
            response = await http.get(f"{MAPS}?watch=true")
            async with asyncio.timeout(SHUTDOWN_TIMEOUT_S / 2):
                await stack.aclose()
            with contextlib.suppress(aiohttp.ClientError):
                await response.read()


async def test_a_kind_that_cannot_be_watched(http):
    async with http.get("/api/v1/componentstatuses", params={"watch": "true"}) as answer:
        assert answer.status == 405
        assert "not supported" in (await answer.json())["message"]
    async with http.get("/api/v1/componentstatuses") as answer:
        assert answer.headers["Warning"] == '299 - "v1 ComponentStatus is deprecated in v1.19+"'
        assert [item["metadata"]["name"] for item in (await answer.json())["items"]] == ["etcd-0"]
