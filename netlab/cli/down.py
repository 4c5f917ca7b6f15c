"""``netlab down``: stop a lab and give everything back (``lab.stop``)."""

from __future__ import annotations

import sys

import click

from netlab.config import DEFAULT_NAME
from netlab.errors import UsageError
from netlab.lab.labs import all_labs, settings_or_guess
from netlab.lab.process import running_daemon
from netlab.lab.stop import Stopped, need_root, stop_lab


@click.command("down", short_help="Stop a lab and remove all of it.")
@click.option("--name", help=f"Name of the lab.  [default: {DEFAULT_NAME}]")
@click.option("--all", "everything", is_flag=True, help="Remove all labs of this machine.")
@click.option("--yes", "-y", is_flag=True, help="With --all: do not ask.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
def down(name: str | None, everything: bool, yes: bool, quiet: bool) -> None:
    """Stop a lab and remove all of it: pods, links, rules, files and the kubectl context."""
    need_root()
    if everything and name:
        raise UsageError("--all and --name exclude each other")
    names = _all_that_shall_go(yes) if everything else [name or DEFAULT_NAME]
    stopped = [_stop(each, quiet) for each in names]
    problems = [f"lab {one.name}: {problem}" for one in stopped for problem in one.problems]
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    if problems:
        sys.exit(1)


def _all_that_shall_go(yes: bool) -> list[str]:
    """Return the names of all labs, when the user has seen them and agrees.

    Raises: UsageError where nobody can be asked; click.Abort when the answer is no.
    """
    names = all_labs()
    if not names:
        click.echo("There is no lab on this machine; nothing to remove.")
    if yes or not names:
        return names
    click.echo("The labs of this machine, whoever started them:", err=True)
    for name in names:
        click.echo(f"  {name:<20} {_state(name)}", err=True)
    if not sys.stdin.isatty():
        raise UsageError("'netlab down --all' removes all of these; say --yes if that is meant")
    click.confirm("Remove all of them?", abort=True, err=True)
    return names


def _state(name: str) -> str:
    config = settings_or_guess(name)
    daemon = running_daemon(config)
    place = "sandbox" if config.sandbox else "the host's own network"
    return f"{f'running, pid {daemon.pid}' if daemon else 'not running'}, {place}"


def _stop(name: str, quiet: bool) -> Stopped:
    def waiting(pid: int) -> None:
        if not quiet:
            who = f" (process {pid})" if pid else ""
            click.echo(f'Waiting for another netlab command{who} that changes lab "{name}" ...')

    stopped = stop_lab(name, waiting=waiting)
    if quiet:
        return stopped
    if not stopped.existed:
        others = all_labs()
        known = f" There are: {', '.join(others)}." if others else ""
        click.echo(f'There is no lab "{name}"; nothing to remove.{known}')
    elif not stopped.problems:
        click.echo(f'Deleted lab "{name}" in {stopped.seconds:.2f} s.')
    for path, context in stopped.contexts:
        click.echo(f"Set kubectl context to {context!r} in {path}")
    return stopped
