"""``netlab agent``: run one node in a process of its own (``netlab.agent``)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click
import msgspec

from netlab.agent import AgentOptions, run_agent
from netlab.config import DEFAULT_NAME, LabConfig, NodeConfig, decode_node_config
from netlab.errors import HostError, UsageError
from netlab.lab.labs import config_path, host_ledger, load_config
from netlab.lab.rules_tool import settled_tool
from netlab.lab.settings import check_name


@click.command("agent", short_help="Run one node in a process of its own.")
@click.option("--kubeconfig", required=True, help="Who the node is to the API server.")
@click.option("--node-name", default="", help="Name of the node.  [default: the config's]")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Lab the node is of.")
@click.option(
    "--config", "config_file", default="", help="The node's config.  [default: the lab's]"
)
@click.option(
    "--cert-dir", default="", help="Folder of kubelet.crt and kubelet.key.  [default: the config's]"
)
def agent(kubeconfig: str, node_name: str, name: str, config_file: str, cert_dir: str) -> None:
    """Run kubelet, proxy and pod network of one node until told to end; its pods run on."""
    if os.geteuid() != 0:
        raise HostError("root is needed to make namespaces, links and rules; use sudo")
    check_name(name)
    lab = load_config(name) if config_path(name).exists() else None
    config = _config(config_file, name, lab)
    if node_name and node_name != config.name:
        config = msgspec.structs.replace(config, name=node_name)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    folder = Path(cert_dir) if cert_dir else config.state_dir / "pki" / "nodes" / config.name
    ledger = None if lab is None else host_ledger(lab)
    options = AgentOptions(
        config,
        kubeconfig,
        folder,
        None if ledger is None else lambda key, before: ledger.record("sysctl", key, before),
        tool=(None if ledger is None else settled_tool(ledger)) or "iptables",
    )
    run_agent(options, lambda line: click.echo(line))


def _config(path: str, name: str, lab: LabConfig | None) -> NodeConfig:
    if path:
        try:
            return decode_node_config(Path(path).read_bytes())
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    if lab is None:
        raise UsageError(f"there is no lab {name!r}; name one with --name, or give --config")
    return lab.node()
