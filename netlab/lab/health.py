"""Is a lab up, where is it, and how are its parts? What ``netlab status`` tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netlab.client.blocking import BlockingClient
from netlab.client.kubeconfig import resolve
from netlab.config import LabConfig
from netlab.errors import NetlabError
from netlab.lab.process import running_daemon

TIMEOUT_S = 5
NOT_COMPONENTS = ("ping", "shutdown")
"""Checks of /readyz that are no parts of a cluster; both are told only when they fail."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as its object tells. message: why it is not ready."""

    name: str
    ready: bool
    message: str
    address: str
    pod_cidr: str


@dataclass(frozen=True, slots=True)
class PartState:
    """A component of the lab. message: what is wrong with it."""

    name: str
    healthy: bool
    message: str


@dataclass(frozen=True, slots=True)
class LabHealth:
    """How a lab is. pid: of its daemon; None when it does not run: there are no parts then."""

    config: LabConfig
    pid: int | None
    nodes: tuple[NodeState, ...] = ()
    parts: tuple[PartState, ...] = ()

    @property
    def running(self) -> bool:
        """True when the daemon runs."""
        return self.pid is not None

    @property
    def well(self) -> bool:
        """True when it runs and nothing is wrong with it."""
        return self.running and all(part.healthy for part in self.parts)


def look_at(config: LabConfig) -> LabHealth:
    """Return how the lab is; nothing is raised for what is wrong with it."""
    daemon = running_daemon(config)
    if daemon is None:
        return LabHealth(config, None)
    nodes: tuple[NodeState, ...] = ()
    try:
        access = resolve({"kubeconfig": str(config.state_dir / "admin.kubeconfig")})
        client = BlockingClient(access, on_warning=lambda _text: None, timeout_s=TIMEOUT_S)
        nodes = tuple(_node(node) for node in client.call("GET", "/api/v1/nodes")["items"])
        answer = client.request("GET", "/readyz", query={"verbose": ""}, accept="*/*")
        parts = tuple(_parts(answer.read().decode()))
    except (NetlabError, OSError) as error:
        parts = (PartState("apiserver", healthy=False, message=str(error)),)
    return LabHealth(config, daemon.pid, nodes, parts)


def _node(node: dict[str, Any]) -> NodeState:
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    addresses = {a["type"]: a["address"] for a in node.get("status", {}).get("addresses", [])}
    return NodeState(
        name=node["metadata"]["name"],
        ready=ready.get("status") == "True",
        message=ready.get("message", ""),
        address=addresses.get("InternalIP", ""),
        pod_cidr=node.get("spec", {}).get("podCIDR", ""),
    )


def _parts(text: str) -> list[PartState]:
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
