"""``netlab ps``: the containers of a lab with the pause of each pod, as ``docker ps`` on a node.

Columns, words and options are docker's. Reads what the runtime keeps on disk, as root, so it also
shows what runs on while the daemon does not. netlab leaves out ``--format``, ``--last`` and
``--size``; ports are a pod's, not a container's, and stay empty, as on every Kubernetes node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import click

from netlab.cli.names import current_name_option
from netlab.errors import HostError, UsageError
from netlab.lab.current import current_lab
from netlab.lab.labs import load_config
from netlab.runtime.listing import ListedContainer, list_containers

_HEAD = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
_ID_LENGTH, _COMMAND_LENGTH = 12, 20
_STATES = ("created", "running", "exited")


@click.command("ps", short_help="The containers of the lab, with the pause of each pod.")
@current_name_option
@click.option("--all", "-a", "every", is_flag=True, help="Also those that do not run.")
@click.option("--quiet", "-q", is_flag=True, help="Print ids only.")
@click.option("--no-trunc", is_flag=True, help="Do not cut anything off.")
@click.option(
    "--filter",
    "-f",
    "filters",
    multiple=True,
    metavar="name=TEXT",
    help="Only some: name=, id=, status=, ancestor= (an image).",
)
def ps(name: str | None, every: bool, quiet: bool, no_trunc: bool, filters: Sequence[str]) -> None:
    """List the containers of a lab, the newest first."""
    config = load_config(name or current_lab())
    try:
        found = list_containers(config.run_dir, config.state_dir)
    except PermissionError as error:
        raise HostError("containers are root's; run: sudo netlab ps") from error
    chosen = choose(found, filters, every=every)
    if quiet:
        for each in chosen:
            click.echo(each.id if no_trunc else each.id[:_ID_LENGTH])
    else:
        click.echo("\n".join(table(chosen, datetime.now(UTC), whole=no_trunc)))


def choose(
    found: Sequence[ListedContainer], filters: Sequence[str], *, every: bool
) -> list[ListedContainer]:
    """Return the containers that fit all kinds of filters, any of each kind; without ``every``
    those that run, unless a status is asked for.

    Raises: UsageError for an unknown filter.
    """
    wanted: dict[str, list[str]] = {}
    for word in filters:
        kind, equals, value = word.partition("=")
        if not equals or kind not in _FITS:
            raise UsageError(f"--filter {word!r}: want one of {', '.join(f'{k}=' for k in _FITS)}")
        if kind == "status" and value not in _STATES:
            raise UsageError(f"--filter {word!r}: want one of {', '.join(_STATES)}")
        wanted.setdefault(kind, []).append(value)
    if not every and "status" not in wanted:
        wanted["status"] = ["running"]
    return [
        each
        for each in found
        if all(any(_FITS[kind](each, value) for value in values) for kind, values in wanted.items())
    ]


def state_of(container: ListedContainer) -> str:
    """Return docker's word for where a container is in its life."""
    if container.outcome is not None:
        return "exited"
    return "running" if container.started_at is not None else "created"


def _fits_name(container: ListedContainer, value: str) -> bool:
    # docker takes an expression that may fit anywhere; its names begin with a slash
    try:
        return re.search(value, f"/{container.name}") is not None
    except re.error as error:
        raise UsageError(f"--filter name={value}: {error}") from error


_FITS: Mapping[str, Callable[[ListedContainer, str], bool]] = {
    "name": _fits_name,
    "id": lambda each, value: each.id.startswith(value),
    "status": lambda each, value: state_of(each) == value,
    "ancestor": lambda each, value: value in (each.image, each.image.partition(":")[0]),
}


def table(found: Sequence[ListedContainer], now: datetime, *, whole: bool) -> list[str]:
    """Return the lines of the listing, headings first."""
    lines = [_HEAD, *(_cells(each, now, whole=whole) for each in found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEAD))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _cells(each: ListedContainer, now: datetime, *, whole: bool) -> tuple[str, ...]:
    command = " ".join(each.command)
    if not whole and len(command) > _COMMAND_LENGTH:
        command = command[: _COMMAND_LENGTH - 1] + "…"
    return (
        each.id if whole else each.id[:_ID_LENGTH],
        each.image,
        f'"{command}"',
        f"{human_duration(now - each.created_at)} ago",
        status_of(each, now),
        "",
        each.name,
    )


def status_of(each: ListedContainer, now: datetime) -> str:
    """Return docker's words: ``Up 2 minutes``, ``Exited (0) 3 hours ago``, ``Created``."""
    if each.outcome is not None:
        ago = human_duration(now - each.outcome.finished_at)
        return f"Exited ({each.outcome.exit_code}) {ago} ago"
    if each.started_at is None:
        return "Created"
    return f"Up {human_duration(now - each.started_at)}"


def human_duration(span: timedelta) -> str:
    """Return a duration as docker says it (``go-units`` ``HumanDuration``)."""
    seconds = max(0, int(span.total_seconds()))
    minutes, hours = seconds // 60, round(seconds / 3600)
    days = hours // 24
    steps = (
        (seconds < 1, "Less than a second"),
        (seconds == 1, "1 second"),
        (seconds < 60, f"{seconds} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (days < 14, f"{days} days"),
        (days < 60, f"{days // 7} weeks"),
        (days < 730, f"{days // 30} months"),
    )
    return next((words for fits, words in steps if fits), f"{days // 365} years")
