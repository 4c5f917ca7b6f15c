"""``netlab create service clusterip|nodeport|loadbalancer|externalname``."""

from __future__ import annotations

from netlab.errors import UsageError
from netlab.kubectl.create_typed import TYPED_FLAGS, create_typed, exactly_one_name
from netlab.kubectl.flags import Command, Flag, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def parse_tcp(spec: str, node_port: int = 0) -> dict[str, Any]:
    """Return the Service port of ``--tcp``: ``80``, ``80:8080`` or ``80:http``.

    Raises: UsageError when a number is no port.
    """
    port, colon, target = spec.partition(":")
    number = _port(port)
    if not colon:
        target = port
    entry: dict[str, Any] = {
        "name": spec.replace(":", "-"),
        "port": number,
        "protocol": "TCP",
        "targetPort": _port(target) if target.isdigit() else target,
    }
    if node_port:
        entry["nodePort"] = node_port
    return entry


def _port(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if not 0 < int(text) < 65536:
        raise UsageError(f"invalid port number: {text}")
    return int(text)


def _creator(type: str) -> Callable[[Session, Parsed], int]:
    def run(session: Session, parsed: Parsed) -> int:
        name = exactly_one_name(parsed)
        spec: dict[str, Any] = {"selector": {"app": name}, "type": type}
        headless = type == "ClusterIP" and parsed["clusterip"] == "None"
        if type == "ExternalName":
            if not parsed["external-name"]:
                raise UsageError('required flag(s) "external-name" not set')
            spec["externalName"] = parsed["external-name"]
        elif not parsed["tcp"] and not headless:
            raise UsageError("at least one tcp port specifier must be provided")
        node_port = parsed.values.get("node-port") or 0
        ports = [parse_tcp(each, node_port) for each in parsed["tcp"]]
        if ports:
            spec["ports"] = ports
        if type == "ClusterIP" and parsed["clusterip"]:
            spec["clusterIP"] = parsed["clusterip"]
        obj = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"creationTimestamp": None, "labels": {"app": name}, "name": name},
            "spec": spec,
            "status": {"loadBalancer": {}},
        }
        return create_typed(session, parsed, "service", obj)

    return run


def _refuse(session: Session, parsed: Parsed) -> int:
    raise UsageError(
        "say which type of service to create: clusterip, nodeport, loadbalancer or externalname"
    )


_TCP = Flag("tcp", "strings", help="PORT or PORT:TARGETPORT; may be given several times.")

CLUSTER_IP = Command(
    "create service clusterip",
    _creator("ClusterIP"),
    usage="NAME --tcp=PORT[:TARGETPORT]",
    text="Create a service with a cluster IP.",
    flags=(*TYPED_FLAGS, _TCP, Flag("clusterip", help="The address, or None for headless.")),
)
NODE_PORT = Command(
    "create service nodeport",
    _creator("NodePort"),
    usage="NAME --tcp=PORT[:TARGETPORT] [--node-port=PORT]",
    text="Create a service that is reached on a port of every node.",
    flags=(*TYPED_FLAGS, _TCP, Flag("node-port", "int", default=0, help="The nodes' port.")),
)
LOAD_BALANCER = Command(
    "create service loadbalancer",
    _creator("LoadBalancer"),
    usage="NAME --tcp=PORT[:TARGETPORT]",
    text="Create a service with a load balancer.",
    flags=(*TYPED_FLAGS, _TCP),
)
EXTERNAL_NAME = Command(
    "create service externalname",
    _creator("ExternalName"),
    usage="NAME --external-name=HOST",
    text="Create a service that is another name for a host.",
    flags=(*TYPED_FLAGS, _TCP, Flag("external-name", help="The host.")),
)
SERVICE = Group(
    Command(
        "create service",
        _refuse,
        usage="clusterip|nodeport|loadbalancer|externalname NAME",
        text="Create a service of one of the four types.",
    ),
    {
        "clusterip": ("netlab.kubectl.create_service", "CLUSTER_IP"),
        "nodeport": ("netlab.kubectl.create_service", "NODE_PORT"),
        "loadbalancer": ("netlab.kubectl.create_service", "LOAD_BALANCER"),
        "externalname": ("netlab.kubectl.create_service", "EXTERNAL_NAME"),
    },
)
