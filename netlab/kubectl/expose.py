"""``netlab expose``: a Service for the pods of a workload, a pod or another service."""

from __future__ import annotations

import json

from netlab.errors import NetlabError, UsageError
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, OUTPUT_FLAGS, Reporter
from netlab.kubectl.selection import (
    Target,
    fetch,
    targets_of_files,
    targets_of_words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

MAX_NAME = 63


def _run(session: Session, parsed: Parsed) -> int:
    reporter = Reporter(session, parsed)
    errors: list[NetlabError] = []
    for target, obj in _selected(session, parsed):
        try:
            _expose(session, reporter, parsed, target, obj)
        except NetlabError as error:
            errors.append(error)
    if errors:
        raise CombinedError(errors)
    return 0


def _selected(session: Session, parsed: Parsed) -> list[tuple[Target, dict[str, Any]]]:
    if parsed["filename"]:
        found = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            found.append((each, fetch(session, each)))
        return found
    if not parsed.args:
        raise UsageError(
            "You must provide one or more resources by argument or filename.\n"
            "Example resource specifications include:\n   '-f rsrc.yaml'\n"
            "   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"
        )
    targets = targets_of_words(session, parsed.args, verb="expose")
    if not all(target.name for target in targets):
        raise UsageError("resource(s) were provided, but no name was specified")
    return [(target, fetch(session, target)) for target in targets]


def _expose(
    session: Session, reporter: Reporter, parsed: Parsed, target: Target, obj: dict[str, Any]
) -> None:
    service = service_for(target, obj, parsed)
    if reporter.dry_run == "client":
        if session.access.namespace_is_set:
            service["metadata"]["namespace"] = session.namespace
        reporter.report(service, "exposed")
        return
    resource = session.resources.find("services")
    created = session.client.call(
        "POST",
        resource.path(session.namespace),
        query={"fieldManager": "kubectl-expose", **reporter.query},
        body=json.dumps(service).encode(),
    )
    reporter.report(created, "exposed")


def service_for(target: Target, obj: dict[str, Any], parsed: Parsed) -> dict[str, Any]:
    """Return the Service that the options describe for an object.

    Raises: UsageError when the object has no pods, labels or ports to go by.
    """
    _check_kind(target)
    name = parsed["name"] or (obj.get("metadata") or {}).get("name", "")[:MAX_NAME]
    labels = (obj.get("metadata") or {}).get("labels") or {}
    if parsed["labels"]:
        labels = parse_pairs(parsed["labels"])
    spec: dict[str, Any] = {"selector": _selector(target, obj, parsed)}
    if parsed["type"]:
        spec["type"] = parsed["type"]
    if parsed["external-ip"]:
        spec["externalIPs"] = [parsed["external-ip"]]
    if parsed["cluster-ip"]:
        spec["clusterIP"] = parsed["cluster-ip"]
        if parsed["cluster-ip"] == "None":
            spec["clusterIP"] = "None"
    if parsed["load-balancer-ip"]:
        spec["loadBalancerIP"] = parsed["load-balancer-ip"]
    if parsed["session-affinity"]:
        if parsed["session-affinity"] not in ("None", "ClientIP"):
            raise UsageError(f"unknown session affinity: {parsed['session-affinity']}")
        spec["sessionAffinity"] = parsed["session-affinity"]
    ports = _ports(target, obj, parsed)
    if ports:
        spec["ports"] = ports
    elif parsed["cluster-ip"] != "None":
        raise UsageError("couldn't find port via --port flag or introspection")
    metadata: dict[str, Any] = {"creationTimestamp": None, "name": name}
    if labels:
        metadata["labels"] = labels
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


_KINDS = ("Pod", "Service", "ReplicationController", "Deployment", "ReplicaSet")


def _check_kind(target: Target) -> None:
    if target.resource.kind not in _KINDS:
        group_kind = target.resource.kind
        if target.resource.group:
            group_kind += f".{target.resource.group}"
        raise UsageError(f"cannot expose a {group_kind}")


def _selector(target: Target, obj: dict[str, Any], parsed: Parsed) -> dict[str, str]:
    if parsed["selector"]:
        return parse_pairs(parsed["selector"])
    spec = obj.get("spec") or {}
    kind = target.resource.kind
    if kind == "Pod":
        labels = (obj.get("metadata") or {}).get("labels") or {}
        if not labels:
            raise UsageError(
                "couldn't retrieve selectors via --selector flag or introspection: the pod has no "
                "labels and cannot be exposed"
            )
        return dict(labels)
    if kind in ("Service", "ReplicationController"):
        found = spec.get("selector")
        if not found:
            raise UsageError(
                "couldn't retrieve selectors via --selector flag or introspection: the service "
                "has no pod selector set"
            )
        return dict(found)
    selector = spec.get("selector") or {}
    if selector.get("matchExpressions"):
        raise UsageError(
            "couldn't retrieve selectors via --selector flag or introspection: couldn't convert "
            f'expressions - "{_go_expressions(selector["matchExpressions"])}" to map-based '
            "selector format"
        )
    return dict(selector.get("matchLabels") or {})


def _go_expressions(expressions: list[dict[str, Any]]) -> str:
    shown = [
        f"{{Key:{e.get('key', '')} Operator:{e.get('operator', '')} "
        f"Values:[{' '.join(e.get('values') or ())}]}}"
        for e in expressions
    ]
    return f"[{' '.join(shown)}]"


def _ports(target: Target, obj: dict[str, Any], parsed: Parsed) -> list[dict[str, Any]]:
    known = _known_ports(target, obj)
    if parsed["port"]:
        numbers = [int(text) for text in parsed["port"].split(",") if text.isdigit()]
        if not numbers:
            raise UsageError(f'strconv.Atoi: parsing "{parsed["port"]}": invalid syntax')
    else:
        numbers = list(dict.fromkeys(number for number, _ in known))
    entries = []
    for index, number in enumerate(numbers):
        protocols = (
            [parsed["protocol"]]
            if parsed["protocol"]
            else [protocol for known_number, protocol in known if known_number == number] or ["TCP"]
        )
        for at, protocol in enumerate(protocols):
            entry: dict[str, Any] = {"port": number, "protocol": protocol}
            if len(numbers) > 1 or len(protocols) > 1:
                entry["name"] = f"port-{index + 1}" + (f"-{protocol.lower()}" if at else "")
            target_port = parsed["target-port"] or str(number)
            entry["targetPort"] = int(target_port) if target_port.isdigit() else target_port
            entries.append(entry)
    return entries


def _known_ports(target: Target, obj: dict[str, Any]) -> list[tuple[int, str]]:
    """Return (port, protocol) of what the object listens on."""
    spec = obj.get("spec") or {}
    if target.resource.kind == "Service":
        return [(p["port"], p.get("protocol", "TCP")) for p in spec.get("ports") or ()]
    pod_spec = (
        spec if target.resource.kind == "Pod" else (spec.get("template") or {}).get("spec", {})
    )
    return [
        (port["containerPort"], port.get("protocol", "TCP"))
        for container in pod_spec.get("containers") or ()
        for port in container.get("ports") or ()
    ]


def parse_pairs(text: str) -> dict[str, str]:
    """Return the pairs of ``a=b,c=d``.

    Raises: UsageError when a part is no pair.
    """
    pairs = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise UsageError(f"unexpected label spec: {text}")
        pairs[key] = value
    return pairs


COMMAND = Command(
    "expose",
    _run,
    usage="TYPE NAME [--port=PORT]",
    text="Make a service for the pods of a deployment, replica set, service or pod.",
    flags=(
        *manifest_flags(),
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        Flag("port", help="Port of the service; default: the container's."),
        Flag("target-port", help="Port, or its name, in the pods."),
        Flag("protocol", help="TCP, UDP or SCTP."),
        Flag("name", help="Name of the service; default: the object's."),
        Flag("type", help="ClusterIP, NodePort, LoadBalancer or ExternalName."),
        Flag("selector", help="Labels of the pods; default: the object's selector."),
        Flag("labels", short="l", help="Labels of the service."),
        Flag("external-ip", help="A further address of the service."),
        Flag("cluster-ip", help="The service's address; None for headless."),
        Flag("load-balancer-ip", help="Address of the load balancer."),
        Flag("session-affinity", help="None or ClientIP."),
        Flag("overrides", help="Not supported by netlab.", refused=True),
        Flag("save-config", "bool", help="Accepted for kubectl's sake."),
    ),
    examples=(
        "expose deployment web --port=80 --type=NodePort",
        "expose rs go-demo-2 --name=go-demo-2-svc --target-port=28017 --type=NodePort",
    ),
)
