"""What clients get wrong is told to them as a 4xx Status, and leaves no trace in the log."""

import asyncio
import base64
import io
import json
import logging
from random import Random

import pytest
from yarl import URL

from netlab.apiserver.http import exchange
from netlab.apiserver.streams import log_messages
from netlab.streaming import front
from tests.support.api import api_lab

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
DEEP = b'{"metadata":{"name":"a"},"x":' + b"[" * 700 + b"]" * 700 + b"}"

BAD = {
    "timeout is no duration": ("GET", f"{MAPS}?timeout=invalid", {}, b"", 400),
    "timeout without unit": ("GET", f"{MAPS}?timeout=30", {}, b"", 400),
    "limit is no number": ("GET", f"{MAPS}?limit=1_0", {}, b"", 400),
    "limit out of range": ("GET", f"{MAPS}?limit={'9' * 5000}", {}, b"", 400),
    "sinceSeconds of 15 digits": ("GET", f"{PODS}/p/log?sinceSeconds={'9' * 15}", {}, b"", 200),
    "tailLines out of range": ("GET", f"{PODS}/p/log?tailLines={'9' * 30}", {}, b"", 400),
    "sinceTime with half a second": ("GET", f"{PODS}/p/log?sinceTime=x", {}, b"", 400),
    "timeoutSeconds is no number": ("GET", f"{MAPS}?timeoutSeconds=abc", {}, b"", 400),
    "long field manager": ("POST", f"{MAPS}?fieldManager={'x' * 129}", JSON, b"{}", 422),
    "field manager with a bell": ("POST", f"{MAPS}?fieldManager=a%07", JSON, b"{}", 422),
    "deep JSON": ("POST", MAPS, JSON, DEEP, 400),
    "deep patch": (
        "PATCH",
        f"{MAPS}/kept",
        {"Content-Type": "application/merge-patch+json"},
        DEEP,
        400,
    ),
    "spec is a list": ("POST", REVIEW, JSON, b'{"spec":[1]}', 400),
    "groups is a text": (
        "POST",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        JSON,
        b'{"spec":{"user":"a","groups":"b","resourceAttributes":{"verb":"get"}}}',
        400,
    ),
    "token is a number": (
        "POST",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        JSON,
        b'{"spec":{"token":1}}',
        400,
    ),
    "gzip": ("POST", MAPS, {**JSON, "Content-Encoding": "gzip"}, b"{}", 415),
    "unknown content encoding": ("POST", MAPS, {**JSON, "Content-Encoding": "x"}, b"{}", 415),
    "CBOR": ("POST", MAPS, {"Content-Type": "application/cbor"}, b"\xa0", 415),
    "no media type": ("POST", MAPS, {"Content-Type": "///"}, b"{}", 415),
    "group without a user": ("GET", MAPS, {"Impersonate-Group": "a"}, b"", 400),
    "empty user": ("GET", MAPS, {"Impersonate-User": ""}, b"", 200),
    "DeleteOptions is a list": ("DELETE", f"{MAPS}/kept", JSON, b"[]", 400),
    "preconditions is a text": ("DELETE", f"{MAPS}/kept", JSON, b'{"preconditions":"a"}', 400),
    "dryRun is a text": ("DELETE", f"{MAPS}/kept", JSON, b'{"dryRun":"All"}', 400),
    "grace is a text": ("DELETE", f"{MAPS}/kept", JSON, b'{"gracePeriodSeconds":"1"}', 400),
    "DeleteOptions is a pod": ("DELETE", f"{MAPS}/kept", JSON, b'{"kind":"Pod"}', 400),
    "binding target is a text": ("POST", f"{PODS}/p/binding", JSON, b'{"target":"n"}', 400),
    "eviction options is a list": (
        "POST",
        f"{PODS}/p/eviction",
        JSON,
        b'{"deleteOptions":[]}',
        400,
    ),
    "token request spec is a list": (
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        JSON,
        b'{"spec":[]}',
        400,
    ),
    "infinity": ("POST", MAPS, YAML, b"metadata: {name: a}\ndata: {a: .inf}", 400),
    "a review as a Table": (
        "POST",
        REVIEW,
        {**JSON, "Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"},
        b'{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}',
        406,
    ),
    "long selector": ("GET", f"{MAPS}?labelSelector={'a,' * 40000}", {}, b"", 400),
    "resourceVersion": (
        "POST",
        MAPS,
        JSON,
        b'{"metadata":{"name":"a","resourceVersion":"7"}}',
        400,
    ),
    "large body": ("POST", MAPS, JSON, b" " * (3 * 1024 * 1024 + 1), 413),
    "many fields": (
        "POST",
        MAPS,
        JSON,
        json.dumps({"data": {f"k{i}": "" for i in range(40_000)}}).encode(),
        413,
    ),
    "integer beyond 64 bits": (
        "POST",
        "/api/v1/namespaces/default/services",
        JSON,
        b'{"metadata":{"name":"s"},"spec":{"ports":[{"port":1,"targetPort":99999999999}]}}',
        400,
    ),
}


@pytest.fixture
async def world(lab, http):
    await http.post(MAPS, json={"metadata": {"name": "kept"}})
    await lab.make_pod("p", node="")
    return http


@pytest.mark.parametrize(("method", "path", "headers", "body", "code"), BAD.values(), ids=BAD)
async def test_bad_requests(world, caplog, method, path, headers, body, code):
    caplog.set_level(logging.WARNING)
    response = await world.request(method, path, headers=headers, data=io.BytesIO(body))
    text = await response.text()
    assert response.status == code, text
    if code != 200:
        status = json.loads(text)
        assert (status["kind"], status["code"]) == ("Status", code)
        assert "\n" not in status["message"]
        assert "Error:" not in status["message"]
    assert not caplog.records


async def test_what_a_bad_timeout_is_told(http):
    status = await (await http.get(f"{MAPS}?timeout=invalid")).json()
    assert status["message"] == (
        'invalid timeout specified in the request URL - time: invalid duration "invalid"'
    )


async def test_tags_of_yaml_mean_nothing_and_a_mark_of_ours_is_a_key(http):
    body = b"metadata: {name: a}\ndata: !!map {a: !!str 1, b: !foo bar}\nx: !!set {y, z}\n"
    response = await http.post(MAPS, data=body, headers=YAML)
    assert (response.status, (await response.json())["data"]) == (201, {"a": "1", "b": "bar"})
    body = b'{"metadata":{"name":"b"},"\\u0000duplicates":[1],"data":{"a":"1","a":"2"}}'
    response = await http.post(f"{MAPS}?fieldValidation=Strict", data=body, headers=JSON)
    assert (await response.json())["message"] == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'unknown field "\0duplicates", duplicate field "data.a"'
    )


async def raw_answer(lab, sent):
    context = lab.admin.context()
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
    writer.write(sent)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_status_too(lab, caplog, sent):
    answer = await raw_answer(lab, sent)
    assert answer.partition(b" ")[2].startswith(b"400 ")
    _, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body)["kind"] == "Status"
    assert b"^" not in body
    assert not caplog.records


async def test_bytes_that_are_no_text_are_answered(lab, caplog):
    head = f"GET {MAPS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nImpersonate-User: ".encode()
    answer = await raw_answer(lab, head + b"a\xe9b\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.partition(b" ")[2].startswith(b"403 ")
    assert 'User "a\ufffdb" cannot list' in json.loads(body)["message"]
    assert not caplog.records


async def test_half_sent_headers_are_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(front, "HEADER_TIMEOUT_S", 0.2)
    async with api_lab(tmp_path) as hurried:
        for sent in (b"", b"GET /version HTTP/1.1\r\nHost: x\r\nA: b\r\n"):
            assert await asyncio.wait_for(raw_answer(hurried, sent), 10) == b""
        whole = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert b'"gitVersion"' in await raw_answer(hurried, whole)


async def test_a_body_that_does_not_come_is_told_so(lab, monkeypatch):
    monkeypatch.setattr(exchange, "BODY_TIMEOUT_S", 0.2)
    head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=lab.admin.context())
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.readuntil(b'"code":504}'), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"context deadline exceeded" in answer


def message(number, data):
    """One protobuf field with a length."""
    return bytes([number << 3 | 2]) + bytes([len(data)]) + data


def protobuf(api_version, kind, obj):
    unknown = message(1, message(1, api_version.encode()) + message(2, kind.encode()))
    return b"k8s\0" + unknown + message(2, obj)


ATTRIBUTES = message(1, message(2, b"get") + message(5, b"pods"))
PROTOBUFS = {
    "TokenReview": (
        "/apis/authentication.k8s.io/v1/tokenreviews",
        protobuf("authentication.k8s.io/v1", "TokenReview", message(2, message(1, b"x"))),
        {"user": {}, "error": "invalid bearer token"},
    ),
    "SubjectAccessReview": (
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        protobuf(
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            message(2, ATTRIBUTES + message(3, b"eve")),
        ),
        {"allowed": False},
    ),
}


@pytest.mark.parametrize(("path", "body", "status"), PROTOBUFS.values(), ids=PROTOBUFS)
async def test_reviews_as_protobuf(http, path, body, status):
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    response = await http.post(path, data=body, headers=headers)
    answer = await response.json()
    assert response.status == 201, answer
    assert {key: answer["status"][key] for key in status} == status


async def test_a_scale_as_protobuf(http):
    sets = "/apis/apps/v1/namespaces/default/replicasets"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    template["spec"]["containers"][0]["image"] = "i"
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await http.post(sets, json={"metadata": {"name": "r"}, "spec": spec})
    body = protobuf(
        "autoscaling/v1", "Scale", message(1, message(1, b"r")) + message(2, b"\x08\x03")
    )
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    response = await http.put(f"{sets}/r/scale", data=body, headers=headers)
    assert (response.status, (await response.json())["spec"]) == (200, {"replicas": 3})
    patch = {"kind": "Deployment", "apiVersion": "other/v1", "spec": {"replicas": 2}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    for path, kind in ((f"{sets}/r/scale", "Scale"), (f"{sets}/r", "ReplicaSet")):
        response = await http.patch(path, json=patch, headers=headers)
        answer = await response.json()
        assert (response.status, answer["kind"], answer["spec"]["replicas"]) == (200, kind, 2)


@pytest.mark.parametrize(("protocol", "text"), [((), False), ((log_messages.BASE64,), True)])
async def test_a_log_over_websocket(lab, http, protocol, text):
    await lab.make_pod("logged")
    async with http.ws_connect(f"{PODS}/logged/log", protocols=protocol) as socket:
        pieces = [message.data async for message in socket]
    if text:
        pieces = [base64.b64decode(piece) for piece in pieces]
    assert (pieces[0], b"".join(pieces)) == (b"", b"one\ntwo\n")


VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
PATHS = (
    "/api/v1", "/apis/apps/v1/", "/version", "/openapi/v3/x", "/", "/healthz/x", "/readyz?verbose",
    MAPS, f"{MAPS}/kept", f"{MAPS}/no%00ne", f"{MAPS}/%ff", PODS, f"{PODS}/p", f"{PODS}/p/log",
    f"{PODS}/p/status", f"{PODS}/p/binding", f"{PODS}/p/eviction", f"{PODS}/p/exec",
    f"{PODS}/p/resize", f"{PODS}/p/ephemeralcontainers", f"{PODS}/p/portforward",
    "/api/v1/nodes/node0", "/api/v1/namespaces/default/finalize", "/api/v1/namespaces/default",
    "/api/v1/namespaces/default/serviceaccounts/default/token", "/api/v1/nodes/%2e%2e",
    "/apis/apps/v1/namespaces/default/deployments", "/api/v1/namespaces/default/services/s/proxy/x",
    REVIEW, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "/apis/authentication.k8s.io/v1/tokenreviews", "/apis/metrics.k8s.io/v1beta1/x/y",
    "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
)  # fmt: skip
QUERIES = (
    "limit=-500", "limit=-1", "limit=x", "continue=x", "continue=e30", "continue=eyJydiI6MX0",
    "resourceVersion=-1", "resourceVersion=x", "resourceVersionMatch=x", "timeoutSeconds=-5",
    "resourceVersion=" + "9" * 5000,
    "timeoutSeconds=99999999999999999999", "labelSelector=a%3Db,%21c,x+in+(", "labelSelector==",
    "fieldSelector=metadata.name%3D%5C", "fieldSelector=x", "watch=1&timeoutSeconds=-1",
    "dryRun=All", "dryRun=x", "fieldValidation=x", "gracePeriodSeconds=-99999999999",
    "gracePeriodSeconds=9223372036854775807", "propagationPolicy=x", "orphanDependents=x",
    "sinceSeconds=999999999999999", "tailLines=-1", "limitBytes=0",
    "sinceTime=0001-01-01T00:00:00Z",
    "follow=x&previous=true", "container=x", "pretty=x", "timeout=1h", "timeout=-1s", "command=a",
    "stdin=x&stdout=1", "ports=x", "%zz=%ff", "a=%00", "fieldManager=" + "x" * 3000,
    "allowWatchBookmarks=1&sendInitialEvents=true", "includeObject=x",
)  # fmt: skip
SCRAPS = (
    None, True, 0, -1, 2**31, 2**63, 10**30, 1.5, 1e300, "", "a", "\0", "é", [], [[]], [None], {},
    {"a": None}, {"": {}}, "0001-01-01T00:00:05Z", {"$patch": "delete"}, {"$retainKeys": 1},
    [{"op": "copy", "from": "", "path": "/a"}], [{"op": "add", "path": "/metadata", "value": 1}],
    [{"op": "remove", "path": "/kind"}], [{"op": "x"}], ["a"], [{"$patch": "x"}],
)  # fmt: skip
FIELDS = (
    "metadata", "spec", "status", "data", "target", "name", "labels", "annotations", "finalizers",
    "ownerReferences", "containers", "ports", "selector", "template", "replicas", "token", "user",
    "groups", "extra", "resourceAttributes", "nonResourceAttributes", "deleteOptions", "taints",
    "preconditions", "gracePeriodSeconds", "dryRun", "kind", "apiVersion", "volumes", "conditions",
    "boundObjectRef", "audiences", "expirationSeconds", "$setElementOrder/containers",
)  # fmt: skip
MEDIA = (
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
    "application/json-patch+json", "application/merge-patch+json", "text/html", "",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/cbor",
)  # fmt: skip
ACCEPTED = (
    "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html", "application/yaml", ";;q=x",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/cbor",
)  # fmt: skip
FUZZED = 1500


def odd_value(die, depth=0):
    if depth < 3 and die.random() < 0.5:
        return {die.choice(FIELDS): odd_value(die, depth + 1) for _ in range(die.randint(1, 3))}
    return die.choice(SCRAPS)


def odd_body(die, media):
    if die.random() < 0.15:
        return die.randbytes(die.randint(0, 60))
    if "protobuf" in media:
        kind = die.choice(["ConfigMap", "Pod", "DeleteOptions", "SelfSubjectAccessReview", "Scale"])
        group = die.choice(["v1", "apps/v1", "authorization.k8s.io/v1", "autoscaling/v1"])
        return protobuf(group, kind, die.randbytes(die.randint(0, 40)))
    body = json.dumps(odd_value(die)).encode()
    return body if die.random() < 0.9 else body[: die.randint(0, len(body))]


async def test_no_request_is_the_servers_fault(lab, http, caplog):
    """All verbs, odd queries, odd bodies; the die is seeded, so that a failure comes again."""
    caplog.set_level(logging.WARNING)
    die = Random(36)
    for number in range(FUZZED):
        if number % 100 == 0:
            await http.post(MAPS, json={"metadata": {"name": "kept"}})
            await http.post(PODS, json={"metadata": {"name": "p"}, "spec": POD_SPEC})
        method, media = die.choice(VERBS), die.choice(MEDIA)
        query = "&".join(die.sample(QUERIES, die.randint(0, 2)))
        path = die.choice(PATHS)
        url = f"{path}{'&' if '?' in path else '?'}{query}"
        if "watch=1" not in query and "allowWatch" not in query:
            url += "&timeoutSeconds=1"
        headers = {"Content-Type": media, "Accept": die.choice(ACCEPTED)}
        body = odd_body(die, media) if method not in ("GET", "HEAD") else None
        response = await http.request(method, URL(url, encoded=True), headers=headers, data=body)
        text = await response.text()
        assert response.status < 500, (method, url, headers, body, text)
        assert not caplog.records, (method, url, headers, body, caplog.text)


POD_SPEC = {"containers": [{"name": "c", "image": "busybox"}]}
