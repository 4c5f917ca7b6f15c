"""Query parameters and bodies to the registry's options.

Mirrors ``metav1.ListOptions``, ``CreateOptions``, ``DeleteOptions`` and their conversion from URL
values. Parameters that a verb does not know are ignored, as in Kubernetes. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast, get_args

from netlab.api.field_errors import bad_request
from netlab.api.view import Object
from netlab.apiserver.http.parameters import integer, truth
from netlab.apiserver.requests import (
    DeleteOptions,
    FieldValidation,
    ListOptions,
    Propagation,
    UserInfo,
    WatchOptions,
    WriteOptions,
)
from netlab.errors import ApiError

# Kubernetes ends a watch without timeoutSeconds after 30 to 60 minutes.
DEFAULT_WATCH_TIMEOUT_S = 2400.0
LONGEST_WATCH_S = 365 * 86400
# A moment must have a year of four digits; nobody waits so long.
LONGEST_GRACE_S = 100 * 365 * 86400

LONGEST_FIELD_MANAGER = 128

_FIELD_VALIDATIONS = get_args(FieldValidation)
_PROPAGATIONS = get_args(Propagation)


def _invalid(
    kind: str, field: str, detail: str, reason: str = "FieldValueNotSupported"
) -> ApiError:
    cause = {"reason": reason, "message": detail, "field": field}
    return ApiError(
        422,
        "Invalid",
        f'{kind}.meta.k8s.io "" is invalid: {field}: {detail}',
        {"group": "meta.k8s.io", "kind": kind, "causes": [cause]},
    )


def _dry_run(values: list[str], kind: str) -> bool:
    for value in values:
        if value != "All":
            detail = f'Unsupported value: "{value}": supported values: "All"'
            raise _invalid(kind, "dryRun", detail)
    return bool(values)


def _field_manager(name: str, kind: str) -> str:
    """Return the name, which stands in managedFields and in logs.

    Source: ``ValidateFieldManager`` of apimachinery's ``metav1/validation``.
    """
    if len(name.encode(errors="replace")) > LONGEST_FIELD_MANAGER:
        detail = f"Too long: may not be more than {LONGEST_FIELD_MANAGER} bytes"
        raise _invalid(kind, "fieldManager", detail, "FieldValueTooLong")
    for position, letter in enumerate(name):
        if not letter.isprintable():
            detail = (
                f"Invalid value: {json.dumps(name)}: "
                f"invalid character U+{ord(letter):04X} (at position {position})"
            )
            raise _invalid(kind, "fieldManager", detail, "FieldValueInvalid")
    return name


def is_watch(query: Mapping[str, str]) -> bool:
    """True when a GET of a collection asks to watch."""
    return "watch" in query and truth(query["watch"])


def write_options(
    query: Mapping[str, str], user: UserInfo, kind: str, *, duplicates: tuple[str, ...] = ()
) -> WriteOptions:
    """Return the options of create, update and patch. kind: CreateOptions, …, for messages."""
    validation = query.get("fieldValidation") or "Warn"
    if validation not in _FIELD_VALIDATIONS:
        detail = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        raise _invalid(kind, "fieldValidation", detail)
    return WriteOptions(
        dry_run="dryRun" in query and _dry_run([query["dryRun"]], kind),
        field_validation=cast("FieldValidation", validation),
        field_manager=_field_manager(query.get("fieldManager", ""), kind),
        user=user,
        duplicate_fields=duplicates,
    )


def list_options(query: Mapping[str, str]) -> ListOptions:
    """Return the options of list and of what deletecollection shall delete.

    Raises: ApiError BadRequest for a number that is none.
    """
    integer(query, "timeoutSeconds")  # only a watch obeys it, but it must be one
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        # below zero means all, as in Kubernetes
        limit=max(0, integer(query, "limit") or 0),
        continue_token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
    )


def watch_options(query: Mapping[str, str]) -> WatchOptions:
    """Return the options of watch."""
    timeout_s = integer(query, "timeoutSeconds")
    if timeout_s is not None:
        timeout_s = max(0, min(timeout_s, LONGEST_WATCH_S)) if timeout_s else None
    send = query.get("sendInitialEvents")
    return WatchOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        allow_bookmarks=truth(query.get("allowWatchBookmarks")),
        send_initial_events=None if send is None else truth(send),
        timeout_s=DEFAULT_WATCH_TIMEOUT_S if timeout_s is None else float(timeout_s),
    )


def delete_options(query: Mapping[str, str], body: Object | None, user: UserInfo) -> DeleteOptions:
    """Return the options of delete: those of the body, or else those of the query.

    Kubernetes reads the query only when there is no body.

    Raises: ApiError BadRequest or Invalid.
    """
    if body is None:
        given: Mapping[str, Any] = {
            "gracePeriodSeconds": integer(query, "gracePeriodSeconds"),
            "propagationPolicy": query.get("propagationPolicy"),
            "orphanDependents": truth(query["orphanDependents"])
            if "orphanDependents" in query
            else None,
            "dryRun": [query["dryRun"]] if query.get("dryRun") else [],
        }
    else:
        given = body
        if query.get("dryRun"):
            given = {**body, "dryRun": [query["dryRun"]]}
    preconditions = given.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=_grace(given.get("gracePeriodSeconds")),
        propagation=_propagation(given.get("propagationPolicy")),
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        dry_run=_dry_run(given.get("dryRun") or [], "DeleteOptions"),
        user=user,
        orphan_dependents=given.get("orphanDependents"),
    )


def _grace(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_request("DeleteOptions: gracePeriodSeconds must be a whole number of seconds")
    # a negative period means at once, but not forced: one second, as in Kubernetes
    return 1 if value < 0 else min(value, LONGEST_GRACE_S)


def _propagation(value: Any) -> Propagation | None:
    if not value:
        return None
    if value not in _PROPAGATIONS:
        detail = (
            f'Unsupported value: "{value}": supported values: "Background", "Foreground", '
            '"Orphan", "nil"'
        )
        raise _invalid("DeleteOptions", "propagationPolicy", detail)
    return cast("Propagation", value)
