"""How a node agent introduces itself to an API server, and what it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from netlab.agent import check_certificate, endpoint_of, introduce
from netlab.api.kinds import LEASE, NAMESPACE
from netlab.apiserver.auth.pki import ensure_pki, issue_client
from netlab.client.https import Endpoint
from netlab.clock import SystemClock
from netlab.config import LabConfig
from netlab.errors import ApiError, HostError, UsageError
from netlab.timestamps import rfc3339_micro

CONFIG = LabConfig().node()


class QuickClock(SystemClock):
    """Sleeps for a moment only, and notes for how long it should have been."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        await asyncio.sleep(0.001)


@pytest.fixture(name="endpoint")
def endpoint_fixture(lab: Any) -> Endpoint:
    now = datetime.now(UTC)
    found = lab.pki.node_credentials("node0", CONFIG.ip, now)
    return Endpoint(
        url=lab.url,
        ca_pem=found.ca_pem,
        cert_pem=found.client.cert_pem,
        key_pem=found.client.key_pem,
    )


async def refusal(endpoint: Endpoint, config: Any = CONFIG) -> str:
    with pytest.raises(HostError) as raised:
        async with asyncio.timeout(10):
            await introduce(endpoint, config, QuickClock(), lambda line: None)
    return str(raised.value)


async def test_an_agent_of_the_cluster_is_let_in(endpoint: Endpoint) -> None:
    said: list[str] = []
    await introduce(endpoint, CONFIG, QuickClock(), said.append)
    assert said == []


async def test_a_server_of_another_authority(endpoint: Endpoint, tmp_path: Path) -> None:
    other = ensure_pki(tmp_path / "other", LabConfig(name="other"), datetime.now(UTC))
    text = await refusal(replace(endpoint, ca_pem=other.ca_pem))
    assert text.startswith(f"{endpoint.url}: its certificate is not of the authority")
    assert text.endswith("is this the kubeconfig of another cluster?")


async def test_a_certificate_of_another_cluster(endpoint: Endpoint, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    other = ensure_pki(tmp_path / "other", LabConfig(name="other"), now)
    client = issue_client(other.ca, "system:node:node0", ["system:nodes"], now)
    text = await refusal(replace(endpoint, cert_pem=client.cert_pem, key_pem=client.key_pem))
    assert text.startswith(f"{endpoint.url} refuses the client certificate")


async def test_a_wrong_token(endpoint: Endpoint) -> None:
    text = await refusal(replace(endpoint, cert_pem=b"", key_pem=b"", token="nonsense"))
    assert text == f"{endpoint.url} does not let this agent in: Unauthorized"


async def test_an_expired_certificate(lab: Any, endpoint: Endpoint) -> None:
    now = datetime.now(UTC)
    old = issue_client(lab.pki.ca, "system:node:n", ["system:nodes"], now - timedelta(days=400))
    expired = replace(endpoint, cert_pem=old.cert_pem, key_pem=old.key_pem)
    with pytest.raises(UsageError, match=r"has expired at 20.*; get a new kubeconfig"):
        check_certificate(expired, now)
    check_certificate(endpoint, now)
    with pytest.raises(UsageError, match="is the clock right"):
        check_certificate(endpoint, now - timedelta(days=30))


@pytest.mark.parametrize("age_s", [3, 100])
async def test_a_name_that_a_living_node_has(lab: Any, endpoint: Endpoint, age_s: float) -> None:
    with contextlib.suppress(ApiError):
        await lab.local.create(NAMESPACE, None, {"metadata": {"name": "kube-node-lease"}})
    renewed = rfc3339_micro(datetime.now(UTC) - timedelta(seconds=age_s))
    lease = {"metadata": {"name": "node0"}, "spec": {"renewTime": renewed}}
    await lab.local.create(LEASE, "kube-node-lease", lease)
    elsewhere = LabConfig(node_address=IPv4Interface("10.100.199.201/24")).node()
    if age_s < 40:
        text = await refusal(endpoint, elsewhere)
        assert text.startswith("node name node0 is taken: the node at 10.100.199.200 renewed its")
        assert text.endswith("choose another --node-name")
    else:
        await introduce(endpoint, elsewhere, QuickClock(), lambda line: None)
    # the same node, come back
    await introduce(endpoint, CONFIG, QuickClock(), lambda line: None)


ANSWERS = {
    "nobody": None,
    "in need": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    "broken": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "silent": b"",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_server_in_need_is_waited_for_ever_more_rarely(
    lab: Any, endpoint: Endpoint, name: str
) -> None:
    answer, context = ANSWERS[name], lab.pki.server_context()
    said: list[str] = []
    clock = QuickClock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readline()
            writer.write(answer or b"")
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    if answer is None:
        server.close()
        await server.wait_closed()
    url = f"https://127.0.0.1:{port}"
    waiting = asyncio.create_task(introduce(replace(endpoint, url=url), CONFIG, clock, said.append))
    async with asyncio.timeout(20):
        while len(clock.slept) < 5 and not waiting.done():
            await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=0.5)
    server.close()
    assert len(said) == 1
    assert said[0].startswith(f"waiting for the API server: {url}")
    assert clock.slept[3] > clock.slept[0]


def kubeconfig(path: Path, endpoint: Endpoint, **changes: Any) -> str:
    def text(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {
        "client-certificate-data": text(endpoint.cert_pem),
        "client-key-data": text(endpoint.key_pem),
    }
    cluster = {"server": endpoint.url, "certificate-authority-data": text(endpoint.ca_pem)}
    body = {
        "current-context": "kubelet",
        "clusters": [{"name": "lab", "cluster": changes.get("cluster", cluster)}],
        "contexts": [{"name": "kubelet", "context": {"cluster": "lab", "user": "kubelet"}}],
        "users": [{"name": "kubelet", "user": changes.get("user", user)}],
    }
    path.write_text(json.dumps(body))
    return str(path)


async def test_a_kubeconfig_is_read_for_each_part(
    lab: Any, endpoint: Endpoint, tmp_path: Path
) -> None:
    path = kubeconfig(tmp_path / "one", endpoint)
    assert endpoint_of(path, "kubelet") == endpoint
    assert endpoint_of(path, "kube-proxy") == endpoint
    own = tmp_path / "own"
    lab.pki.write_node_kubeconfig(
        lab.pki.directory / "nodes" / "node0" / "kubeconfig", "node0", lab.url, datetime.now(UTC)
    )
    own.write_bytes((lab.pki.directory / "nodes" / "node0" / "kubeconfig").read_bytes())
    assert endpoint_of(str(own), "kubelet") == endpoint
    assert endpoint_of(str(own), "kube-proxy") != endpoint


KUBECONFIGS = {
    "no authority": ({"cluster": {"server": "https://h:1"}}, "certificate-authority-data"),
    "no user": ({"user": {}}, "neither a client certificate nor a token"),
    "no server": ({"cluster": {}}, "no cluster with an https:// server"),
    "plain": ({"cluster": {"server": "http://h:1"}}, "no cluster with an https:// server"),
}


@pytest.mark.parametrize("name", KUBECONFIGS)
async def test_a_kubeconfig_that_says_too_little(
    endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    changes, expected = KUBECONFIGS[name]
    path = kubeconfig(tmp_path / "k", endpoint, **changes)
    with pytest.raises(UsageError, match=expected):
        endpoint_of(path, "kubelet")
