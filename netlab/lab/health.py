"""Is a lab up, where is it, and what is wrong with it? What ``netlab status`` tells.

Looks from outside, as a user would, and takes no part's own word for its health: the API server is
asked, the cluster's DNS server is sent a question from the node, the pods' bridge and the disk are
looked at, and the node's Lease tells whether anything can still be written.

Blocks for some seconds at worst; callers on an event loop use a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from netlab.api.durations import parse_time
from netlab.client.blocking import BlockingClient
from netlab.client.kubeconfig import resolve
from netlab.config import LabConfig
from netlab.errors import NetlabError
from netlab.lab.disk import disk_problem
from netlab.lab.labs import host_ledger
from netlab.lab.process import running_daemon
from netlab.lab.readiness import dns_answers, system_question
from netlab.lab.rules_tool import switched_since
from netlab.net.links import Links, call_links

TIMEOUT_S = 3
NOT_COMPONENTS = ("ping", "shutdown")
"""Checks of /readyz that are no parts of a cluster; both are told only when they fail."""

LEASE_LIMIT = timedelta(seconds=40)
"""A kubelet that has not renewed its Lease for this long is not ready, for Kubernetes too."""

BRIDGE = "cni0"
SYSTEM = "kube-system"


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as its object tells. message: why it is not ready."""

    name: str
    ready: bool
    message: str
    address: str = ""
    pod_cidr: str = ""


@dataclass(frozen=True, slots=True)
class PartState:
    """A part of the lab. message: what is wrong with it."""

    name: str
    healthy: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class LabHealth:
    """How a lab is. pid: of its daemon; None when it does not run: there are no parts then.

    stopped: a signal or a debugger holds the daemon; nothing else was looked at.
    """

    config: LabConfig
    pid: int | None
    stopped: bool = False
    nodes: tuple[NodeState, ...] = ()
    parts: tuple[PartState, ...] = ()

    @property
    def running(self) -> bool:
        """True when the daemon runs."""
        return self.pid is not None

    @property
    def well(self) -> bool:
        """True when it runs and nothing is wrong with it."""
        return self.running and not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with a lab that runs, each as a line."""
        nodes = (f"node {n.name}: not ready: {n.message}" for n in self.nodes if not n.ready)
        parts = (f"{part.name}: {part.message}" for part in self.parts if not part.healthy)
        return (*nodes, *parts)


def look_at(config: LabConfig) -> LabHealth:
    """Return how the lab is; nothing is raised for what is wrong with it."""
    daemon = running_daemon(config)
    if daemon is None:
        return LabHealth(config, None)
    if daemon.stopped:
        message = f"process {daemon.pid} is stopped; 'kill -CONT {daemon.pid}' lets it go on"
        return LabHealth(config, daemon.pid, True, parts=(_wrong("daemon", message),))
    parts = [*_from_outside(config)]
    nodes: tuple[NodeState, ...] = ()
    try:
        access = resolve({"kubeconfig": str(config.state_dir / "admin.kubeconfig")})
        client = BlockingClient(access, on_warning=lambda _text: None, timeout_s=TIMEOUT_S)
        answer = client.request("GET", "/readyz", query={"verbose": ""}, accept="*/*")
        parts = [*_read_readyz(answer.read().decode()), *parts]
        nodes = _nodes(config, client.call("GET", "/api/v1/nodes")["items"])
        parts += _lease(config, client)
        parts += _system_pods(client.call("GET", f"/api/v1/namespaces/{SYSTEM}/pods")["items"])
    except (NetlabError, OSError, ValueError) as error:
        parts = [_wrong("apiserver", f"does not answer: {error}"), *parts]
    return LabHealth(config, daemon.pid, False, nodes, tuple(parts))


def _wrong(name: str, message: str) -> PartState:
    return PartState(name, healthy=False, message=message)


def _from_outside(config: LabConfig) -> Iterator[PartState]:
    """Yield what is seen without the API server."""
    if config.netns is not None and not config.netns.exists():
        yield _wrong("sandbox", f"its network namespace {config.netns} is gone")
        return
    yield from _guarded(
        "pod network", lambda: asyncio.run(call_links(config.netns, _bridge_problem(config)))
    )
    yield from _guarded("rules", lambda: asyncio.run(switched_since(host_ledger(config))))
    yield from _guarded("dns", lambda: _dns_problem(config))
    yield from _guarded("disk", lambda: disk_problem(config.state_dir))


def _guarded(name: str, look: Callable[[], str]) -> Iterator[PartState]:
    try:
        problem = look()
    except (NetlabError, OSError) as error:
        problem = str(error)
    yield PartState(name, healthy=not problem, message=problem)


def _bridge_problem(config: LabConfig) -> Callable[[Links], str]:
    def look(links: Links) -> str:
        bridge = links.link(BRIDGE)
        if bridge is None:
            return f"there is no bridge {BRIDGE}"
        if not bridge.up:
            return f"bridge {BRIDGE} is down"
        if all(address.ip not in config.pod_cidr for address in links.addresses(BRIDGE)):
            return f"bridge {BRIDGE} has no address of the pods' range {config.pod_cidr}"
        return ""

    return look


def _dns_problem(config: LabConfig) -> str:
    if asyncio.run(dns_answers(config.netns, config.dns_service_ip, system_question(config))):
        return ""
    return f"no answer from {config.dns_service_ip}"


def _nodes(config: LabConfig, items: list[dict[str, Any]]) -> tuple[NodeState, ...]:
    found = [_node(item) for item in items]
    if all(node.name != config.node_name for node in found):
        found.append(NodeState(config.node_name, ready=False, message="it is not registered"))
    return tuple(found)


def _node(node: dict[str, Any]) -> NodeState:
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    addresses = {a["type"]: a["address"] for a in node.get("status", {}).get("addresses", [])}
    return NodeState(
        name=node["metadata"]["name"],
        ready=ready.get("status") == "True",
        message=ready.get("message", "") or "it has no condition Ready",
        address=addresses.get("InternalIP", ""),
        pod_cidr=node.get("spec", {}).get("podCIDR", ""),
    )


def _lease(config: LabConfig, client: BlockingClient) -> Iterator[PartState]:
    """Yield a problem when the kubelet does not write any more, whatever keeps it from that."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{config.node_name}"
    try:
        lease = client.call("GET", path)
    except NetlabError:
        return  # it comes with the node
    renewed = parse_time((lease.get("spec") or {}).get("renewTime"))
    silent = datetime.now(UTC) - renewed if renewed else timedelta()
    if silent > LEASE_LIMIT:
        yield _wrong("node lease", f"not renewed for {silent.total_seconds():.0f} s")


def _system_pods(pods: list[dict[str, Any]]) -> Iterator[PartState]:
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("phase") == "Succeeded" or pod["metadata"].get("deletionTimestamp"):
            continue
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        if conditions.get("Ready", {}).get("status") != "True":
            name = f"pod {SYSTEM}/{pod['metadata']['name']}"
            yield _wrong(name, f"not ready: {_pod_reason(status)}")


def _pod_reason(status: dict[str, Any]) -> str:
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("message"):
            return str(condition["message"])
    return str(status.get("phase") or "Pending")


def _read_readyz(text: str) -> list[PartState]:
    """Read the lines ``[+]name ok`` and ``[-]name failed: reason`` of /readyz?verbose."""
    parts = []
    for line in text.splitlines():
        if line[:3] in ("[+]", "[-]"):
            name, _, rest = line[3:].partition(" ")
            healthy = line[1] == "+"
            message = "" if healthy else rest.removeprefix("failed: ")
            if healthy and name in NOT_COMPONENTS:
                continue
            parts.append(PartState(name, healthy, message))
    return parts
