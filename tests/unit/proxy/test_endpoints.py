"""Which endpoints get traffic."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.proxy.desired import choose_endpoints
from tests.unit.proxy.objects import draining, service_object, slice_object

NODE_PORT = {
    "type": "NodePort",
    "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
}
LOCAL_OUTSIDE = {**NODE_PORT, "externalTrafficPolicy": "Local"}
LOCAL_INSIDE = {"internalTrafficPolicy": "Local"}
NOT_READY = {"addresses": ["10.244.0.7"], "nodeName": "node0", "conditions": {"ready": False}}
UNKNOWN = {"addresses": ["10.244.0.8"], "nodeName": "node0"}


def choose(spec: dict[str, Any], *endpoints: str | dict[str, Any]) -> tuple[Any, ...]:
    service = Service.parse(service_object(**spec))
    slices = [EndpointSlice.parse(slice_object(*endpoints))]
    [(_, _, choice)] = choose_endpoints(service, slices, "node0")

    def last(backends: Any) -> str:
        return " ".join(str(one.address).rpartition(".")[2] for one in backends)

    return last(choice.cluster), last(choice.local), last(choice.reachable), choice.usable


@pytest.mark.parametrize(
    ("spec", "endpoints", "expected"),
    [
        pytest.param({}, [], ("", "", "", False), id="none"),
        pytest.param({}, ["10.244.0.2"], ("2", "", "2", True), id="one"),
        pytest.param({}, [NOT_READY, "10.244.0.2"], ("2", "", "2", True), id="not-ready"),
        pytest.param({}, [NOT_READY], ("", "", "", False), id="only-not-ready"),
        pytest.param({}, [UNKNOWN], ("8", "", "8", True), id="no-conditions-is-ready"),
        pytest.param({}, [draining("10.244.0.5")], ("5", "", "5", True), id="only-draining"),
        pytest.param(
            {}, [draining("10.244.0.5"), "10.244.0.2"], ("2", "", "2", True), id="draining-spared"
        ),
        pytest.param(
            {}, [draining("10.244.0.5", serving=False)], ("", "", "", False), id="stopped"
        ),
        pytest.param(
            LOCAL_INSIDE, ["10.244.0.2", "10.244.1.3@n1"], ("", "2", "2", True), id="internal-local"
        ),
        pytest.param(
            LOCAL_INSIDE, ["10.244.1.3@n1"], ("", "", "", True), id="internal-local-elsewhere"
        ),
        pytest.param(LOCAL_INSIDE, [NOT_READY], ("", "", "", False), id="internal-local-none"),
        pytest.param(
            LOCAL_OUTSIDE,
            ["10.244.0.2", "10.244.1.3@n1"],
            ("2 3", "2", "2 3", True),
            id="external-local-keeps-all-for-pods",
        ),
        pytest.param(
            LOCAL_OUTSIDE,
            [draining("10.244.0.5"), "10.244.1.3@n1"],
            ("3", "5", "5 3", True),
            id="local-draining-remote-ready",
        ),
        pytest.param(
            {**LOCAL_INSIDE, "externalTrafficPolicy": "Local"},
            ["10.244.0.2", "10.244.1.3@n1"],
            ("", "2", "2", True),
            id="external-policy-without-external-address",
        ),
    ],
)
def test_choice(
    spec: dict[str, Any], endpoints: list[Any], expected: tuple[str, str, str, bool]
) -> None:
    assert choose(spec, *endpoints) == expected


def test_slices_are_joined_and_addresses_counted_once() -> None:
    service = Service.parse(service_object())
    slices = [
        EndpointSlice.parse(slice_object("10.244.0.2", NOT_READY, suffix="a")),
        EndpointSlice.parse(slice_object("10.244.0.7", "10.244.0.10", suffix="b")),
    ]
    [(_, backends, choice)] = choose_endpoints(service, slices, "node0")
    # in the order of their text, as kube-proxy sorts them
    assert [one.text for one in choice.cluster] == [
        "10.244.0.10:8080",
        "10.244.0.2:8080",
        "10.244.0.7:8080",
    ]
    assert [one.slice for one in backends] == ["web-b", "web-a", "web-b"]


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "sctp", "port": 53, "protocol": "SCTP"},
    ]
    service = Service.parse(service_object(ports=ports))
    named = (("dns", 5353, "UDP"), ("dns-tcp", 5354, "TCP"), ("sctp", 5355, "SCTP"))
    slices = [EndpointSlice.parse(slice_object("10.244.0.2", ports=named))]
    chosen = choose_endpoints(service, slices, "node0")
    assert [(port.protocol, choice.cluster[0].port) for port, _, choice in chosen] == [
        ("udp", 5353),
        ("tcp", 5354),
        ("sctp", 5355),
    ]


@pytest.mark.parametrize(
    "service",
    [
        pytest.param(service_object(clusterIP="None"), id="headless"),
        pytest.param(service_object(clusterIP=""), id="no-address-yet"),
        pytest.param(service_object(clusterIP="fd00::1"), id="IPv6"),
        pytest.param(
            service_object(type="ExternalName", externalName="example.com"), id="ExternalName"
        ),
        pytest.param(
            {
                **service_object(),
                "metadata": {
                    "name": "web",
                    "namespace": "default",
                    "labels": {"service.kubernetes.io/service-proxy-name": "other"},
                },
            },
            id="other-proxy",
        ),
    ],
)
def test_not_served(service: dict[str, Any]) -> None:
    assert choose_endpoints(Service.parse(service), [], "node0") == []
