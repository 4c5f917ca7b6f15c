"""``netlab down``: stop a lab and give everything back.

Works on a healthy lab, on one whose daemon was killed, and on what an interrupted ``up`` or
``down`` left; running it again goes on where the last one stopped.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from netlab.cli.teardown import remove_lab
from netlab.config import DEFAULT_NAME, LabConfig
from netlab.errors import HostError, NetlabError
from netlab.nodes.facts import quick_facts
from netlab.nodes.kubeconfig import remove_context
from netlab.nodes.labs import (
    config_path,
    known_labs,
    kubeconfig_ledger,
    load_config,
)
from netlab.nodes.preflight import check_root


@click.command("down", short_help="Stop a lab and remove all of it.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option("--all", "everything", is_flag=True, help="Remove all labs of this machine.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def down(name: str, everything: bool, quiet: bool) -> None:
    """Stop a lab and remove all of it: pods, links, rules, files and the kubectl context."""
    finding = check_root(quick_facts())
    if finding.level == "failure":
        raise HostError(finding.line())
    names = list(known_labs()) if everything else [name]
    if not everything and name not in known_labs():
        click.echo(f'There is no lab "{name}"; nothing to remove.')
        return
    failures = []
    for each in names:
        start = time.monotonic()
        problems = _remove(each)
        failures += [f"lab {each}: {problem}" for problem in problems]
        if not problems and not quiet:
            click.echo(f'Deleted lab "{each}" in {time.monotonic() - start:.2f} s.')
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if failures:
        sys.exit(1)


def _remove(name: str) -> list[str]:
    """Remove a lab and its contexts; return what could not be removed.

    A kubeconfig that its owner has broken meanwhile does not keep the lab alive.
    """
    problems = []
    try:
        config = _config(name)
        for entry in kubeconfig_ledger(config).newest_first():
            try:
                remove_context(Path(entry.name), config.context)
            except (NetlabError, OSError) as error:
                problems.append(f"context {config.context} stays in {entry.name}: {error}")
        remove_lab(config)
    except NetlabError as error:
        problems.append(str(error))
    return problems


def _config(name: str) -> LabConfig:
    """Return the lab's settings, or, when an interrupted ``up`` wrote none, what can be guessed.

    A sandbox is found by its namespace; everything else is found by the lab's name.
    """
    if config_path(name).exists():
        return load_config(name)
    guess = LabConfig(name=name, sandbox=True)
    return guess if guess.netns and guess.netns.exists() else LabConfig(name=name)
