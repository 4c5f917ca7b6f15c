"""The kubelet's own server, and the API server's only way to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from netlab.api.kinds import NODE, POD, SERVICE_ACCOUNT
from netlab.api.streams import NodeUsage
from netlab.apiserver.auth.pki import issue_client
from netlab.client.https import Endpoint

NODES = "/api/v1/nodes/node0/proxy"


def client_of(lab: Any, user: str, *groups: str) -> Endpoint:
    issued = issue_client(lab.pki.ca, user, groups, datetime.now(UTC))
    return Endpoint(
        url=lab.kubelet_url,
        ca_pem=lab.pki.ca_pem,
        cert_pem=issued.cert_pem,
        key_pem=issued.key_pem,
    )


async def ask(lab: Any, endpoint: Endpoint, path: str, method: str = "GET", **more: Any) -> Any:
    """Return (code, text) of an answer of the kubelet itself."""
    context = endpoint.context()
    context.check_hostname = False  # its certificate is for the node's address
    connector = aiohttp.TCPConnector(ssl=context)
    async with (
        aiohttp.ClientSession(lab.kubelet_url, connector=connector) as session,
        session.request(method, path, **more) as answer,
    ):
        return answer.status, await answer.text()


@pytest.fixture(name="root")
def root_fixture(lab: Any) -> Endpoint:
    return client_of(lab, "root", "system:masters")


ANSWERS = {
    "/healthz": "ok",
    "/healthz/ping": "ok",
    "/healthz/syncloop": "ok",
    "/configz": '{"kubeletconfig":{"kind":"KubeletConfiguration","port":10250}}',
    "/pods": '"kind":"PodList"',
    "/runningpods/": '"kind":"PodList"',
    "/stats/summary": '"nodeName":"node0"',
    "/metrics": "kubelet_running_pods 3",
    "/metrics/resource": "resource_scrape_error 1",
    "/metrics/probes": "prober_probe_total{",
    "/logs/": '<a href="pods/">pods/</a>',
    "/containerLogs/default/web/c": "one\ntwo\n",
}


@pytest.mark.parametrize("path", ANSWERS)
async def test_what_it_serves(lab: Any, http: Any, root: Endpoint, path: str) -> None:
    code, text = await ask(lab, root, path)
    assert code == 200
    assert ANSWERS[path] in text
    # and through the API server, which hands it on as it is
    answer = await http.get(NODES + path)
    assert (answer.status, await answer.text()) == (200, text)


async def test_what_it_does_not_serve(lab: Any, root: Endpoint) -> None:
    for path in (
        "/",
        "/run/default/web/c",
        "/metrics/cadvisor",
        "/debug/pprof/",
        "/exec",
        "/podsx",
    ):
        assert (await ask(lab, root, path))[0] == 404, path
    for path in ("/healthz", "/pods", "/logs/", "/containerLogs/default/web/c"):
        assert (await ask(lab, root, path, "DELETE"))[0] == 405, path
    lab.desk.is_healthy = False
    assert (await ask(lab, root, "/healthz"))[0] == 500
    code, text = await ask(lab, root, "/exec/default/web/c?command=ls&output=1")
    assert (code, text) == (400, "Upgrade request required\n")
    code, text = await ask(lab, root, "/exec/default/web/c?command=ls")
    assert (code, text) == (400, "you must specify at least 1 of stdin, stdout, stderr\n")
    code, text = await ask(lab, root, "/containerLogs/default/web/c?tailLines=many")
    assert code == 400


async def test_nobody_and_those_without_rights_are_kept_out(lab: Any) -> None:
    nobody = Endpoint(url=lab.kubelet_url, ca_pem=lab.pki.ca_pem)
    for path in ("/pods", "/healthz", "/metrics", "/nothing"):
        assert await ask(lab, nobody, path) == (401, "Unauthorized")
    ann = client_of(lab, "ann", "devs")
    code, text = await ask(lab, ann, "/containerLogs/default/web/c")
    assert (code, text) == (
        403,
        "Forbidden (user=ann, verb=get, resource=nodes, subresource(s)=[proxy])\n",
    )
    code, _ = await ask(lab, ann, "/exec/default/web/c?command=ls&output=1", "POST")
    assert code == 403
    assert lab.node.asked == []


async def test_a_token_is_believed_as_the_api_server_believes_it(lab: Any, root: Endpoint) -> None:
    await lab.local.create(SERVICE_ACCOUNT, "default", {"metadata": {"name": "reader"}})
    asked = {"spec": {"audiences": [], "expirationSeconds": 3600}}
    made = await lab.local.create_subresource(SERVICE_ACCOUNT, "default", "reader", "token", asked)
    bearer = {"Authorization": f"Bearer {made['status']['token']}"}
    nobody = Endpoint(url=lab.kubelet_url, ca_pem=lab.pki.ca_pem)
    code, text = await ask(lab, nobody, "/pods", headers=bearer)
    assert code == 403
    assert "user=system:serviceaccount:default:reader" in text
    wrong = {"Authorization": "Bearer nonsense"}
    assert (await ask(lab, nobody, "/pods", headers=wrong))[0] == 401


async def test_the_figures_of_a_node_come_over_the_wire(lab: Any, http: Any) -> None:
    lab.node.figures = NodeUsage(datetime(2026, 1, 1, tzinfo=UTC), 10.0, 500_000_000, 1 << 20, ())
    answer = await (await http.get("/apis/metrics.k8s.io/v1beta1/nodes/node0")).json()
    assert answer["usage"] == {"cpu": "500000000n", "memory": "1024Ki"}
    assert answer["window"] == "10s"


BROKEN_NODES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no address": ({"addresses": None}, 500, "no preferred addresses found; known addresses: []"),
    "nobody listens": (
        {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}},
        500,
        "error dialing backend: dial tcp 10.100.199.200:1: connect: connection refused",
    ),
}


@pytest.mark.parametrize("name", BROKEN_NODES)
async def test_a_kubelet_that_cannot_be_reached(lab: Any, http: Any, name: str) -> None:
    status, code, message = BROKEN_NODES[name]
    await lab.make_pod("p")
    await lab.local.patch(NODE, None, "node0", {"status": status}, subresource="status")
    for path in ("/api/v1/namespaces/default/pods/p/log", f"{NODES}/healthz"):
        answer = await http.get(path)
        told = json.loads(await answer.text())
        assert (answer.status, told["message"]) == (code, message)
    # and no figures, which keeps nobody else waiting
    answer = await http.get("/apis/metrics.k8s.io/v1beta1/nodes")
    assert (answer.status, (await answer.json())["items"]) == (200, [])


async def test_a_kubelet_of_another_authority_is_not_spoken_to(lab: Any, http: Any) -> None:
    """The API server itself is no kubelet: its certificate is good, but a stranger's is not."""
    import socket

    from netlab.kubelet.server.tls import ensure_self_signed, server_context

    folder = lab.pki.directory / "stranger"
    await lab.make_pod("p")
    ensure_self_signed(folder, "node0", lab.pki_address, datetime.now(UTC))
    context = server_context(folder / "kubelet.crt", folder / "kubelet.key", lab.pki.ca_pem)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    async with lab.kubelet_server.serve(sock, context):
        port = {"daemonEndpoints": {"kubeletEndpoint": {"Port": sock.getsockname()[1]}}}
        await lab.local.patch(NODE, None, "node0", {"status": port}, subresource="status")
        answer = await http.get("/api/v1/namespaces/default/pods/p/log")
        told = json.loads(await answer.text())
    assert answer.status == 500
    assert told["message"].startswith("error dialing backend: tls: failed to verify certificate")
    assert lab.node.asked == []
    assert (await lab.local.get(POD, "default", "p"))["metadata"]["name"] == "p"
