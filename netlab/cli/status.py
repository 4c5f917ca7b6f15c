"""``netlab status``: is the lab up, where is it, and how are its parts?"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from netlab.client.blocking import BlockingClient
from netlab.client.kubeconfig import resolve
from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import NetlabError
from netlab.nodes.labs import known_labs, load_config
from netlab.nodes.process import running_daemon

TIMEOUT_S = 5
NOT_COMPONENTS = ("ping", "shutdown")
"""Checks of /readyz that are no parts of a cluster; both are told only when they fail."""


@click.command("status", short_help="Tell how a lab is.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def status(name: str, output: str) -> None:
    """Tell pid, addresses, nodes and the health of each component; exit 1 when not all is well."""
    if name not in known_labs():
        if output == "json":
            click.echo(json.dumps({"name": name, "running": False, "exists": False}))
        else:
            click.echo(f'There is no lab "{name}"; start one with: netlab up')
        sys.exit(1)
    found = collect(load_config(name))
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    healthy = found["running"] and all(c["healthy"] for c in found["components"])
    sys.exit(0 if healthy else 1)


def collect(config: LabConfig) -> dict[str, Any]:
    """Return what ``status -o json`` prints: name, running, pid, addresses, nodes, components.

    components: ``[{"name": "kubelet", "healthy": true, "message": ""}, …]`` from /readyz.
    """
    daemon = running_daemon(config)
    found: dict[str, Any] = {
        "name": config.name,
        "exists": True,
        "running": daemon is not None,
        "pid": daemon.pid if daemon else None,
        "sandbox": config.sandbox,
        "context": config.context,
        "api": f"https://127.0.0.1:{config.api_port}",
        "nodeAddress": str(config.node_address),
        "podCIDR": str(config.pod_cidr),
        "serviceCIDR": str(config.service_cidr),
        "netns": str(config.netns) if config.netns else None,
        "nodes": [],
        "components": [],
    }
    if daemon is None:
        return found
    try:
        access = resolve({"kubeconfig": str(config.state_dir / "admin.kubeconfig")})
        client = BlockingClient(access, on_warning=lambda _text: None, timeout_s=TIMEOUT_S)
        found["nodes"] = [_node(node) for node in client.call("GET", "/api/v1/nodes")["items"]]
        answer = client.request("GET", "/readyz", query={"verbose": ""}, accept="*/*")
        found["components"] = _components(answer.read().decode())
    except (NetlabError, OSError) as error:
        found["components"] = [{"name": "apiserver", "healthy": False, "message": str(error)}]
    return found


def _node(node: dict[str, Any]) -> dict[str, Any]:
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    addresses = {a["type"]: a["address"] for a in node.get("status", {}).get("addresses", [])}
    return {
        "name": node["metadata"]["name"],
        "ready": ready.get("status") == "True",
        "message": ready.get("message", ""),
        "address": addresses.get("InternalIP", ""),
        "podCIDR": node.get("spec", {}).get("podCIDR", ""),
    }


def _components(text: str) -> list[dict[str, Any]]:
    """Read the lines ``[+]name ok`` and ``[-]name failed: reason`` of /readyz?verbose."""
    components = []
    for line in text.splitlines():
        if line[:3] in ("[+]", "[-]"):
            name, _, rest = line[3:].partition(" ")
            healthy = line[1] == "+"
            message = "" if healthy else rest.removeprefix("failed: ")
            if healthy and name in NOT_COMPONENTS:
                continue
            components.append({"name": name, "healthy": healthy, "message": message})
    return components


def _print(found: dict[str, Any]) -> None:
    if not found["running"]:
        click.echo(
            f'Lab "{found["name"]}" exists, but its daemon does not run; '
            f"bring it back with 'netlab up --name {found['name']}'"
        )
        return
    place = f"sandbox {found['netns']}" if found["sandbox"] else "the host's own network"
    click.echo(f"Lab {found['name']}: running, pid {found['pid']}, in {place}")
    click.echo(f"  API server  {found['api']}  (kubectl context {found['context']})")
    click.echo(
        f"  Addresses   node {found['nodeAddress']}, pods {found['podCIDR']}, "
        f"Services {found['serviceCIDR']}"
    )
    for node in found["nodes"]:
        state = "Ready" if node["ready"] else f"NotReady: {node['message']}"
        click.echo(f"  Node        {node['name']}  {node['address']}  {node['podCIDR']}  {state}")
    for component in found["components"]:
        mark = "\u2713" if component["healthy"] else "\u2717"
        click.echo(f"  {mark} {component['name']}  {component['message']}".rstrip())
