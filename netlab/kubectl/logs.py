"""``netlab logs``: what a container printed, or prints."""

from __future__ import annotations

import threading

from netlab.errors import ApiError, HostError, NetlabError, UsageError, is_not_found
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.pod_choice import choose_container, container_names, find_pods, list_pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from netlab.client.blocking import BlockingClient
    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

USAGE = (
    "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\n"
    "POD or TYPE/NAME is a required argument for the logs command"
)
SELECTOR_TAIL = 10
"""How many lines of each pod are shown when pods are chosen by labels."""


class _Source:
    """One container's log. prefix: what its lines begin with."""

    __slots__ = ("path", "prefix", "query")

    def __init__(self, path: str, query: dict[str, str], prefix: bytes) -> None:
        self.path = path
        self.query = query
        self.prefix = prefix


def _run(session: Session, parsed: Parsed) -> int:
    _check(session, parsed)
    sources = _sources(session, parsed)
    if parsed["follow"] and len(sources) > parsed["max-log-requests"]:
        raise UsageError(
            f"you are attempting to follow {len(sources)} log streams, but maximum allowed "
            f"concurrency is {parsed['max-log-requests']}, use --max-log-requests to increase "
            "the limit"
        )
    if parsed["follow"] and len(sources) > 1:
        _follow_all(session, sources, ignore_errors=parsed["ignore-errors"])
        return 0
    for source in sources:
        try:
            _copy(session, session.client, source, threading.Lock())
        except NetlabError as error:
            if not parsed["ignore-errors"]:
                raise
            session.complain(f"error: {error}")
    return 0


def _check(session: Session, parsed: Parsed) -> None:
    args = parsed.args
    if not args and not parsed["selector"]:
        raise HintedUsageError(USAGE)
    if len(args) > 2:
        raise HintedUsageError(USAGE)
    if args and parsed["selector"]:
        raise HintedUsageError("only a selector (-l) or a POD name is allowed")
    if parsed["all-containers"] and parsed["container"]:
        raise UsageError(
            "--all-containers=true should not be specified with container name "
            f"{parsed['container']}"
        )
    if parsed["since-time"] and parsed["since"]:
        raise UsageError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if parsed["tail"] < -1:
        raise UsageError("--tail must be greater than or equal to -1")
    if parsed["limit-bytes"] < 0:
        raise UsageError("--limit-bytes must be greater than 0")


def _sources(session: Session, parsed: Parsed) -> list[_Source]:
    if parsed["selector"]:
        pods: Sequence[Mapping[str, Any]] = list_pods(session, parsed["selector"])
        if not pods:
            session.complain(f"No resources found in {session.namespace} namespace.")
    else:
        found = _find(session, parsed)
        pods = found if parsed["all-pods"] else found[:1]
        if len(found) > 1 and not parsed["all-pods"]:
            name = found[0]["metadata"]["name"]
            session.complain(f"Found {len(found)} pods, using pod/{name}")
    return [source for pod in pods for source in _pod_sources(session, parsed, pod)]


def _find(session: Session, parsed: Parsed) -> list[dict[str, Any]]:
    word = parsed.args[0]
    try:
        return find_pods(session, word, "logs", timeout_s=parsed["pod-running-timeout"])
    except ApiError as error:
        if is_not_found(error) and "/" not in word:
            where = f'{error.message} in namespace "{session.namespace}"'
            raise UsageError(f"error from server (NotFound): {where}") from error
        raise


def _pod_sources(session: Session, parsed: Parsed, pod: Mapping[str, Any]) -> list[_Source]:
    wanted = parsed["container"] or (parsed.args[1] if len(parsed.args) > 1 else "")
    if parsed["all-containers"]:
        spec = pod.get("spec") or {}
        names = [c["name"] for c in spec.get("initContainers") or ()]
        names += [name for name in container_names(pod) if name not in names]
    else:
        names = [choose_container(session, pod, wanted)]
    metadata = pod["metadata"]
    resource = session.resources.find("pods")
    path = resource.path(metadata.get("namespace"), metadata["name"], "log")
    return [
        _Source(
            path,
            {"container": name, **_query(parsed)},
            f"[pod/{metadata['name']}/{name}] ".encode() if parsed["prefix"] else b"",
        )
        for name in names
    ]


def _query(parsed: Parsed) -> dict[str, str]:
    query: dict[str, str] = {}
    for option, parameter in (
        ("follow", "follow"),
        ("previous", "previous"),
        ("timestamps", "timestamps"),
        ("insecure-skip-tls-verify-backend", "insecureSkipTLSVerifyBackend"),
    ):
        if parsed[option]:
            query[parameter] = "true"
    tail = parsed["tail"]
    if parsed["selector"] and not parsed.has("tail"):
        tail = SELECTOR_TAIL
    if tail >= 0:
        query["tailLines"] = str(tail)
    if parsed["since"]:
        # Rounded up, so that a part of a second still counts.
        query["sinceSeconds"] = str(int(parsed["since"] + 0.999999))
    if parsed["since-time"]:
        query["sinceTime"] = parsed["since-time"]
    if parsed["limit-bytes"]:
        query["limitBytes"] = str(parsed["limit-bytes"])
    return query


def _copy(session: Session, client: BlockingClient, source: _Source, lock: Any) -> None:
    """Copy a log to standard output as it comes in.

    Raises: ApiError when the server has no such log.
    """
    from netlab.client.blocking import error_from

    response = client.request(
        "GET", source.path, query=source.query, accept="application/json, */*"
    )
    if response.status >= 400:
        raise error_from(response, response.read())
    pieces = response.lines() if source.prefix else response.chunks()
    for piece in pieces:
        with lock:
            session.out.flush()
            session.out.buffer.write(source.prefix + piece)  # type: ignore[attr-defined]
            session.out.buffer.flush()  # type: ignore[attr-defined]


def _follow_all(session: Session, sources: Sequence[_Source], *, ignore_errors: bool) -> None:
    """Copy several logs at once, a thread for each; line by line, so that none is torn."""
    lock = threading.Lock()
    errors: list[NetlabError] = []

    def follow(source: _Source) -> None:
        client = session.new_client()
        try:
            _copy(session, client, source, lock)
        except (ApiError, HostError) as error:
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=follow, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors and not ignore_errors:
        raise CombinedError(errors)


COMMAND = Command(
    "logs",
    _run,
    usage="(POD | TYPE/NAME) [-c CONTAINER]",
    text="Show what a container printed; with -f, go on with what it prints.",
    flags=(
        Flag("follow", "bool", short="f", help="Go on as the container prints more."),
        Flag("previous", "bool", short="p", help="The log of the container before its restart."),
        Flag("container", short="c", help="The container; default: the pod's first."),
        Flag("all-containers", "bool", help="All containers of the pod."),
        Flag("all-pods", "bool", help="All pods of a workload."),
        Flag("selector", short="l", help="The pods with these labels."),
        Flag("tail", "int", default=-1, help="Only the last lines; -1: all (10 with -l)."),
        Flag("since", "duration", default=0.0, help="Only what is younger: 5s, 2m, 3h."),
        Flag("since-time", help="Only what is younger than this time (RFC 3339)."),
        Flag("timestamps", "bool", help="Begin each line with its time."),
        Flag("prefix", "bool", help="Begin each line with pod and container."),
        Flag("limit-bytes", "int", default=0, help="At most this many bytes."),
        Flag("max-log-requests", "int", default=5, help="How many logs to follow at once."),
        Flag("ignore-errors", "bool", help="Go on when one log cannot be read."),
        Flag("insecure-skip-tls-verify-backend", "bool", help="Accepted for kubectl's sake."),
        Flag("pod-running-timeout", "duration", default=20.0, help="Accepted for kubectl's sake."),
    ),
    examples=("logs web", "logs -f deploy/web", "logs -l app=web --prefix --tail 20"),
)
