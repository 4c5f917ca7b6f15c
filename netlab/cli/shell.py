"""``netlab shell``: a shell, or one command, where the node is (``lab.entering``)."""

from __future__ import annotations

import os

import click

from netlab.cli.names import current_name_option
from netlab.errors import HostError, UsageError
from netlab.lab.current import current_lab
from netlab.lab.entering import enter_node
from netlab.lab.labs import load_config
from netlab.lab.process import running_daemon


@click.command(
    "shell",
    short_help="A shell or a command on a node.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@current_name_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NODE] [-- COMMAND...]")
def shell(name: str | None, arguments: tuple[str, ...]) -> None:
    """Run a shell, or COMMAND, on the lab's node."""
    name = name or current_lab()
    config = load_config(name)
    if running_daemon(config) is None:
        raise HostError(f"lab {name} does not run; start it with 'netlab up --name {name}'")
    node, command = split_node(arguments, config.node_name)
    if node and node != config.node_name:
        raise UsageError(f"lab {name} has no node {node!r}; its node is {config.node_name}")
    if not command:
        click.echo(f"You are on node {config.node_name} of lab {name}; leave with 'exit'.")
    enter_node(config, command or [os.environ.get("SHELL") or "/bin/bash"])


def split_node(arguments: tuple[str, ...], node_name: str) -> tuple[str, list[str]]:
    """Return (node, command) of ``[NODE] [-- COMMAND...]``; both may be empty.

    A leading ``--`` is eaten by the option parser, so the first word is the node only when it is
    the node's name or when ``--`` follows it.
    """
    words = list(arguments)
    if "--" in words[:2]:
        place = words.index("--")
        return "".join(words[:place]), words[place + 1 :]
    if words and words[0] == node_name:
        return words[0], words[1:]
    return "", words
