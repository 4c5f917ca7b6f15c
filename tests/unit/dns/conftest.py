"""Services and slices of a small cluster, and a way to ask about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.dns.records import service_names
from netlab.dns.table import AnswerTable
from netlab.dns.zone import Zone

DOMAIN = "cluster.local"


def service(name: str, namespace: str = "default", **spec: Any) -> Service:
    return Service.parse({"metadata": {"name": name, "namespace": namespace}, "spec": spec})


def slice_of(
    name: str, endpoints: list[dict[str, Any]], ports: list[dict[str, Any]]
) -> EndpointSlice:
    return EndpointSlice.parse(
        {
            "metadata": {
                "name": f"{name}-abcde",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        }
    )


HTTP = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}


def cluster() -> list[tuple[Service, list[EndpointSlice]]]:
    endpoints = [
        {"addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": {"ready": True}},
        {"addresses": ["10.244.0.6"], "conditions": {"ready": True}},
        {"addresses": ["10.244.0.7"], "conditions": {"ready": False}},
    ]
    slices = slice_of("db", endpoints, [{"name": "http", "port": 8080, "protocol": "TCP"}])
    return [
        (service("web", clusterIP="10.96.0.20", ports=[HTTP]), []),
        (service("db", clusterIP="None", ports=[HTTP]), [slices]),
        (service("inside", type="ExternalName", externalName="web.default.svc.cluster.local"), []),
        (service("outside", type="ExternalName", externalName="www.example.org"), []),
        (service("kube-dns", "kube-system", clusterIP="10.96.0.10", ports=[]), []),
    ]


@pytest.fixture
def table() -> AnswerTable:
    zone = Zone(DOMAIN)
    for obj, slices in cluster():
        key = f"{obj.metadata.namespace}/{obj.metadata.name}"
        zone.replace(key, service_names(obj, slices, DOMAIN))
    zone.namespaces = {"default", "kube-system"}
    made = AnswerTable(zone)
    made.synced = True
    return made


Ask = Callable[..., dns.message.Message]


@pytest.fixture
def ask(table: AnswerTable) -> Ask:
    def run(name: str, type_: str = "A", **options: Any) -> dns.message.Message:
        query = dns.message.make_query(name, type_, **options)
        data = table.reply(query.to_wire())
        assert data is not None, "would be forwarded"
        message = dns.message.from_wire(data)
        assert message.id == query.id
        assert message.question == query.question
        return message

    return run
