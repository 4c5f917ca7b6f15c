"""``netlab up``: start a lab in the background and wait until it works (``lab.start``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import click

from netlab.config import DEFAULT_NAME
from netlab.lab.settings import wanted_config
from netlab.lab.start import StartEvent, agent_command, name_flag, start_lab
from netlab.lab.units import need_systemd, start_at_boot


@click.command("up", short_help="Start a lab.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Play the VM in a network namespace of its own; the host's network stays untouched.",
)
@click.option(
    "--internet",
    is_flag=True,
    help="With --sandbox: a way out through this machine, masqueraded.",
)
@click.option("--node-name", default="", help="Name of the node.  [default: node0]")
@click.option(
    "--node-ip", default="", help="The node's address, may have /PREFIX.  [default: 10.100.199.200]"
)
@click.option("--pod-cidr", default="", help="Range of the pods.  [default: 10.244.0.0/16]")
@click.option("--service-cidr", default="", help="Range of the Services.  [default: 10.96.0.0/12]")
@click.option(
    "--api-port", type=click.IntRange(1, 65535), help="Port of the API server.  [default: 6443]"
)
@click.option(
    "--registries",
    type=click.Choice(["any", "loopback"]),
    help="Where images may be pulled from.  [default: any; in a sandbox without a way out: "
    "loopback]",
)
@click.option(
    "--no-node", is_flag=True, help="Start the control plane only; netlab agent runs the node."
)
@click.option("--at-boot", is_flag=True, help="Start the lab at every boot too (systemd).")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def up(
    name: str,
    sandbox: bool,
    internet: bool,
    node_name: str,
    node_ip: str,
    pod_cidr: str,
    service_cidr: str,
    api_port: int | None,
    registries: Literal["any", "loopback"] | None,
    no_node: bool,
    at_boot: bool,
    quiet: bool,
) -> None:
    """Start a lab in the background and wait until it works."""
    say = _silent if quiet else _echo
    if at_boot:
        need_systemd()
    wanted = wanted_config(
        name=name,
        sandbox=sandbox,
        internet=internet,
        node_name=node_name,
        node_ip=node_ip,
        pod_cidr=pod_cidr,
        service_cidr=service_cidr,
        api_port=api_port,
        registries=registries,
        no_node=no_node,
    )
    teller = _Teller(say)
    try:
        started = start_lab(wanted, port_chosen=api_port is not None, tell=teller)
    except KeyboardInterrupt:
        if teller.creating:
            goes_on = f"The lab goes on starting; 'netlab down{name_flag(wanted)}' removes it."
            click.echo(f"\n{goes_on}", err=True)
        raise
    config = started.config
    for path in started.kubeconfigs:
        say(f"Set kubectl context to {config.context!r} in {path}")
    if at_boot:
        say(f"Starts at every boot: {start_at_boot(config)}")
    say(f"Ready after {started.seconds:.2f} s.")
    if config.sandbox and not config.internet:
        say("The sandbox has no way out: nothing outside of it answers (--internet makes one).")
    if config.no_node:
        say(f"Start the node: {agent_command(config)}")
    if config.sandbox:
        say(f"A shell on the node: netlab shell{name_flag(config)}")


class _Teller:
    """Says what happens on the way. creating: the daemon was begun to be started."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.creating = False

    def __call__(self, event: StartEvent) -> None:
        name = event.config.name
        if event.what == "creating":
            self.creating = True
            self._say(f'Creating lab "{name}" ...')
        elif event.what == "running":
            self._say(f'Lab "{name}" is running already.')
        elif event.what == "waiting":
            who = f" (process {event.pid})" if event.pid else ""
            self._say(f'Waiting for another netlab command{who} that changes lab "{name}" ...')
        elif event.what == "warning":
            click.echo(f"warning: {event.text}", err=True)
        else:
            self._say(f" \u2713 {event.text:<52} {event.seconds:5.2f} s")


def _echo(line: str) -> None:
    click.echo(line)


def _silent(_line: str) -> None:
    pass
