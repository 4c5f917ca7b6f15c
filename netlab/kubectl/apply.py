"""``netlab apply -f``: make objects be as manifests say, and remember the manifests.

Mirrors kubectl's client-side apply: the manifest is kept in an annotation of the object, and the
next apply compares three sides: what was applied last, what shall be applied, what is there.
With ``--server-side`` the server does all of that.
"""

from __future__ import annotations

import json

from netlab.errors import ApiError, NetlabError, UsageError, is_not_found
from netlab.kubectl.create import LAST_APPLIED, create, with_last_applied, with_namespace
from netlab.kubectl.failures import CombinedError, LocatedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.handover import LackingError
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.output.gojson import to_compact_json
from netlab.kubectl.results import (
    DRY_RUN_FLAG,
    FIELD_MANAGER_FLAG,
    OUTPUT_FLAGS,
    VALIDATE_FLAG,
    Reporter,
    field_validation,
)
from netlab.kubectl.selection import fetch, targets_of_files
from netlab.kubectl.three_way import has_merge_keys, three_way_merge, three_way_strategic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.selection import Target
    from netlab.kubectl.session import Session

MANAGER = "kubectl-client-side-apply"


class _Apply:
    """The options of one run."""

    def __init__(self, session: Session, parsed: Parsed) -> None:
        self.session = session
        self.reporter = Reporter(session, parsed)
        self.server_side = parsed["server-side"]
        self.force_conflicts = parsed["force-conflicts"]
        self.manager = parsed["field-manager"]
        self.query = {
            "fieldManager": self.manager or MANAGER,
            "fieldValidation": field_validation(parsed["validate"]),
            **self.reporter.query,
        }

    def apply(self, target: Target) -> None:
        if self.server_side:
            self._apply_on_server(target)
            return
        if not target.name:
            prefix = ((target.obj or {}).get("metadata") or {}).get("generateName", "")
            raise UsageError(f"from {prefix or target.source}: cannot use generate name with apply")
        try:
            current = fetch(self.session, target)
        except ApiError as error:
            if not is_not_found(error):
                where = f"error when retrieving current configuration of:\n{_about(target)}"
                raise LocatedError(f'{where}\nfrom server for: "{target.source}"', error) from error
            self._create(target)
            return
        self._patch(target, current)

    def _create(self, target: Target) -> None:
        obj = with_last_applied(with_namespace(target))
        if self.reporter.dry_run != "client":
            try:
                obj = create(self.session, target, obj, self.query)
            except ApiError as error:
                raise LocatedError(f'error when creating "{target.source}"', error) from error
        self.reporter.report(obj, "created")

    def _patch(self, target: Target, current: dict[str, Any]) -> None:
        modified = with_last_applied(with_namespace(target))
        metadata = current.get("metadata") or {}
        recorded = (metadata.get("annotations") or {}).get(LAST_APPLIED)
        if recorded is None:
            self._warn_about_annotation(target)
        if metadata.get("deletionTimestamp"):
            self.session.complain(
                f"Warning: Detected changes to resource {target.name} which is currently being "
                "deleted."
            )
        original = _parse_recorded(recorded, target)
        strategic = has_merge_keys(target.resource.group)
        make = three_way_strategic if strategic else three_way_merge
        patch = make(original, modified, current)
        if not patch:
            self.reporter.report(current, "unchanged")
            return
        if self.reporter.dry_run != "client":
            kind = "strategic-merge-patch" if strategic else "merge-patch"
            current = self._send(target, patch, f"application/{kind}+json")
        self.reporter.report(current, "configured")

    def _send(self, target: Target, patch: dict[str, Any], content_type: str) -> dict[str, Any]:
        body = to_compact_json(patch)
        try:
            changed: dict[str, Any] = self.session.client.call(
                "PATCH",
                target.path(),
                query=self.query,
                body=body.encode(),
                content_type=content_type,
            )
        except ApiError as error:
            where = (
                f"error when applying patch:\n{body}\nto:\n{_about(target)}\n"
                f'for: "{target.source}": error when patching "{target.source}"'
            )
            raise LocatedError(where, error) from error
        return changed

    def _warn_about_annotation(self, target: Target) -> None:
        program = self.session.program
        self.session.complain(
            f"Warning: resource {target.resource.plural}/{target.name} is missing the "
            f"{LAST_APPLIED} annotation which is required by {program} apply. {program} apply "
            "should only be used on resources created declaratively by either "
            f"{program} create --save-config or {program} apply. The missing annotation will be "
            "patched automatically."
        )

    def _apply_on_server(self, target: Target) -> None:
        obj = with_namespace(target)
        query = {
            **self.query,
            "fieldManager": self.manager or "kubectl",
            "force": "true" if self.force_conflicts else "false",
        }
        changed = self.session.client.call(
            "PATCH",
            target.path(),
            query=query,
            body=json.dumps(obj).encode(),
            content_type="application/apply-patch+yaml",
        )
        self.reporter.report(changed, "serverside-applied")


def _parse_recorded(recorded: str | None, target: Target) -> dict[str, Any]:
    if recorded is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(recorded)
    except ValueError as error:
        raise UsageError(
            f"{target.resource.plural}/{target.name}: its {LAST_APPLIED} annotation is no JSON; "
            "remove the annotation and apply again"
        ) from error
    return found


def _about(target: Target) -> str:
    resource = target.resource
    api_version = resource.api_version
    return (
        f'Resource: "{api_version}, Resource={resource.plural}", '
        f'GroupVersionKind: "{api_version}, Kind={resource.kind}"\n'
        f'Name: "{target.name}", Namespace: "{target.namespace or ""}"'
    )


def _run(session: Session, parsed: Parsed) -> int:
    if parsed.args:
        raise UsageError(
            f"Unexpected args: [{' '.join(parsed.args)}]\nSee '{session.program} "
            "apply -h' for help and examples"
        )
    if not parsed["filename"] and not parsed["kustomize"]:
        raise UsageError("must specify one of -f and -k")
    if parsed["server-side"] and parsed["dry-run"] == "client":
        raise UsageError(
            "--dry-run=client doesn't work with --server-side (did you mean "
            "--dry-run=server instead?)"
        )
    if parsed["prune"]:
        raise LackingError("netlab does not prune")
    run = _Apply(session, parsed)
    errors: list[NetlabError] = []
    count = 0
    for target in targets_of_files(session, parsed):
        if isinstance(target, NetlabError):
            errors.append(target)
            continue
        count += 1
        try:
            run.apply(target)
        except (ApiError, LocatedError, UsageError) as error:
            errors.append(error)
    if errors:
        raise CombinedError(errors)
    if not count:
        raise UsageError("no objects passed to apply")
    return 0


COMMAND = Command(
    "apply",
    _run,
    usage="-f FILE",
    text="Make objects be as manifests say: create what is missing, change what differs.",
    flags=(
        *manifest_flags(),
        *OUTPUT_FLAGS,
        DRY_RUN_FLAG,
        FIELD_MANAGER_FLAG,
        VALIDATE_FLAG,
        Flag("server-side", "bool", help="Let the server merge."),
        Flag("force-conflicts", "bool", help="With --server-side: take fields from others."),
        Flag("prune", "bool", help="Not supported by netlab."),
        Flag("overwrite", "bool", default=True, help="Accepted for kubectl's sake."),
        Flag("wait", "bool", help="Accepted for kubectl's sake."),
    ),
    examples=("apply -f web.yml", "apply -f manifests/ -R", "apply -f - < web.yml"),
)
