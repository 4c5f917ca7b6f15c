"""``netlab demo``: start a sandboxed lab, go through scenario 00-demo, tear everything down."""

from __future__ import annotations

import subprocess
import sys

import click

from netlab.errors import NetlabError
from netlab.lab.labs import known_labs

LAB_NAME = "demo"


@click.command("demo", short_help="Show a whole lab, then remove it.")
@click.option("--keep", is_flag=True, help="Leave the lab running at the end.")
def demo(keep: bool) -> None:
    """Start a sandboxed lab named demo, show what is in it, and remove it again."""
    if LAB_NAME in known_labs():
        _netlab("down", "--name", LAB_NAME)
    try:
        _netlab("up", "--sandbox", "--name", LAB_NAME)
        click.echo()
        _netlab("scenario", "run", "00-demo", "--name", LAB_NAME, "--yes")
    finally:
        if not keep:
            _netlab("down", "--name", LAB_NAME)
    if keep:
        click.echo(f"The lab keeps running: netlab shell --name {LAB_NAME}")
    else:
        click.echo("Your turn: sudo netlab up --sandbox && sudo netlab shell")


def _netlab(*arguments: str) -> None:
    """Run one of netlab's own commands, shown as the user would type it."""
    click.secho(f"$ netlab {' '.join(arguments)}", bold=True)
    done = subprocess.run([sys.executable, "-P", "-m", "netlab", *arguments], check=False)
    if done.returncode != 0:
        raise NetlabError(f"netlab {arguments[0]} failed with exit code {done.returncode}")
