"""What ``label`` and ``annotate`` share: read ``KEY=VALUE`` and ``KEY-``, patch, say what was done.

Mirrors kubectl: a key that has another value is changed only with ``--overwrite``.
"""

from __future__ import annotations

import json

from netlab.errors import NetlabError, UsageError
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.results import DRY_RUN_FLAG, FIELD_MANAGER_FLAG, OUTPUT_FLAGS, Reporter
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
    from collections.abc import Sequence
    from typing import Any

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session


class Edit:
    """What to set and what to remove, by key."""

    __slots__ = ("removed", "set")

    def __init__(self, pairs: dict[str, str], removed: Sequence[str]) -> None:
        self.set = pairs
        self.removed = tuple(removed)


def split_edits(words: Sequence[str], noun: str) -> tuple[list[str], Edit]:
    """Return the words that name objects and the edits that follow them.

    Raises: UsageError when a key is both set and removed, or an edit stands among the names.
    """
    names: list[str] = []
    pairs: dict[str, str] = {}
    removed: list[str] = []
    for word in words:
        is_edit = ("=" in word and not word.startswith("=")) or (
            (word.endswith("-") and "/" not in word[:-1]) or (word.endswith("-") and bool(names))
        )
        if not is_edit:
            if pairs or removed:
                raise UsageError(f"all resources must be specified before {noun} changes: {word}")
            names.append(word)
        elif "=" in word:
            key, _, value = word.partition("=")
            pairs[key] = value
        else:
            removed.append(word[:-1])
    if any(key in pairs for key in removed):
        article = "an" if noun[0] == "a" else "a"
        raise UsageError(f"can not both modify and remove {article} {noun} in the same command")
    return names, Edit(pairs, removed)


class _Editor:
    """One run of the verb. field: ``labels`` or ``annotations``."""

    def __init__(self, session: Session, parsed: Parsed, verb: str, field: str) -> None:
        self.session = session
        self.reporter = Reporter(session, parsed)
        self.verb = verb
        self.field = field
        self.noun = field[:-1]
        self.overwrite = parsed["overwrite"]
        self.list_only = parsed["list"]
        self.single = True

    def apply(self, target: Target, obj: dict[str, Any], edit: Edit) -> None:
        old = dict((obj.get("metadata") or {}).get(self.field) or {})
        if self.list_only:
            self._list(target, old)
            return
        changed = self._changes(old, edit)
        new = {**old, **edit.set}
        for key in edit.removed:
            if key in old or self.verb == "annotate":
                new.pop(key, None)
            else:
                self.session.print(f'{self.noun} "{key}" not found.')
        patch = {key: new.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}
        if self.reporter.dry_run == "client":
            obj = {**obj, "metadata": {**obj["metadata"], self.field: new}}
        else:
            is_new = self.field not in obj["metadata"]
            obj = self._send(target, {self.field: patch} if patch or is_new else {})
        done = "annotated" if self.verb == "annotate" else _label_word(old, new, changed)
        self.reporter.report(obj, done)

    def _changes(self, old: dict[str, str], edit: Edit) -> bool:
        if not self.overwrite:
            taken = [key for key, value in edit.set.items() if old.get(key, value) != value]
            if taken:
                problems = [f"'{key}' already has a value ({old[key]})" for key in sorted(taken)]
                if self.verb == "annotate":
                    raise UsageError(
                        "--overwrite is false but found the following declared "
                        f"annotation(s): {'; '.join(problems)}"
                    )
                problems = [f"{problem}, and --overwrite is false" for problem in problems]
                raise UsageError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return bool(edit.set)

    def _send(self, target: Target, patch: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps({"metadata": patch} if patch else {}).encode()
        changed: dict[str, Any] = self.session.client.call(
            "PATCH",
            target.path(),
            query={"fieldManager": f"kubectl-{self.verb}", **self.reporter.query},
            body=body,
            content_type="application/merge-patch+json",
        )
        return changed

    def _list(self, target: Target, values: dict[str, str]) -> None:
        indent = ""
        if not self.single:
            resource = target.resource
            self.session.print(
                f"Listing {self.field} for {resource.kind}.{resource.group}/{target.name}:"
            )
            indent = " "
        for key in sorted(values):
            self.session.print(f"{indent}{key}={values[key]}")


def _label_word(old: dict[str, str], new: dict[str, str], changed: bool) -> str:
    if old == new:
        return "not labeled"
    return "unlabeled" if set(new) < set(old) else "labeled"


def metadata_command(verb: str, field: str) -> Command:
    """Return the command that edits ``metadata.<field>``."""
    noun = field[:-1]

    def run(session: Session, parsed: Parsed) -> int:
        names, edit = split_edits(parsed.args, noun)
        editor = _Editor(session, parsed, verb, field)
        if not names and not parsed["filename"]:
            raise UsageError(
                "one or more resources must be specified as <resource> <name> or <resource>/<name>"
            )
        if not edit.set and not edit.removed and not parsed["list"]:
            raise UsageError(f"at least one {noun} update is required")
        errors: list[NetlabError] = []
        selected = _selected(session, parsed, names, verb)
        editor.single = len(selected) == 1
        for target, obj in selected:
            try:
                editor.apply(target, obj, edit)
            except NetlabError as error:
                errors.append(error)
        if errors:
            raise CombinedError(errors)
        return 0

    return Command(
        verb,
        run,
        usage="TYPE NAME… KEY=VALUE… KEY-…",
        text=f"Set (KEY=VALUE) and remove (KEY-) {field} of objects.",
        flags=(
            *manifest_flags(),
            *OUTPUT_FLAGS,
            DRY_RUN_FLAG,
            FIELD_MANAGER_FLAG,
            Flag("all", "bool", help="All objects of the type."),
            Flag("all-namespaces", "bool", short="A", help="In all namespaces."),
            Flag("selector", short="l", help="The objects with these labels."),
            Flag("field-selector", help="The objects with these fields."),
            Flag("overwrite", "bool", help=f"Change {field} that have another value."),
            Flag("list", "bool", help=f"Show the {field}."),
            Flag("resource-version", help="Accepted for kubectl's sake."),
        ),
        examples=(f"{verb} pod web tier=front", f"{verb} pods --all tier-"),
    )


def _selected(
    session: Session, parsed: Parsed, names: list[str], verb: str
) -> list[tuple[Target, dict[str, Any]]]:
    if parsed["filename"]:
        found = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            found.append((each, fetch(session, each)))
        return found
    targets = targets_of_words(session, names, verb=verb, all_namespaces=parsed["all-namespaces"])
    selects = parsed["selector"] or parsed["field-selector"] or parsed["all"]
    if not selects and not all(target.name for target in targets):
        raise UsageError("resource(s) were provided, but no name was specified")
    return [
        (target if target.name else named_target(target, obj), obj)
        for target in targets
        for obj in fetch_all(
            session,
            target,
            label_selector=parsed["selector"] or "",
            field_selector=parsed["field-selector"] or "",
        )
    ]
