"""``netlab down``: stop a lab and give everything back (``lab.stop``)."""

from __future__ import annotations

import sys

import click

from netlab.config import DEFAULT_NAME
from netlab.lab.labs import known_labs
from netlab.lab.stop import need_root, stop_lab


@click.command("down", short_help="Stop a lab and remove all of it.")
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option("--all", "everything", is_flag=True, help="Remove all labs of this machine.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def down(name: str, everything: bool, quiet: bool) -> None:
    """Stop a lab and remove all of it: pods, links, rules, files and the kubectl context."""
    need_root()
    names = list(known_labs()) if everything else [name]
    if not everything and name not in known_labs():
        click.echo(f'There is no lab "{name}"; nothing to remove.')
        return
    failures = []
    for each in names:
        stopped = stop_lab(each)
        failures += [f"lab {each}: {problem}" for problem in stopped.problems]
        if not stopped.problems and not quiet:
            click.echo(f'Deleted lab "{each}" in {stopped.seconds:.2f} s.')
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if failures:
        sys.exit(1)
