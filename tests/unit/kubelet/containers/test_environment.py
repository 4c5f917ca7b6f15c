"""Environment variables, their order, and what is said when one cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.api.containers import Container
from netlab.api.core import ConfigMap, Secret, Service
from netlab.api.pods import Pod
from netlab.kubelet.containers.environment import (
    ConfigError,
    PodAddresses,
    Sources,
    container_environment,
    expand_command,
    needed_objects,
    service_variables,
)
from netlab.kubelet.containers.expansion import expand


def service(name: str, address: str, *ports: dict[str, Any], namespace: str = "default") -> Service:
    spec = {"clusterIP": address, "ports": list(ports)}
    return Service.parse({"metadata": {"name": name, "namespace": namespace}, "spec": spec})


KUBERNETES = service("kubernetes", "10.96.0.1", {"name": "https", "port": 443})
DATABASE = service("go-demo-2-db", "10.96.7.7", {"port": 27017})
ADDRESSES = PodAddresses("10.244.0.9", "10.100.199.200")


def make_pod(**spec: Any) -> Pod:
    meta = {
        "name": "web",
        "namespace": "default",
        "uid": "u1",
        "labels": {"app": "web", "tier": 'a"b'},
        "annotations": {"note": "hello"},
    }
    spec = {"nodeName": "node0", "serviceAccountName": "robot", **spec}
    return Pod.parse({"metadata": meta, "spec": spec})


def environment(container: dict[str, Any], *services: Service, **more: Any) -> dict[str, str]:
    pod = make_pod(**more.pop("spec", {}))
    sources = Sources(addresses=ADDRESSES, services=services, **more)
    view = Container.parse({"name": "main", **container})
    return container_environment(pod, view, sources, hostname="web")


def test_service_variables_as_the_course_shows_them() -> None:
    assert service_variables([DATABASE]) == {
        "GO_DEMO_2_DB_SERVICE_HOST": "10.96.7.7",
        "GO_DEMO_2_DB_SERVICE_PORT": "27017",
        "GO_DEMO_2_DB_PORT": "tcp://10.96.7.7:27017",
        "GO_DEMO_2_DB_PORT_27017_TCP": "tcp://10.96.7.7:27017",
        "GO_DEMO_2_DB_PORT_27017_TCP_PROTO": "tcp",
        "GO_DEMO_2_DB_PORT_27017_TCP_PORT": "27017",
        "GO_DEMO_2_DB_PORT_27017_TCP_ADDR": "10.96.7.7",
    }


def test_named_and_udp_ports() -> None:
    dns = service(
        "kube-dns",
        "10.96.0.10",
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    )
    found = service_variables([dns])
    assert found["KUBE_DNS_SERVICE_PORT_DNS_TCP"] == "53"
    assert found["KUBE_DNS_PORT"] == "udp://10.96.0.10:53"
    assert found["KUBE_DNS_PORT_53_UDP_PROTO"] == "udp"


@pytest.mark.parametrize(
    ("services", "links", "expected"),
    [
        ((KUBERNETES, DATABASE), True, {"KUBERNETES", "GO_DEMO_2_DB"}),
        ((KUBERNETES, DATABASE), False, {"KUBERNETES"}),
        ((service("x", "None", {"port": 1}),), True, set()),
        ((service("x", "10.96.1.1", {"port": 1}, namespace="other"),), True, set()),
    ],
    ids=["links", "no links", "headless", "other namespace"],
)
def test_which_services(services: Any, links: bool, expected: set[str]) -> None:
    found = environment({}, *services, spec={"enableServiceLinks": links})
    suffix = "_SERVICE_HOST"
    assert {n.removesuffix(suffix) for n in found if n.endswith(suffix)} == expected


def test_explicit_values_come_first_and_win() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "KUBERNETES_PORT", "value": "mine"}]
    found = environment({"env": env}, KUBERNETES)
    assert list(found)[:3] == ["HOSTNAME", "A", "KUBERNETES_PORT"]
    assert found["KUBERNETES_PORT"] == "mine"


def test_values_refer_to_what_stands_before() -> None:
    env = [
        {"name": "HOST", "value": "$(GO_DEMO_2_DB_SERVICE_HOST)"},
        {"name": "URL", "value": "mongodb://$(HOST)/$(LATER)$$(HOST)"},
        {"name": "LATER", "value": "x"},
    ]
    found = environment({"env": env}, DATABASE)
    assert found["URL"] == "mongodb://10.96.7.7/$(LATER)$(HOST)"


FIELDS = {
    "metadata.name": "web",
    "metadata.namespace": "default",
    "metadata.uid": "u1",
    "metadata.labels['app']": "web",
    "metadata.labels['none']": "",
    "metadata.annotations['note']": "hello",
    "metadata.labels": 'app="web"\ntier="a\\"b"',
    "spec.nodeName": "node0",
    "spec.serviceAccountName": "robot",
    "status.podIP": "10.244.0.9",
    "status.podIPs": "10.244.0.9",
    "status.hostIP": "10.100.199.200",
}


@pytest.mark.parametrize("path", FIELDS)
def test_fields(path: str) -> None:
    env = [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    assert environment({"env": env})["X"] == FIELDS[path]


SETTINGS = ConfigMap.parse({"data": {"color": "red", "size": "4"}})
PASSWORD = Secret.parse({"data": {"key": "c2VjcmV0"}})


def test_config_maps_and_secrets() -> None:
    container = {
        "envFrom": [
            {"prefix": "S_", "configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "password"}},
            {"secretRef": {"name": "nothing", "optional": True}},
        ],
        "env": [
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "password", "key": "key"}}},
            {
                "name": "O",
                "valueFrom": {"secretKeyRef": {"name": "password", "key": "x", "optional": True}},
            },
        ],
    }
    found = environment(
        container, config_maps={"settings": SETTINGS}, secrets={"password": PASSWORD}
    )
    del found["HOSTNAME"]
    assert found == {
        "S_color": "red",
        "S_size": "4",
        "key": "secret",
        "C": "red",
        "P": "secret",
    }
    assert needed_objects(Container.parse({"name": "x", **container})) == {
        ("configmap", "settings"),
        ("secret", "password"),
        ("secret", "nothing"),
    }


ERRORS = {
    "missing config map": (
        {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]},
        'configmap "a" not found',
    ),
    "missing key": (
        {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "b"}}}]},
        "couldn't find key b in ConfigMap default/s",
    ),
    "missing secret": (
        {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]},
        'secret "a" not found',
    ),
    "missing envFrom": ({"envFrom": [{"secretRef": {"name": "a"}}]}, 'secret "a" not found'),
    "unknown field": (
        {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.color"}}}]},
        "unsupported fieldPath: spec.color",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    container, message = ERRORS[name]
    with pytest.raises(ConfigError) as caught:
        environment(container, config_maps={"s": SETTINGS})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$", "$"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_commands() -> None:
    assert expand_command(("echo", "$(A)"), {"A": "b"}) == ("echo", "b")
