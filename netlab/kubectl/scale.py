"""``netlab scale``: set how many pods a workload shall have."""

from __future__ import annotations

import json

from netlab.errors import ApiError, NetlabError, UsageError
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag, HintedUsageError
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import DRY_RUN_FLAG, OUTPUT_FLAGS, Reporter
from netlab.kubectl.selection import (
    Target,
    fetch,
    fetch_all,
    named_target,
    targets_of_files,
    targets_of_words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


def _run(session: Session, parsed: Parsed) -> int:
    if parsed["replicas"] is None:
        raise UsageError('required flag(s) "replicas" not set')
    if parsed["replicas"] < 0:
        raise UsageError(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"
        )
    reporter = Reporter(session, parsed)
    errors: list[NetlabError] = []
    count = 0
    for target, obj in _selected(session, parsed, errors):
        count += 1
        try:
            if reporter.dry_run != "client":
                _scale(session, reporter, parsed, target)
            reporter.report(obj, "scaled")
        except NetlabError as error:
            errors.append(error)
    if not count:
        reasons = "".join(f" {error}" for error in errors)
        raise UsageError(f"no objects passed to scale{reasons}")
    if errors:
        raise CombinedError(errors)
    return 0


def _scale(session: Session, reporter: Reporter, parsed: Parsed, target: Target) -> None:
    path = target.path("scale")
    replicas = parsed["replicas"]
    if parsed["current-replicas"] == -1 and parsed["resource-version"] is None:
        body = json.dumps({"spec": {"replicas": replicas}}).encode()
        session.client.call(
            "PATCH",
            path,
            query=reporter.query,
            body=body,
            content_type="application/merge-patch+json",
        )
        return
    scale = session.client.call("GET", path)
    found = scale["spec"].get("replicas", 0)
    if parsed["current-replicas"] not in (-1, found):
        raise UsageError(f"Expected replicas to be {parsed['current-replicas']}, was {found}")
    version = scale["metadata"].get("resourceVersion")
    if parsed["resource-version"] not in (None, version):
        raise UsageError(
            f"Expected resource version to be {parsed['resource-version']}, was {version}"
        )
    scale["spec"]["replicas"] = replicas
    session.client.call("PUT", path, query=reporter.query, body=json.dumps(scale).encode())


def _selected(
    session: Session, parsed: Parsed, errors: list[NetlabError]
) -> Iterator[tuple[Target, dict[str, Any]]]:
    if parsed["filename"]:
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            yield each, fetch(session, each)
        return
    if not parsed.args:
        raise (
            HintedUsageError("resource(s) were provided, but no name was specified")
            if parsed["all"]
            else UsageError(
                "You must provide one or more resources by argument or filename.\n"
                "Example resource specifications include:\n   '-f rsrc.yaml'\n"
                "   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"
            )
        )
    targets = targets_of_words(session, parsed.args, verb="scale")
    if not (parsed["all"] or parsed["selector"]) and not all(t.name for t in targets):
        raise UsageError("resource(s) were provided, but no name was specified")
    for target in targets:
        try:
            found = fetch_all(session, target, label_selector=parsed["selector"] or "")
        except ApiError as error:
            errors.append(error)
            continue
        for obj in found:
            yield (target if target.name else named_target(target, obj)), obj


COMMAND = Command(
    "scale",
    _run,
    usage="--replicas=COUNT TYPE NAME",
    text="Set how many pods a deployment or replica set shall have.",
    flags=(
        *manifest_flags(),
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        Flag("replicas", "int", help="How many."),
        Flag("current-replicas", "int", default=-1, help="Only if it has this many now."),
        Flag("resource-version", help="Only if it has this version now."),
        Flag("selector", short="l", help="The objects with these labels."),
        Flag("all", "bool", help="All objects of the type."),
        Flag("timeout", "duration", default=0.0, help="Accepted for kubectl's sake."),
    ),
    examples=("scale --replicas=3 rs/web", "scale deployment web --replicas 5"),
)
