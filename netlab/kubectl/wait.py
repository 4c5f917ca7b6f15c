"""``netlab wait``: until objects are ready, deleted, created, or say what they shall say."""

from __future__ import annotations

import time

from netlab.errors import ApiError, NetlabError, UsageError, is_not_found
from netlab.kubectl.failures import CombinedError
from netlab.kubectl.flags import Command, Flag
from netlab.kubectl.manifests import manifest_flags
from netlab.kubectl.output.jsonpath import JsonPathError, relaxed, value_text
from netlab.kubectl.selection import (
    Target,
    fetch_all,
    named_target,
    targets_of_files,
    targets_of_words,
)
from netlab.kubectl.waiting import WaitTimeoutError, wait_for, wait_until_gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from netlab.kubectl.flags import Parsed
    from netlab.kubectl.session import Session

    Check: TypeAlias = Callable[[dict[str, Any] | None], bool]

A_WEEK_S = 7 * 24 * 3600.0


def _run(session: Session, parsed: Parsed) -> int:
    condition = parsed["for"] or ""
    check = parse_condition(condition)
    timeout_s = A_WEEK_S if parsed["timeout"] < 0 else parsed["timeout"]
    deadline = time.monotonic() + timeout_s
    targets = _targets(session, parsed, deadline, for_create=condition.lower() == "create")
    if not targets:
        if condition.lower() == "delete":
            return 0
        raise UsageError("no matching resources found")
    errors: list[NetlabError] = []
    for target in targets:
        left = max(0.0, deadline - time.monotonic()) if timeout_s else 0.0
        try:
            if condition.lower() == "delete":
                wait_until_gone(session, target, _uid(target), left)
            elif condition.lower() != "create":
                wait_for(session, target, _alive(target, check), left)
        except WaitTimeoutError as error:
            plural = target.resource.group_resource
            looked_once = UsageError(f"condition not met for {plural}/{target.name}")
            errors.append(error if timeout_s else looked_once)
            continue
        except NetlabError as error:
            errors.append(error)
            continue
        if parsed["output"] == "name":
            session.print(f"{target.resource.group_kind}/{target.name}")
        else:
            session.print(f"{target.resource.group_kind}/{target.name} condition met")
    if errors:
        raise CombinedError(errors)
    return 0


def _uid(target: Target) -> str:
    return str(((target.obj or {}).get("metadata") or {}).get("uid", ""))


def _alive(target: Target, check: Check) -> Check:
    def is_done(obj: dict[str, Any] | None) -> bool:
        if obj is None:
            plural = target.resource.group_resource
            raise ApiError(404, "NotFound", f'{plural} "{target.name}" not found')
        return check(obj)

    return is_done


def _targets(
    session: Session, parsed: Parsed, deadline: float, *, for_create: bool
) -> list[Target]:
    while True:
        try:
            return _existing(session, parsed)
        except ApiError as error:
            if not is_not_found(error):
                raise
            if parsed["for"].lower() == "delete":
                return []
            if not for_create or time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


def _existing(session: Session, parsed: Parsed) -> list[Target]:
    if parsed["filename"]:
        wanted: list[Target] = []
        for each in targets_of_files(session, parsed):
            if isinstance(each, NetlabError):
                raise each
            wanted.append(each)
    else:
        if not parsed.args:
            raise UsageError(
                "You must provide one or more resources by argument or filename.\n"
                "Example resource specifications include:\n   '-f rsrc.yaml'\n"
                "   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'"
            )
        wanted = targets_of_words(
            session, parsed.args, verb="wait", all_namespaces=parsed["all-namespaces"]
        )
        selects = parsed["selector"] or parsed["field-selector"] or parsed["all"]
        if not selects and not all(target.name for target in wanted):
            raise UsageError("resource(s) were provided, but no name was specified")
    return [
        named_target(target, obj)
        for target in wanted
        for obj in fetch_all(
            session,
            target,
            label_selector=parsed["selector"] or "",
            field_selector=parsed["field-selector"] or "",
        )
    ]


def parse_condition(text: str) -> Check:
    """Return the test that ``--for`` names: ``delete``, ``condition=…``, ``jsonpath=…``.

    Raises: UsageError when it is none of them.
    """
    lower = text.lower()
    if lower in ("delete", "create"):
        return lambda obj: True
    if lower.startswith("condition="):
        name, equals, status = text[len("condition=") :].partition("=")
        return _condition_check(name, status if equals else "true")
    if lower.startswith("jsonpath="):
        return _jsonpath_check(text[len("jsonpath=") :])
    raise UsageError(f'unrecognized condition: "{text}"')


def _condition_check(name: str, status: str) -> Check:
    def is_met(obj: dict[str, Any] | None) -> bool:
        obj = obj or {}
        for condition in (obj.get("status") or {}).get("conditions") or ():
            if str(condition.get("type", "")).lower() == name.lower():
                observed = condition.get("observedGeneration")
                generation = (obj.get("metadata") or {}).get("generation", 0)
                if observed is not None and observed < generation:
                    return False
                return str(condition.get("status", "")).lower() == status.lower()
        return False

    return is_met


def _jsonpath_check(text: str) -> Check:
    end = text.rfind("}") + 1 if text.startswith(("{", "'{")) else text.find("=")
    path, rest = (text, "") if end <= 0 else (text[:end], text[end:])
    has_value = rest.startswith("=")
    wanted = rest[1:].strip("'\"")
    if has_value and not wanted:
        raise UsageError(
            "jsonpath wait has to have a value after equal sign, like "
            "--for=jsonpath='{.status.readyReplicas}'=3"
        )
    try:
        template = relaxed(path.strip("'"))
    except JsonPathError as error:
        raise UsageError(str(error)) from error

    def is_met(obj: dict[str, Any] | None) -> bool:
        found = [value for values in template.results(obj or {}) for value in values]
        if not found:
            return False
        if len(found) > 1:
            raise UsageError("given jsonpath expression matches more than one value")
        if isinstance(found[0], (dict, list)) and has_value:
            raise UsageError("jsonpath leads to a nested object or list which is not supported")
        return not has_value or value_text(found[0]) == wanted

    return is_met


COMMAND = Command(
    "wait",
    _run,
    usage="TYPE NAME… --for=delete|create|condition=NAME[=VALUE]|jsonpath='{PATH}'[=VALUE]",
    text="Wait until objects are in a state.",
    flags=(
        *manifest_flags(),
        Flag("for", default="", help="delete, create, condition=…, jsonpath=…"),
        Flag("timeout", "duration", default=30.0, help="Longest wait; 0: look once; -1s: a week."),
        Flag("selector", short="l", help="The objects with these labels."),
        Flag("field-selector", help="The objects with these fields."),
        Flag("all", "bool", help="All objects of the type."),
        Flag("all-namespaces", "bool", short="A", help="In all namespaces."),
        Flag("output", short="o", help="name: print only the names."),
        Flag("local", "bool", help="Not supported by netlab.", refused=True),
    ),
    examples=(
        "wait --for=condition=Ready pod/web",
        "wait --for=delete pod/web --timeout=60s",
        "wait pods --all --for=jsonpath='{.status.phase}'=Running",
    ),
)
