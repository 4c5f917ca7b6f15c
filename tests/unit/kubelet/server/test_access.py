"""Who may ask the kubelet what: names of rights, callers, and the API server's word."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from netlab.apiserver.auth.pki import ensure_pki
from netlab.clock import FakeClock
from netlab.config import LabConfig
from netlab.errors import ApiError
from netlab.kubelet.server.access import NodeAccess, access_of
from netlab.kubelet.server.auth import (
    SUBJECT_ACCESS_REVIEW,
    TOKEN_REVIEW,
    Caller,
    Gatekeeper,
    certificate_caller,
)
from netlab.kubelet.server.tls import ensure_self_signed

RIGHTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "/exec/ns/pod/c": ("POST", "create", ("proxy",)),
    "/attach/ns/pod/c": ("GET", "get", ("proxy",)),
    "/portForward/ns/pod": ("POST", "create", ("proxy",)),
    "/containerLogs/ns/pod/c": ("GET", "get", ("proxy",)),
    "/logs/pods/": ("GET", "get", ("log",)),
    "/logs": ("HEAD", "get", ("log",)),
    "/stats/summary": ("GET", "get", ("stats",)),
    "/metrics": ("GET", "get", ("metrics",)),
    "/metrics/resource": ("GET", "get", ("metrics",)),
    "/pods": ("GET", "get", ("pods", "proxy")),
    "/runningpods/": ("GET", "get", ("pods", "proxy")),
    "/healthz": ("GET", "get", ("healthz", "proxy")),
    "/healthz/ping": ("GET", "get", ("healthz", "proxy")),
    "/configz": ("GET", "get", ("configz", "proxy")),
    # what only begins like one of them is not one of them
    "/metricsx": ("GET", "get", ("proxy",)),
    "/statsx/summary": ("DELETE", "delete", ("proxy",)),
    "/podsandmore": ("PUT", "update", ("proxy",)),
    "/": ("PATCH", "patch", ("proxy",)),
}


@pytest.mark.parametrize("path", RIGHTS)
def test_what_a_request_is_called(path: str) -> None:
    method, verb, subresources = RIGHTS[path]
    assert access_of(method, path, "node0") == NodeAccess(verb, "node0", subresources)


def test_the_refusal_is_worded_as_the_kubelet_does() -> None:
    text = access_of("GET", "/pods", "n").forbidden("system:anonymous")
    assert text == (
        "Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
    )


class FakeReviewer:
    """Knows one token, and who may use which subresource."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.allowed: set[tuple[str, str]] = set()
        self.error: ApiError | None = None

    async def create(self, kind: Any, namespace: str | None, obj: Any, /) -> Any:
        self.asked.append((kind, obj["spec"]))
        if self.error is not None:
            raise self.error
        if kind is TOKEN_REVIEW:
            if obj["spec"]["token"] != "good":
                return {"status": {"user": {}, "error": "invalid bearer token"}}
            user = {"username": "ann", "uid": "1", "groups": ["devs"]}
            return {"status": {"authenticated": True, "user": user}}
        assert kind is SUBJECT_ACCESS_REVIEW
        asked = obj["spec"]["resourceAttributes"]
        assert (asked["resource"], asked["name"]) == ("nodes", "node0")
        return {"status": {"allowed": (obj["spec"]["user"], asked["subresource"]) in self.allowed}}


ANN = Caller("ann", "1", ("devs",))


async def test_tokens_are_shown_to_the_api_server_and_remembered_for_two_minutes() -> None:
    reviewer, clock = FakeReviewer(), FakeClock()
    gatekeeper = Gatekeeper(reviewer, clock)
    assert await gatekeeper.caller(None, "Bearer good") == ANN
    assert await gatekeeper.caller(None, "bearer  good ") == ANN
    assert len(reviewer.asked) == 1
    await clock.advance(121)
    assert await gatekeeper.caller(None, "Bearer good") == ANN
    assert len(reviewer.asked) == 2


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic good", "good", "Bearer bad"])
async def test_nobody_is_anonymous(header: str) -> None:
    assert await Gatekeeper(FakeReviewer(), FakeClock()).caller(None, header) is None


async def test_rights_are_asked_for_and_remembered() -> None:
    reviewer, clock = FakeReviewer(), FakeClock()
    gatekeeper = Gatekeeper(reviewer, clock)
    pods = access_of("GET", "/pods", "node0")
    assert not await gatekeeper.allows(ANN, pods)
    assert len(reviewer.asked) == 2  # its own subresource, then proxy
    reviewer.allowed = {("ann", "pods")}
    assert not await gatekeeper.allows(ANN, pods)
    await clock.advance(31)
    assert await gatekeeper.allows(ANN, pods)
    reviewer.allowed = set()
    await clock.advance(299)
    assert await gatekeeper.allows(ANN, pods)
    await clock.advance(2)
    assert not await gatekeeper.allows(ANN, pods)


async def test_the_right_to_proxy_is_enough_for_what_has_a_right_of_its_own() -> None:
    reviewer = FakeReviewer()
    reviewer.allowed = {("ann", "proxy")}
    gatekeeper = Gatekeeper(reviewer, FakeClock())
    assert await gatekeeper.allows(ANN, access_of("GET", "/configz", "node0"))
    assert not await gatekeeper.allows(ANN, access_of("GET", "/metrics", "node0"))


async def test_an_error_is_not_remembered() -> None:
    reviewer = FakeReviewer()
    gatekeeper = Gatekeeper(reviewer, FakeClock())
    reviewer.error = ApiError(500, "InternalError", "broken")
    with pytest.raises(ApiError):
        await gatekeeper.allows(ANN, access_of("GET", "/pods", "node0"))
    reviewer.error, reviewer.allowed = None, {("ann", "pods")}
    assert await gatekeeper.allows(ANN, access_of("GET", "/pods", "node0"))


def test_a_certificate_names_user_and_groups(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    pki = ensure_pki(tmp_path, LabConfig(), now)
    found = pki.node_credentials("node0", IPv4Address("10.0.0.1"), now)
    certificate = x509.load_pem_x509_certificate(found.client.cert_pem)
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert certificate_caller(der) == Caller(
        "system:node:node0", groups=("system:nodes", "system:authenticated")
    )


def test_a_node_without_a_certificate_makes_itself_one_once(tmp_path: Path) -> None:
    now, address = datetime.now(UTC), IPv4Address("10.0.0.1")
    assert ensure_self_signed(tmp_path, "n", address, now)
    first = (tmp_path / "kubelet.crt").read_bytes()
    assert (tmp_path / "kubelet.key").stat().st_mode & 0o777 == 0o600
    assert not ensure_self_signed(tmp_path, "n", address, now)
    assert (tmp_path / "kubelet.crt").read_bytes() == first
