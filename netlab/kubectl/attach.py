"""``netlab attach``: the streams of a container's own process."""

from __future__ import annotations

import sys

from netlab.errors import UsageError
from netlab.kubectl.exec import finish, stream
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.pod_choice import choose_container, container_names, find_pods
from netlab.kubectl.remote_streams import Descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

LISTS = ("containers", "initContainers", "ephemeralContainers")


def _run(session: Session, parsed: Parsed) -> int:
    if not parsed.args:
        raise UsageError("at least 1 argument is required for attach")
    if len(parsed.args) > 2:
        raise UsageError("expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments)")
    word = "/".join(parsed.args)
    pod = find_pods(session, word, "attach", timeout_s=parsed["pod-running-timeout"])[0]
    container = choose_container(session, pod, parsed["container"], quiet=parsed["quiet"])
    return attach(
        session, pod, container, stdin=parsed["stdin"], tty=parsed["tty"], quiet=parsed["quiet"]
    )


def attach(
    session: Session,
    pod: Mapping[str, Any],
    container: str,
    *,
    stdin: bool,
    tty: bool,
    quiet: bool = False,
) -> int:
    """Connect the terminal with a container until it ends; return the exit code 0.

    Raises: UsageError for a pod that has ended; ExitError with the container's exit code.
    """
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise UsageError(f"cannot attach a container in a completed pod; current phase is {phase}")
    written = _written(pod, container)
    if tty and not written.get("tty"):
        session.complain(f"error: Unable to use a TTY - container {container} did not allocate one")
        tty = False
    elif not tty and stdin and written.get("tty"):
        tty = True  # a container on a terminal can only be talked to through one
    if tty and stdin and not sys.stdin.isatty():
        session.complain("Unable to use a TTY - input is not a terminal or the right kind of file")
        tty = False
    if tty and stdin and not quiet:
        session.complain("If you don't see a command prompt, try pressing enter.")
    pairs = [("container", container), ("stdout", "true")]
    if stdin:
        pairs.append(("stdin", "true"))
    pairs.append(("tty", "true") if tty else ("stderr", "true"))
    metadata = pod["metadata"]
    path = session.resources.find("pods").path(
        metadata.get("namespace"), metadata["name"], "attach"
    )
    query = "&".join(f"{key}={value}" for key, value in pairs)
    local = Descriptors(sys.stdin.fileno() if stdin else -1)
    return finish(stream(session, path, query, local, tty=tty))


def _written(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    """Return the container as the spec has it.

    Raises: UsageError when there is none of that name.
    """
    spec = pod.get("spec") or {}
    for kind in LISTS:
        for each in spec.get(kind) or ():
            if each["name"] == container:
                found: Mapping[str, Any] = each
                return found
    known = ", ".join(container_names(pod))
    name = pod["metadata"]["name"]
    raise UsageError(f"container {container} not found in pod {name}; it has: {known}")


COMMAND = Command(
    "attach",
    _run,
    usage="(POD | TYPE/NAME) [-c CONTAINER]",
    text="Attach to a process that already runs in a container.",
    flags=(
        Flag("container", short="c", help="The container; default: the pod's first."),
        Flag("stdin", "bool", short="i", help="Pass standard input on."),
        Flag("tty", "bool", short="t", help="Standard input is a terminal."),
        Flag("quiet", "bool", short="q", help="Print only what the process prints."),
        Flag("pod-running-timeout", "duration", default=60.0, help="Wait so long for a pod."),
    ),
    examples=("attach web", "attach -it web -c shell", "attach deploy/web"),
)
