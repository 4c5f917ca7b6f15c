"""``netlab shell``: a shell, or one command, where the node is.

On a lab in the host's own network that is simply here. In a sandboxed lab the command runs in the
network namespace that plays the VM, with a mount namespace of its own in which ``/etc/resolv.conf``
and ``/etc/nsswitch.conf`` are the sandbox's: it has no connection, so it asks no resolver, and an
unknown name is "not known" at once. ``kubectl`` speaks to this lab there, whichever context is the
current one elsewhere.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import click

from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import HostError, UsageError
from netlab.nodes.facts import quick_facts
from netlab.nodes.labs import load_config
from netlab.nodes.machine import node_etc
from netlab.nodes.preflight import check_root
from netlab.nodes.process import running_daemon


@click.command(
    "shell",
    short_help="A shell or a command on a node.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NODE] [-- COMMAND...]")
def shell(name: str, arguments: tuple[str, ...]) -> None:
    """Run a shell, or COMMAND, on the lab's node."""
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


def node_argv(config: LabConfig) -> list[str]:
    """Return the argv prefix that runs a command on a sandboxed lab's node.

    The command gets mount and UTS namespaces of its own, so that the sandbox's resolver files
    and the node's name are seen by this command only, and a /sys that shows the node's links.
    """
    script = (
        'hostname "$0" && mount --make-rprivate / && mount -t sysfs sysfs /sys'
        " && for file in resolv.conf nsswitch.conf hosts; do"
        ' mount --bind "$1/$file" "/etc/$file" || exit 1; done; shift; exec "$@"'
    )
    return [
        *("env", f"KUBECONFIG={config.state_dir / 'admin.kubeconfig'}"),
        *("nsenter", f"--net={config.netns}", "--"),
        *("unshare", "--mount", "--uts", "sh", "-c", script),
        *(config.node_name, str(node_etc(config))),
    ]


def enter_node(config: LabConfig, argv: list[str]) -> NoReturn:
    """Replace this process by ``argv`` on the node.

    Raises: HostError without root, or when the program does not exist.
    """
    if shutil.which(argv[0]) is None:
        raise HostError(f"{argv[0]}: there is no such program")
    if config.netns is None:
        os.execvp(argv[0], argv)
    finding = check_root(quick_facts())
    if finding.level == "failure":
        raise HostError(finding.line())
    if not config.netns.exists():
        raise HostError(f"lab {config.name}: {config.netns} is gone; run 'netlab down' and 'up'")
    full = [*node_argv(config), *argv]
    os.execvp(full[0], full)
