"""The questions a caller may ask about itself and others: who am I, may I, what may I.

Answers authentication.k8s.io and authorization.k8s.io (``kubectl auth whoami``, ``auth can-i``) by
the authenticated user and the authorizer. Mirrors the ``authentication`` and ``authorization`` REST
storages of kube-apiserver. Nothing is stored. Pure but for the token check.

Rule for callers: bodies have been read by their types, so the fields have theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from netlab.api.field_errors import bad_request, invalid, invalid_value, required
from netlab.api.kind import Kind
from netlab.api.rbac import PolicyRule
from netlab.api.view import Object
from netlab.apiserver.auth.authorizer import MASTERS, Authorizer
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.auth.rules import EVERYTHING
from netlab.apiserver.requests import UserInfo

TokenCheck: TypeAlias = Callable[
    [str, Sequence[str]], Awaitable[tuple[UserInfo, Sequence[str]] | None]
]
"""(token, audiences) -> whose it is, and for whom of the audiences; None when it is not good."""

_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Whom reviews are answered by."""

    authorizer: Authorizer
    check_token: TokenCheck


async def answer_review(
    kind: Kind[Any], namespace: str, body: Object, user: UserInfo, reviewer: Reviewer
) -> Object:
    """Return the review with its status.

    Raises: ApiError Invalid or BadRequest for a question that makes no sense.
    """
    spec = body.get("spec") or {}
    match kind.kind:
        case "SelfSubjectReview":
            status: Object = {"userInfo": user_info(user)}
        case "TokenReview":
            status = await _token_status(spec, reviewer.check_token)
        case "SelfSubjectAccessReview":
            status = _access_status(kind, spec, user, reviewer.authorizer)
        case "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise bad_request("no namespace on request")
            status = rules_status(user, spec["namespace"], reviewer.authorizer)
        case _:
            status = _subject_access_status(kind, namespace, spec, reviewer.authorizer)
    metadata = body.get("metadata") or {"creationTimestamp": None}
    return {**body, "metadata": metadata, "status": status}


def user_info(user: UserInfo) -> Object:
    """Return the authentication.k8s.io/v1 UserInfo."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    return info


async def _token_status(spec: Mapping[str, Any], check_token: TokenCheck) -> Object:
    token = spec.get("token")
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    found = await check_token(token, spec.get("audiences") or ())
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    user, audiences = found
    status: Object = {"authenticated": True, "user": user_info(user)}
    return status | ({"audiences": list(audiences)} if audiences else {})


def access_of(kind: Kind[Any], spec: Mapping[str, Any]) -> Access:
    """Return what a review's spec asks for.

    Raises: ApiError Invalid unless exactly one kind of attributes is given.
    """
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        field = "spec.resourceAttributes" if resource is None else "spec.nonResourceAttributes"
        value = None if resource is None else "cannot be specified in combination with"
        if resource is not None:
            error = invalid_value(field, path, f"{value} resourceAttributes")
        else:
            error = invalid_value(field, None, _ONE_OF)
        raise invalid(kind, "", [error])
    if path is not None:
        return Access(path.get("verb") or "", path=path.get("path") or "/")
    fields = ("group", "resource", "subresource", "namespace", "name")
    given = resource or {}
    return Access(given.get("verb") or "", **{key: given.get(key) or "" for key in fields})


def _access_status(
    kind: Kind[Any], spec: Mapping[str, Any], user: UserInfo, authorizer: Authorizer
) -> Object:
    decision = authorizer.decide(user, access_of(kind, spec))
    status: Object = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _subject_access_status(
    kind: Kind[Any], namespace: str, spec: Mapping[str, Any], authorizer: Authorizer
) -> Object:
    attributes = spec.get("resourceAttributes") or {}
    if not spec.get("user") and not spec.get("groups"):
        raise invalid(
            kind, "", [required("spec.user", "at least one of user or group must be specified")]
        )
    if kind.kind == "LocalSubjectAccessReview":
        if attributes.get("namespace") != namespace:
            raise bad_request(
                f"spec.resourceAttributes.namespace must match namespace: {namespace}"
            )
        if spec.get("nonResourceAttributes") is not None:
            error = invalid_value(
                "spec.nonResourceAttributes",
                spec["nonResourceAttributes"],
                "disallowed on this kind of request",
            )
            raise invalid(kind, "", [error])
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = UserInfo(
        spec.get("user") or "",
        uid=spec.get("uid") or "",
        groups=tuple(spec.get("groups") or ()),
        extra=extra,
    )
    return _access_status(kind, spec, user, authorizer)


def rules_status(user: UserInfo, namespace: str, authorizer: Authorizer) -> Object:
    """Return a SubjectRulesReviewStatus: what the user may do in a namespace."""
    rules: Iterable[PolicyRule] = authorizer.rules(user, namespace)
    if MASTERS in user.groups:
        rules = [*EVERYTHING, *rules]
    resource_rules, path_rules = [], []
    for rule in dict.fromkeys(rules):
        if rule.resources:
            shown: Object = {
                "verbs": list(rule.verbs),
                "apiGroups": list(rule.api_groups),
                "resources": list(rule.resources),
            }
            if rule.resource_names:
                shown["resourceNames"] = list(rule.resource_names)
            resource_rules.append(shown)
        if rule.non_resource_urls:
            path_rules.append(
                {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.non_resource_urls)}
            )
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
