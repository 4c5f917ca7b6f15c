"""``netlab exec``: run a command in a container, with its streams, and end with its exit code."""

from __future__ import annotations

import sys

from netlab.errors import UsageError
from netlab.kubectl.failures import ExitError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.pod_choice import choose_container, find_pods
from netlab.kubectl.remote_streams import Descriptors, connect, pump, raw_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    target, command = _split(session, parsed)
    pod = find_pods(session, target, "exec", timeout_s=parsed["pod-running-timeout"])[0]
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise UsageError(
            f"cannot exec into a container in a completed pod; current phase is {phase}"
        )
    # A container that is named is the server's to judge.
    container = parsed["container"] or choose_container(session, pod, "", quiet=parsed["quiet"])
    tty = parsed["tty"]
    if tty and parsed["stdin"] and not sys.stdin.isatty():
        session.complain("Unable to use a TTY - input is not a terminal or the right kind of file")
        tty = False
    stdin = sys.stdin.fileno() if parsed["stdin"] else -1
    path, query = exec_request(session, pod, container, command, stdin=stdin >= 0, tty=tty)
    return finish(stream(session, path, query, Descriptors(stdin), tty=tty))


def _split(session: Session, parsed: Parsed) -> tuple[str, list[str]]:
    """Return (POD or TYPE/NAME, command)."""
    args = parsed.args
    if not args:
        raise UsageError("pod, type/name or --filename must be specified")
    if parsed.dash == 0:
        raise UsageError("pod, type/name or --filename must be specified")
    if parsed.dash < 0 and len(args) > 1:
        program = session.program
        session.complain(
            f"{program} exec [POD] [COMMAND] is DEPRECATED and will be removed in a future "
            f"version. Use {program} exec [POD] -- [COMMAND] instead."
        )
    if len(args) < 2:
        raise UsageError("you must specify at least one command for the container")
    return args[0], args[1:]


def exec_request(
    session: Session,
    pod: dict[str, Any],
    container: str,
    command: list[str],
    *,
    stdin: bool,
    tty: bool,
) -> tuple[str, str]:
    """Return path and query of the exec request."""
    from netlab.client.escape import quote

    metadata = pod["metadata"]
    resource = session.resources.find("pods")
    path = resource.path(metadata.get("namespace"), metadata["name"], "exec")
    pairs = [("command", word) for word in command]
    pairs += [("container", container), ("stdout", "true")]
    if stdin:
        pairs.append(("stdin", "true"))
    # A terminal has one output; the server refuses to split it.
    pairs.append(("tty", "true") if tty else ("stderr", "true"))
    return path, "&".join(f"{key}={quote(value)}" for key, value in pairs)


def stream(
    session: Session, path: str, query: str, local: Descriptors, *, tty: bool
) -> dict[str, Any]:
    """Connect descriptors with the command until it ends; return the Status it ended with."""
    session.out.flush()
    sock, first = connect(session.client, path, query)
    try:
        with raw_terminal(enabled=tty and local.stdin >= 0):
            return pump(sock, first, local, tty=tty)
    finally:
        sock.close()


def finish(status: dict[str, Any]) -> int:
    """Return 0, or raise what the Status tells."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                code = int(cause.get("message", "1"))
                raise ExitError(code, f"command terminated with exit code {code}")
    message = status.get("message") or "the server ended the stream without a word"
    if status.get("reason") == "InternalError":
        raise ExitError(
            1,
            f"error: Internal error occurred: {message}"
            if not message.startswith("Internal error")
            else f"error: {message}",
        )
    raise ExitError(1, f"error: {message}")


COMMAND = Command(
    "exec",
    _run,
    usage="(POD | TYPE/NAME) [-c CONTAINER] -- COMMAND [ARGS…]",
    text="Run a command in a container.",
    flags=(
        Flag("container", short="c", help="The container; default: the pod's first."),
        Flag("stdin", "bool", short="i", help="Pass standard input on."),
        Flag("tty", "bool", short="t", help="Standard input is a terminal."),
        Flag("quiet", "bool", short="q", help="Print only what the command prints."),
        Flag("pod-running-timeout", "duration", default=60.0, help="Accepted for kubectl's sake."),
    ),
    examples=("exec web -- ls /", "exec -it web -- sh", "exec deploy/web -c side -- env"),
)
