"""The proxy subresource: where requests go, what becomes of links, and whole passages."""

import asyncio
import gzip
import random

import aiohttp
import pytest
from aiohttp import web

from netlab.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE, builtin_catalog
from netlab.apiserver.http.paths import parse_target
from netlab.apiserver.streams.location import (
    Candidate,
    Location,
    ProxyName,
    node_location,
    parse_name,
    pod_location,
    service_candidates,
)
from netlab.apiserver.streams.rewriting import Rewriter, rewrite_html
from netlab.errors import ApiError

BASE = "/api/v1/namespaces/default"

NAMES = {
    "name": ("web", ProxyName("", "web", "")),
    "port": ("web:80", ProxyName("", "web", "80")),
    "named port": ("web:http", ProxyName("", "web", "http")),
    "scheme": ("https:web:443", ProxyName("https", "web", "443")),
    "scheme, no port": ("http:web:", ProxyName("http", "web", "")),
    "too many": ("a:b:c:d", None),
    "no name": (":80", None),
    "another scheme": ("ftp:web:21", None),
}


@pytest.mark.parametrize(("text", "name"), NAMES.values(), ids=NAMES)
def test_names(text, name):
    if name is not None:
        assert parse_name("service", text) == name
        return
    with pytest.raises(ApiError, match=f'invalid service request "{text}"'):
        parse_name("service", text)


TAILS = {
    "none": (f"{BASE}/pods/web/proxy", "pods", "web", ""),
    "root": (f"{BASE}/pods/web/proxy/", "pods", "web", "/"),
    "deep": (f"{BASE}/services/web:80/proxy/a/b//c/", "services", "web:80", "/a/b//c/"),
    "encoded": (f"{BASE}/pods/web/proxy/a%2Fb", "pods", "web", "/a%2Fb"),
    "node": ("/api/v1/nodes/n0/proxy/healthz", "nodes", "n0", "/healthz"),
    "api below": (f"{BASE}/pods/p/proxy{BASE}/pods/q/proxy/", "pods", "p", f"{BASE}/pods/q/proxy/"),
}


@pytest.mark.parametrize(("path", "resource", "name", "tail"), TAILS.values(), ids=TAILS)
def test_paths(path, resource, name, tail):
    target = parse_target(builtin_catalog(), path)
    assert (target.resource, target.name, target.subresource, target.tail) == (
        resource, name, "proxy", tail,
    )  # fmt: skip


def pod(address="10.244.0.5", *ports):
    containers = [{"name": "c"}, {"name": "d", "ports": [{"containerPort": p} for p in ports]}]
    return {"spec": {"containers": containers, "nodeName": "n0"}, "status": {"podIP": address}}


PODS = {
    "first declared port": (ProxyName("", "p", ""), pod("10.244.0.5", 8080, 9090), 8080, False),
    "port asked for": (ProxyName("", "p", "9090"), pod("10.244.0.5", 8080), 9090, False),
    "no port anywhere": (ProxyName("", "p", ""), pod(), 80, False),
    "tls": (ProxyName("https", "p", ""), pod(), 443, True),
}


@pytest.mark.parametrize(("name", "obj", "port", "tls"), PODS.values(), ids=PODS)
def test_pods(name, obj, port, tls):
    assert pod_location(name, obj) == Location("10.244.0.5", port, tls, "n0")


BAD_PODS = {
    "no address yet": (ProxyName("", "p", ""), pod(""), "address not allowed"),
    "loopback": (ProxyName("", "p", ""), pod("127.0.0.1"), "address not allowed"),
    "loopback as IPv6": (ProxyName("", "p", ""), pod("::ffff:127.0.0.1"), "address not allowed"),
    "link-local as IPv6": (ProxyName("", "p", ""), pod("::ffff:a9fe:a9fe"), "address not allowed"),
    "any as IPv6": (ProxyName("", "p", ""), pod("::ffff:0.0.0.0"), "address not allowed"),
    "named port": (ProxyName("", "p", "http"), pod(), "invalid port"),
    "port too large": (ProxyName("", "p", "70000"), pod(), "invalid port"),
}


@pytest.mark.parametrize(("name", "obj", "message"), BAD_PODS.values(), ids=BAD_PODS)
def test_bad_pods(name, obj, message):
    with pytest.raises(ApiError, match=message):
        pod_location(name, obj)


SERVICE_OBJECT = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"ports": [{"name": "http", "port": 80}, {"name": "other", "port": 81}]},
}
POD_REF = {"kind": "Pod", "namespace": "default", "name": "p"}


def endpoint_slice(*endpoints, name="http", ref=POD_REF):
    return {
        "ports": [{"name": name, "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": ready},
                "nodeName": "n0",
                "targetRef": ref,
            }
            for address, ready in endpoints
        ],
    }


SERVICES = {
    "number": ("80", [endpoint_slice(("10.244.0.5", True))], "10.244.0.5:8080"),
    "name": ("http", [endpoint_slice(("10.244.0.5", True))], "10.244.0.5:8080"),
    "ready only": (
        "80", [endpoint_slice(("10.244.0.5", False), ("10.244.0.6", True))], "10.244.0.6:8080",
    ),
    "none": ("80", [], 'no endpoints available for service "web"'),
    "none ready": (
        "80", [endpoint_slice(("10.0.0.1", False))], 'no endpoints available for service "web"',
    ),
    "another port": (
        "81", [endpoint_slice(("10.0.0.1", True))], 'no endpoints available for service "web"',
    ),
    "of no pod": (
        "80", [endpoint_slice(("10.0.0.1", True), ref={})],
        'no endpoints available for service "web"',
    ),
    "of another namespace's pod": (
        "80", [endpoint_slice(("10.0.0.1", True), ref={**POD_REF, "namespace": "x"})],
        'no endpoints available for service "web"',
    ),
    "a number of many digits": (
        "9" * 5000, [], f'no service port {"9" * 5000} found for service "web"',
    ),
    "no such port": ("99", [], 'no service port 99 found for service "web"'),
}  # fmt: skip


@pytest.mark.parametrize(("port", "slices", "expected"), SERVICES.values(), ids=SERVICES)
def test_services(port, slices, expected):
    def locate():
        name = ProxyName("", "web", port)
        (found,) = service_candidates(name, SERVICE_OBJECT, slices, random.Random(1))
        return found.location

    if expected.startswith("no "):
        with pytest.raises(ApiError) as raised:
            locate()
        assert (raised.value.code, raised.value.message) == (503, expected)
    else:
        assert locate().host == expected


WHOSE = {
    "its pod": ({"podIP": "10.0.0.1"}, "10.0.0.1", True),
    "second address": (
        {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, "fd00::1", True,
    ),
    "another": ({"podIP": "10.0.0.1"}, "10.0.0.2", False),
    "none yet": ({}, "10.0.0.1", False),
    "a pod that says it is the loopback": ({"podIP": "::ffff:7f00:1"}, "::ffff:7f00:1", False),
}  # fmt: skip


@pytest.mark.parametrize(("status", "address", "expected"), WHOSE.values(), ids=WHOSE)
def test_an_endpoint_is_its_pods(status, address, expected):
    candidate = Candidate(Location(address, 80, tls=False), "p")
    assert candidate.is_of({"status": status}) is expected


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "localhost"])
def test_a_node_that_says_it_is_the_loopback(address):
    addresses = [{"type": "InternalIP", "address": address}]
    node = {"metadata": {"name": "n0"}, "status": {"addresses": addresses}}
    with pytest.raises(ApiError, match="address not allowed"):
        node_location(ProxyName("", "n0", "9100"), node)


def test_nodes():
    node = {
        "metadata": {"name": "n0"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    assert node_location(ProxyName("", "n0", ""), node) is None
    assert node_location(ProxyName("https", "n0", "10250"), node) is None
    assert node_location(ProxyName("", "n0", "9100"), node).host == "192.0.2.1:9100"


REWRITER = Rewriter("/api/v1/p/proxy", "10.0.0.5:80", "127.0.0.1:6443")

URLS = {
    "absolute path": ("/login?x=1#y", "/api/v1/p/proxy/login?x=1#y"),
    "with slash": ("/a/", "/api/v1/p/proxy/a/"),
    "relative": ("a/b", "a/b"),
    "elsewhere": ("http://example.com/a", "http://example.com/a"),
    "the server itself": ("http://10.0.0.5:80/a", "/api/v1/p/proxy/a"),
    "as the caller calls it": (
        "https://127.0.0.1:6443/a",
        "https://127.0.0.1:6443/api/v1/p/proxy/a",
    ),
    "rewritten already": ("/api/v1/p/proxy/a", "/api/v1/p/proxy/a"),
    "no address": ("http://[", "http://["),
}


@pytest.mark.parametrize(("before", "after"), URLS.values(), ids=URLS)
def test_addresses(before, after):
    assert REWRITER.url(before) == after


PAGES = {
    "link": ('<a href="/x">', '<a href="/api/v1/p/proxy/x">'),
    "without quotes": ("<A HREF=/x >y</A >", '<A HREF="/api/v1/p/proxy/x" >y</A >'),
    "several": (
        "<img id=a src='/i.png' longdesc='/d'>",
        '<img id=a src="/api/v1/p/proxy/i.png" longdesc="/api/v1/p/proxy/d">',
    ),
    "ampersand": ('<a href="/x?a=1&amp;b=2">', '<a href="/api/v1/p/proxy/x?a=1&amp;b=2">'),
    "another attribute": ('<a title="/x">', '<a title="/x">'),
    "script text": ("<script>'<a href=\"/x\">'</script>", "<script>'<a href=\"/x\">'</script>"),
    "comment": ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
    "lines": (
        'ä\n<p>\n <link href="/s.css"/>\n',
        'ä\n<p>\n <link href="/api/v1/p/proxy/s.css"/>\n',
    ),
    "broken": ('<a href="/x', '<a href="/x'),
}


@pytest.mark.parametrize(("before", "after"), PAGES.values(), ids=PAGES)
def test_pages(before, after):
    assert rewrite_html(before.encode(), "", REWRITER).decode() == after


def test_compressed_pages():
    packed = gzip.compress(b'<a href="/x">')
    assert b"/api/v1/p/proxy/x" in gzip.decompress(rewrite_html(packed, "gzip", REWRITER))
    assert rewrite_html(b"no gzip", "gzip", REWRITER) == b"no gzip"
    assert rewrite_html(b"br", "br", REWRITER) == b"br"


async def _show(request):
    body = await request.read()
    names = ("Authorization", "X-Forwarded-Uri", "X-Forwarded-For", "Host", "X-Mine")
    shown = {name: request.headers.get(name) for name in names}
    shown |= {"method": request.method, "path": request.raw_path, "body": body.decode()}
    return web.json_response(shown)


async def _redirect(request):
    return web.Response(status=302, headers={"Location": "/login"})


async def _talk(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def _cut(request):
    answer = web.StreamResponse(headers={"Content-Length": "10"})
    await answer.prepare(request)
    await answer.write(b"half")
    request.transport.abort()
    return answer


async def _large(request):
    return web.Response(body=bytes(3 << 20), headers={"Access-Control-Allow-Origin": "*"})


@pytest.fixture
async def backend():
    app = web.Application()
    app.router.add_get("/redirect", _redirect)
    app.router.add_get("/talk", _talk)
    app.router.add_get("/cut", _cut)
    app.router.add_get("/large", _large)
    app.router.add_route("*", "/{path:.*}", _show)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def url(lab, backend):
    """The address of a pod's proxy; the fake node reaches every pod on loopback."""
    pod_object = await lab.make_pod("p")
    pod_object["status"] = {"podIP": "10.244.0.5"}
    await lab.local.update(POD, "default", pod_object, subresource="status")
    return f"{BASE}/pods/p:{backend}/proxy"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_a_request_goes_through(http, url, method):
    headers = {"X-Mine": "1"}
    response = await http.request(method, f"{url}/a/b?c=%20d", data=b"sent", headers=headers)
    shown = await response.json()
    assert (shown["method"], shown["path"], shown["body"]) == (method, "/a/b?c=%20d", "sent")
    assert (shown["X-Mine"], shown["X-Forwarded-For"]) == ("1", "127.0.0.1")
    assert shown["X-Forwarded-Uri"] == f"{url}/a/b"


async def test_credentials_stay_behind(http, url):
    response = await http.get(f"{url}/", headers={"Impersonate-User": "somebody"})
    assert response.status == 403
    response = await http.get(f"{url}/")
    assert (await response.json())["Authorization"] is None


async def test_head_and_redirects(http, url):
    response = await http.head(f"{url}/x")
    assert (response.status, await response.read()) == (200, b"")
    response = await http.get(f"{url}?a=1", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, f"{url}/?a=1")
    response = await http.get(f"{url}/redirect", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, f"{url}/login")


async def test_a_websocket_goes_through(http, url):
    async with http.ws_connect(f"{url}/talk") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=5) == "HELLO"


async def test_large_bodies_both_ways(http, url):
    response = await http.get(f"{url}/large")
    assert len(await response.read()) == 3 << 20
    assert "Access-Control-Allow-Origin" not in response.headers

    async def pieces():
        for _ in range(100):
            yield b"x" * 1000

    response = await http.post(f"{url}/", data=pieces())
    assert len((await response.json())["body"]) == 100_000


async def test_an_old_client(lab, url):
    async with lab.session() as session, session.request("GET", f"{url}/x") as response:
        assert response.headers.get("Content-Length") or response.headers["Transfer-Encoding"]
    context = lab.admin.context()
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
    writer.write(f"GET {url}/large HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert (b" 200 " in head, b"chunked" in head) == (True, False)
    assert len(await reader.read()) == 3 << 20
    writer.close()


async def test_an_answer_that_is_cut_off_does_not_look_whole(http, url):
    async def get():
        return await (await http.get(f"{url}/cut")).read()

    with pytest.raises(aiohttp.ClientError):
        await get()


async def test_a_server_that_is_not_there(http, url):
    response = await http.get(f"{BASE}/pods/p:1/proxy/")
    said = await response.json()
    assert (response.status, said["message"]) == (
        503,
        "error trying to reach service: dial tcp 10.244.0.5:1: connect: connection refused",
    )


async def test_a_service_without_and_with_endpoints(lab, http, backend):
    ports = [{"port": 80, "protocol": "TCP", "targetPort": backend}]
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"a": "b"}, "ports": ports}}
    await lab.local.create(SERVICE, "default", service)
    response = await http.get(f"{BASE}/services/web/proxy/")
    assert (await response.json())["message"] == 'no endpoints available for service "web"'
    sliced = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": backend, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.244.0.5"], "conditions": {"ready": True}, "targetRef": POD_REF}
        ],
    }
    await lab.local.create(ENDPOINT_SLICE, "default", sliced)
    response = await http.get(f"{BASE}/services/web:80/proxy/x")
    assert (await response.json())["message"] == 'no endpoints available for service "web"'
    pod_object = await lab.make_pod("p")
    pod_object["status"] = {"podIP": "10.244.0.5"}
    await lab.local.update(POD, "default", pod_object, subresource="status")
    response = await http.get(f"{BASE}/services/web:80/proxy/x")
    assert (await response.json())["path"] == "/x"


async def test_a_kubelet(lab, http):
    await lab.local.get(NODE, None, "node0")
    await lab.make_pod("p")
    assert await (await http.get("/api/v1/nodes/node0/proxy/healthz")).text() == "ok"
    pods = await (await http.get("/api/v1/nodes/node0/proxy/pods")).json()
    assert [each["metadata"]["name"] for each in pods["items"]] == ["p"]
    logs = await http.get("/api/v1/nodes/node0/proxy/containerLogs/default/p/c?tailLines=1")
    assert await logs.text() == "one\ntwo\n"
    response = await http.get("/api/v1/nodes/node0/proxy/metrics/cadvisor")
    assert (response.status, await response.text()) == (404, "404 page not found\n")
