"""``netlab delete``: delete objects and wait until they are gone."""

from __future__ import annotations

import json

from netlab.errors import ApiError, NetlabError, UsageError, is_not_found
from netlab.kubectl.failures import CombinedError, LocatedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import DRY_RUN_FLAG, parse_dry_run
from netlab.kubectl.selection import (
    Target,
    fetch_all,
    named_target,
    targets_of_files,
    targets_of_words,
)
from netlab.kubectl.waiting import wait_until_gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

PROPAGATION = {
    "background": "Background",
    "true": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
    "false": "Orphan",
}
EXAMPLES = """You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'"""


class _Deletion:
    """The options of one run. grace_period_s: None lets each object's own period count."""

    def __init__(self, session: Session, parsed: Parsed) -> None:
        self.session = session
        self.dry_run = parse_dry_run(session, parsed["dry-run"])
        self.name_only = parsed["output"] == "name"
        self.ignore_missing = parsed["ignore-not-found"] or parsed["all"]
        self.wait = parsed["wait"] and self.dry_run == "none"
        self.timeout_s = parsed["timeout"] or None
        self.grace_period_s = _grace_period(session, parsed)
        self.forced = parsed["force"] and self.grace_period_s == 0
        self.with_namespace = False
        cascade = parsed["cascade"]
        if cascade not in PROPAGATION:
            raise UsageError(
                f'invalid cascade value ({cascade}). Must be "background", "foreground", or '
                '"orphan"'
            )
        self.propagation = PROPAGATION[cascade]
        if cascade in ("true", "false"):
            session.complain(
                f"warning: --cascade={cascade} is deprecated (boolean value) and can be replaced "
                f"with --cascade={self.propagation.lower()}."
            )

    def body(self) -> dict[str, Any]:
        options: dict[str, Any] = {"propagationPolicy": self.propagation}
        if self.grace_period_s is not None:
            options["gracePeriodSeconds"] = self.grace_period_s
        if self.dry_run == "server":
            options["dryRun"] = ["All"]
        return options

    def delete(self, target: Target) -> tuple[Target, str] | None:
        """Delete one object; return it with its uid if there is something to wait for."""
        answer: dict[str, Any] = {}
        if self.dry_run != "client":
            body = json.dumps(self.body()).encode()
            answer = self.session.client.call("DELETE", target.path(), body=body)
        self._report(target)
        uid = (answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid")
        return (target, uid or "") if self.wait else None

    def _report(self, target: Target) -> None:
        group_kind = target.resource.group_kind
        if self.name_only:
            self.session.print(f"{group_kind}/{target.name}")
            return
        done = "force deleted" if self.forced else "deleted"
        suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(self.dry_run, "")
        self.session.print(f'{group_kind} "{target.name}" {done}{suffix}')
        self.session.out.flush()


def _grace_period(session: Session, parsed: Parsed) -> int | None:
    period: int | None = parsed["grace-period"] if parsed["grace-period"] >= 0 else None
    if parsed["now"]:
        if period is not None:
            raise UsageError("--now and --grace-period cannot be specified together")
        period = 1
    if period == 0 and not parsed["force"]:
        # Zero would take the object away while its containers may still run.
        period = 1
    if parsed["force"]:
        if period is None:
            period = 0
        if period == 0:
            session.complain(
                "Warning: Immediate deletion does not wait for confirmation that the running "
                "resource has been terminated. The resource may continue to run on the cluster "
                "indefinitely."
            )
    return period


def _run(session: Session, parsed: Parsed) -> int:
    if parsed["output"] not in (None, "", "name"):
        raise UsageError(
            f"unexpected -o output mode: {parsed['output']}. We only support '-o name'"
        )
    deletion = _Deletion(session, parsed)
    waiting: list[tuple[Target, str]] = []
    errors: list[NetlabError] = []
    count = 0
    for target in _targets(session, parsed, errors):
        count += 1
        try:
            pending = deletion.delete(target)
        except ApiError as error:
            if is_not_found(error) and deletion.ignore_missing:
                continue
            errors.append(
                LocatedError(f'error when deleting "{target.source}"', error)
                if target.source
                else error
            )
            continue
        if pending is not None:
            waiting.append(pending)
    if errors and not waiting:
        raise CombinedError(errors)
    if not count and not errors and not parsed["ignore-not-found"]:
        session.print("No resources found")
    for target, uid in waiting:
        wait_until_gone(session, target, uid, deletion.timeout_s)
    if errors:
        raise CombinedError(errors)
    return 0


def _targets(session: Session, parsed: Parsed, errors: list[NetlabError]) -> list[Target]:
    if parsed["filename"] or parsed["kustomize"]:
        if parsed.args:
            raise UsageError(
                "when paths, URLs, or stdin is provided as input, you may not specify resource "
                "arguments as well"
            )
        found: list[Target] = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                errors.append(each)
            else:
                found.append(each)
        return found
    if not parsed.args:
        raise UsageError(EXAMPLES)
    selects = parsed["selector"] or parsed["field-selector"] or parsed["all"]
    if parsed["all"] and parsed["selector"]:
        raise UsageError("setting 'all' parameter but found a non empty selector. ")
    targets = targets_of_words(
        session, parsed.args, verb="delete", all_namespaces=parsed["all-namespaces"]
    )
    named = [target for target in targets if target.name]
    if named:
        if parsed["selector"]:
            raise UsageError("name cannot be provided when a selector is specified")
        if parsed["all"]:
            raise UsageError(
                "selectors and the all flag cannot be used when passing resource/name arguments"
                if "/" in parsed.args[0]
                else "name cannot be provided when a selector is specified"
            )
        return targets
    if not selects:
        raise UsageError("resource(s) were provided, but no name was specified")
    return [
        named_target(target, obj)
        for target in targets
        for obj in fetch_all(
            session,
            target,
            label_selector=parsed["selector"] or "",
            field_selector=parsed["field-selector"] or "",
        )
    ]


COMMAND = Command(
    "delete",
    _run,
    usage="TYPE NAME… | TYPE -l SELECTOR | TYPE --all | -f FILE",
    text="Delete objects and wait until they are gone.",
    flags=(
        *manifest_flags(),
        DRY_RUN_FLAG,
        Flag("output", short="o", help="name: print only the names."),
        Flag("selector", short="l", help="Delete the objects with these labels."),
        Flag("field-selector", help="Delete the objects with these fields."),
        Flag("all", "bool", help="Delete all objects of the type."),
        Flag("all-namespaces", "bool", short="A", help="In all namespaces."),
        Flag("ignore-not-found", "bool", help="An object that is gone already is no error."),
        Flag("grace-period", "int", default=-1, help="Seconds to end in; -1: the object's own."),
        Flag("now", "bool", help="The same as --grace-period=1."),
        Flag("force", "bool", help="Remove at once, without waiting for the node."),
        Flag("wait", "bool", default=True, help="Wait until the objects are gone."),
        Flag("timeout", "duration", default=0.0, help="Longest wait; 0: as long as it takes."),
        Flag(
            "cascade",
            default="background",
            bare="background",
            help="What becomes of owned objects: background, foreground or orphan.",
        ),
        Flag("interactive", "bool", short="i", help="Not supported by netlab.", refused=True),
    ),
    examples=("delete pod web", "delete -f web.yml", "delete pods,svc -l app=web"),
)
