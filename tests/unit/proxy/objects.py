"""Services and EndpointSlices for the tests of the proxy."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.net.ruleset import RuleSet
from netlab.proxy.desired import choose_endpoints
from netlab.proxy.endpoints import Place
from netlab.proxy.iptables_mode import proxy_section, service_part
from netlab.proxy.rules import NodeView, render_port

GOLDEN = Path(__file__).parents[2] / "golden" / "proxy"
NODE_IP = IPv4Address("10.100.199.200")
POD_CIDR = IPv4Network("10.244.0.0/16")
NODE = NodeView(NODE_IP, POD_CIDR)
PLACE = Place("node0")


def service_object(name: str = "web", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A Service with one port 80 unless ``spec`` says otherwise."""
    written = {"clusterIP": "10.96.1.1", "ports": [{"name": "http", "port": 80}], **spec}
    status = written.pop("status", {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": written,
        "status": status,
    }


def slice_object(
    *endpoints: str | dict[str, Any],
    service: str = "web",
    namespace: str = "default",
    suffix: str = "a",
    ports: tuple[tuple[str, int, str], ...] = (("http", 8080, "TCP"),),
) -> dict[str, Any]:
    """A slice; an endpoint is ``address`` or ``address@node``, or a whole dict."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-{suffix}",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": n, "port": p, "protocol": proto} for n, p, proto in ports],
        "endpoints": [_endpoint(e) if isinstance(e, str) else e for e in endpoints],
    }


def _endpoint(text: str) -> dict[str, Any]:
    address, _, node = text.partition("@")
    return {
        "addresses": [address],
        "nodeName": node or "node0",
        "conditions": {"ready": True, "serving": True, "terminating": False},
    }


def draining(address: str, node: str = "node0", *, serving: bool = True) -> dict[str, Any]:
    """An endpoint that is shutting down."""
    conditions = {"ready": False, "serving": serving, "terminating": True}
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def render(*objects: dict[str, Any], node: NodeView = NODE) -> RuleSet:
    """The whole rule set of node0 for the objects."""
    services = [Service.parse(o) for o in objects if o["kind"] == "Service"]
    slices = [EndpointSlice.parse(o) for o in objects if o["kind"] == "EndpointSlice"]
    section = proxy_section()
    for one in services:
        key = (one.metadata.namespace, one.metadata.name)
        own = [s for s in slices if (s.metadata.namespace, s.service_name) == key]
        ports = choose_endpoints(one, own, PLACE)
        rules = [render_port(port.spec, port.choice, node) for port in ports]
        section.put(key, service_part(rules))
    return section.rule_set()


def golden_objects() -> list[dict[str, Any]]:
    """The objects of the golden file."""
    return list(yaml.safe_load_all((GOLDEN / "services.yaml").read_text()))
