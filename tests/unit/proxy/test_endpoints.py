"""Which endpoints get traffic."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.proxy.desired import choose_endpoints
from netlab.proxy.endpoints import Place
from tests.unit.proxy.objects import PLACE, draining, service_object, slice_object


def labelled(label: str, value: str) -> dict[str, Any]:
    service = service_object()
    service["metadata"]["labels"] = {label: value}
    return service


NODE_PORT = {
    "type": "NodePort",
    "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
}
LOCAL_OUTSIDE = {**NODE_PORT, "externalTrafficPolicy": "Local"}
LOCAL_INSIDE = {"internalTrafficPolicy": "Local"}
NOT_READY = {"addresses": ["10.244.0.7"], "nodeName": "node0", "conditions": {"ready": False}}
UNKNOWN = {"addresses": ["10.244.0.8"], "nodeName": "node0"}


def choose(
    spec: dict[str, Any], *endpoints: str | dict[str, Any], place: Place = PLACE
) -> tuple[Any, ...]:
    service = Service.parse(service_object(**spec))
    slices = [EndpointSlice.parse(slice_object(*endpoints))]
    [served] = choose_endpoints(service, slices, place)
    choice = served.choice

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


def hinted(address: str, *, nodes: str = "", zones: str = "", ready: bool = True) -> dict[str, Any]:
    """An endpoint that is meant for nodes and zones."""
    hints = {
        "forNodes": [{"name": one} for one in nodes.split()],
        "forZones": [{"name": one} for one in zones.split()],
    }
    conditions = {"ready": ready}
    return {"addresses": [address], "nodeName": "n9", "conditions": conditions, "hints": hints}


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param(
            [hinted("10.244.0.2", zones="a"), hinted("10.244.0.3", zones="b")], "2", id="zone"
        ),
        pytest.param(
            [hinted("10.244.0.2", zones="c"), hinted("10.244.0.3", zones="b")],
            "2 3",
            id="no endpoint is meant for the zone",
        ),
        pytest.param([hinted("10.244.0.2", zones="a"), "10.244.0.3"], "2 3", id="one has no hint"),
        pytest.param(
            [hinted("10.244.0.2", zones="a"), hinted("10.244.0.3", ready=False)],
            "2",
            id="those that are not ready need none",
        ),
        pytest.param(
            [
                hinted("10.244.0.2", zones="a", nodes="n1"),
                hinted("10.244.0.3", zones="a", nodes="node0"),
            ],
            "3",
            id="the node before the zone",
        ),
        pytest.param(
            [
                hinted("10.244.0.2", zones="a", nodes="n1"),
                hinted("10.244.0.3", zones="b", nodes="n2"),
            ],
            "2",
            id="the zone when no endpoint is meant for the node",
        ),
    ],
)
def test_hints_are_followed(endpoints: list[Any], expected: str) -> None:
    cluster, _, reachable, usable = choose({}, *endpoints, place=Place("node0", "a"))
    assert (cluster, reachable, usable) == (expected, expected, True)


def test_traffic_that_must_stay_does_not_ask_for_hints() -> None:
    away = {**hinted("10.244.0.2", zones="b"), "nodeName": "node0"}
    near = hinted("10.244.0.3", zones="a")
    chosen = choose(LOCAL_OUTSIDE, away, near, place=Place("node0", "a"))
    assert chosen == ("3", "2", "2 3", True)


def test_slices_are_joined_and_addresses_counted_once() -> None:
    service = Service.parse(service_object())
    slices = [
        EndpointSlice.parse(slice_object("10.244.0.2", NOT_READY, suffix="a")),
        EndpointSlice.parse(slice_object("10.244.0.7", "10.244.0.10", suffix="b")),
    ]
    [served] = choose_endpoints(service, slices, PLACE)
    backends, choice = served.backends, served.choice
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
    chosen = choose_endpoints(service, slices, PLACE)
    assert [(one.spec.protocol, one.choice.cluster[0].port) for one in chosen] == [
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
        pytest.param(labelled("service.kubernetes.io/headless", ""), id="marked as headless"),
        pytest.param(labelled("service.kubernetes.io/headless", "false"), id="whatever the value"),
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
    assert choose_endpoints(Service.parse(service), [], PLACE) == ()


@pytest.mark.parametrize(
    "label", ["service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"]
)
def test_slices_that_are_not_for_the_proxy_are_passed_over(label: str) -> None:
    marked = slice_object("10.244.0.2", suffix="a")
    marked["metadata"]["labels"][label] = ""
    slices = [EndpointSlice.parse(one) for one in (marked, slice_object("10.244.0.3", suffix="b"))]
    [served] = choose_endpoints(Service.parse(service_object()), slices, PLACE)
    assert [one.text for one in served.choice.cluster] == ["10.244.0.3:8080"]


def test_a_service_of_both_families_is_served_at_its_second_address() -> None:
    service = service_object(clusterIP="fd00::1", clusterIPs=["fd00::1", "10.96.1.7"])
    [served] = choose_endpoints(Service.parse(service), [], PLACE)
    assert str(served.spec.cluster_ip) == "10.96.1.7"


@pytest.mark.parametrize(("kind", "port"), [("LoadBalancer", 32100), ("NodePort", 0)])
def test_only_load_balancers_ask_for_the_nodes_health(kind: str, port: int) -> None:
    spec = {**LOCAL_OUTSIDE, "type": kind, "healthCheckNodePort": 32100}
    [served] = choose_endpoints(Service.parse(service_object(**spec)), [], PLACE)
    assert served.spec.health_port == port


def test_draining_endpoints_serve_unless_they_say_otherwise() -> None:
    silent = {
        "addresses": ["10.244.0.5"],
        "nodeName": "node0",
        "conditions": {"ready": False, "terminating": True},
    }
    assert choose({}, silent) == ("5", "", "5", True)
