"""``netlab status``: is the lab up, where is it, and how are its parts? (``lab.health``)."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from netlab.cli.names import current_name_option
from netlab.lab.current import current_lab
from netlab.lab.health import LabHealth, NodeState, look_at
from netlab.lab.labs import all_labs, load_config, no_such_lab
from netlab.lab.start import agent_command, name_flag


@click.command("status", short_help="Tell how a lab is.")
@current_name_option
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def status(name: str | None, output: str) -> None:
    """Tell pid, addresses, nodes and the health of each component; exit 1 when not all is well."""
    name = name or current_lab()
    if name not in (labs := all_labs()):
        if output == "json":
            click.echo(json.dumps({"name": name, "running": False, "exists": False}))
        else:
            click.echo(no_such_lab(name, labs))
        sys.exit(1)
    health = look_at(load_config(name))
    if output == "json":
        click.echo(json.dumps(as_json(health), indent=2))
    else:
        _print(health)
    sys.exit(0 if health.well else 1)


def as_json(health: LabHealth) -> dict[str, Any]:
    """Return what ``status -o json`` prints: name, running, pid, addresses, nodes, components.

    components: ``[{"name": "kubelet", "healthy": true, "message": ""}, …]`` from /readyz, and what
    was seen from outside; problems: each as a line.
    """
    config = health.config
    return {
        "name": config.name,
        "exists": True,
        "running": health.running,
        "pid": health.pid,
        "sandbox": config.sandbox,
        "context": config.context,
        "api": f"https://127.0.0.1:{config.api_port}",
        "nodeAddress": str(config.node_address),
        "podCIDR": str(config.pod_cidr),
        "serviceCIDR": str(config.service_cidr),
        "netns": str(config.netns) if config.netns else None,
        "healthy": health.well,
        "problems": list(health.problems),
        "nodes": [_node_json(node) for node in health.nodes],
        "components": [
            {"name": part.name, "healthy": part.healthy, "message": part.message}
            for part in health.parts
        ],
    }


def _node_json(node: NodeState) -> dict[str, Any]:
    return {
        "name": node.name,
        "ready": node.ready,
        "message": node.message,
        "address": node.address,
        "podCIDR": node.pod_cidr,
    }


def _print(health: LabHealth) -> None:
    config = health.config
    if not health.running:
        click.echo(
            f'Lab "{config.name}" exists, but its daemon does not run; '
            f"bring it back with 'netlab up --name {config.name}'"
        )
        return
    place = f"sandbox {config.netns}" if config.sandbox else "the host's own network"
    click.echo(f"Lab {config.name}: running, pid {health.pid}, in {place}")
    click.echo(
        f"  API server  https://127.0.0.1:{config.api_port}  (kubectl context {config.context})"
    )
    click.echo(
        f"  Addresses   node {config.node_address}, pods {config.pod_cidr}, "
        f"Services {config.service_cidr}"
    )
    for node in health.nodes:
        state = "Ready" if node.ready else f"NotReady: {node.message}"
        click.echo(f"  Node        {node.name}  {node.address}  {node.pod_cidr}  {state}")
    for part in health.parts:
        mark = "\u2713" if part.healthy else "\u2717"
        click.echo(f"  {mark} {part.name}  {part.message}".rstrip())
    if health.problems:
        click.echo(advice_on(health))


def advice_on(health: LabHealth) -> str:
    """Return what to do about a lab that is not well."""
    if health.stopped:
        return "Nothing else was looked at."
    flag = name_flag(health.config)
    if health.config.no_node and any(not node.ready for node in health.nodes):
        return (
            f"This lab's daemon runs no node; if nothing else does: {agent_command(health.config)}"
        )
    return (
        f"{len(health.problems)} thing{'s' * (len(health.problems) > 1)} wrong. Its log is "
        f"{health.config.run_dir / 'daemon.log'}; 'netlab down{flag}' and "
        f"'netlab up{flag}' make it anew."
    )
