"""What the query of ``…/exec`` and ``…/attach`` asks for, as kubectl writes it."""

from __future__ import annotations

from urllib.parse import parse_qs

from netlab.api.field_errors import bad_request
from netlab.apiserver.http.parameters import truth
from netlab.streaming.commands import CommandRequest


def parse_command(raw_query: str) -> CommandRequest:
    """Return what ``?command=…&command=…&stdin=true`` asks for."""
    values = parse_qs(raw_query, keep_blank_values=True)

    def flag(name: str) -> bool:
        return name in values and truth(values[name][0])

    return CommandRequest(
        argv=tuple(values.get("command", ())),
        stdin=flag("stdin"),
        stdout=flag("stdout"),
        stderr=flag("stderr"),
        tty=flag("tty"),
    )


def check_command(request: CommandRequest, *, attach: bool) -> None:
    """Raises: ApiError BadRequest for a request that means nothing."""
    if not (request.stdin or request.stdout or request.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if not attach and not request.argv:
        raise bad_request("you must specify at least one command for the container")
