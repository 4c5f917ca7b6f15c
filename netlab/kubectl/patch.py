"""``netlab patch``: change fields of an object by a strategic, merge or JSON patch."""

from __future__ import annotations

import json
from pathlib import Path

from netlab.errors import NetlabError, UsageError
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, OUTPUT_FLAGS, Reporter
from netlab.kubectl.selection import Target, fetch, targets_of_files, targets_of_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

CONTENT_TYPES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


def _run(session: Session, parsed: Parsed) -> int:
    content_type = CONTENT_TYPES.get(parsed["type"])
    if content_type is None:
        raise UsageError(f'--type must be one of [json merge strategic], not "{parsed["type"]}"')
    body = _patch(parsed)
    reporter = Reporter(session, parsed)
    query = {"fieldManager": parsed["field-manager"] or "kubectl-patch", **reporter.query}
    if reporter.dry_run == "client":
        raise UsageError("netlab patches on the server only: use --dry-run=server")
    errors: list[NetlabError] = []
    for target in _targets(session, parsed):
        try:
            before = fetch(session, target)
            after = session.client.call(
                "PATCH",
                target.path(parsed["subresource"] or ""),
                query=query,
                body=body,
                content_type=content_type,
            )
        except NetlabError as error:
            errors.append(error)
            continue
        changed = before["metadata"].get("resourceVersion") != after["metadata"].get(
            "resourceVersion"
        )
        reporter.report(after, "patched" if changed else "patched (no change)")
    if errors:
        raise CombinedError(errors)
    return 0


def _patch(parsed: Parsed) -> bytes:
    """Return the patch as JSON.

    Raises: UsageError when there is none or it cannot be read.
    """
    if bool(parsed["patch"]) == bool(parsed["patch-file"]):
        raise UsageError(
            "must specify --patch or --patch-file containing the contents of the patch"
        )
    text = parsed["patch"]
    if parsed["patch-file"]:
        try:
            text = Path(parsed["patch-file"]).read_text()
        except OSError as error:
            reason = f"{parsed['patch-file']}: {error.strerror}"
            raise UsageError(f"unable to read patch file: {reason}") from error
    try:
        return json.dumps(json.loads(text)).encode()
    except ValueError:
        pass
    import yaml

    try:
        return json.dumps(yaml.safe_load(text)).encode()
    except (yaml.YAMLError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise UsageError(f'unable to parse "{text.strip()}": {words}') from error


def _targets(session: Session, parsed: Parsed) -> Iterator[Target]:
    if parsed["filename"]:
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            yield each
        return
    targets = targets_of_words(session, parsed.args, verb="patch")
    if not targets or not all(target.name for target in targets):
        raise UsageError("resource(s) were provided, but no name was specified")
    yield from targets


COMMAND = Command(
    "patch",
    _run,
    usage="TYPE NAME -p PATCH",
    text="Change fields of an object.",
    flags=(
        *manifest_flags(),
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        Flag("patch", short="p", help="The patch, as JSON or YAML."),
        Flag("patch-file", help="File with the patch."),
        Flag("type", default="strategic", help="strategic, merge or json."),
        Flag("subresource", help="Patch this part of it: status, scale, resize."),
    ),
    examples=(
        """patch pod web -p '{"metadata":{"labels":{"a":"b"}}}'""",
        """patch deployment web --type=json -p '[{"op":"remove","path":"/spec/paused"}]'""",
    ),
)
