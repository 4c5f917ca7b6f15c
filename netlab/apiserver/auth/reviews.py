"""The questions a caller may ask about itself and others: who am I, may I, what may I.

Answers authentication.k8s.io and authorization.k8s.io (``kubectl auth whoami``, ``auth can-i``)
from the authenticated user and the table of grants. Mirrors the ``authentication`` and
``authorization`` REST storages of kube-apiserver. Nothing is stored. Pure but for the token check.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from netlab.api.view import Object
from netlab.apiserver.auth.authz import Access, Grant, allowed, grants_of
from netlab.apiserver.requests import UserInfo
from netlab.errors import ApiError

TokenCheck: TypeAlias = Callable[[str], Awaitable[UserInfo | None]]


async def answer_review(
    kind: str, namespace: str, body: Object, user: UserInfo, check_token: TokenCheck
) -> Object:
    """Return the review with its status. kind: one of ``discovery.REVIEWS``."""
    spec = body.get("spec") or {}
    if kind == "SelfSubjectReview":
        status: Object = {"userInfo": user_info(user)}
    elif kind == "TokenReview":
        status = await _token_status(spec, check_token)
    elif kind == "SelfSubjectAccessReview":
        status = _access_status(spec, user.name, user.groups)
    elif kind == "SelfSubjectRulesReview":
        status = rules_status(grants_of(user.name, user.groups))
    else:
        status = _subject_access_status(kind, namespace, spec)
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
        raise ApiError(400, "BadRequest", "token is required for TokenReview in authentication")
    user = await check_token(str(token))
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user_info(user)}


def access_of(spec: Mapping[str, Any]) -> Access:
    """Return what a review's spec asks for.

    Raises: ApiError Invalid unless exactly one kind of attributes is given.
    """
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise ApiError(
            422,
            "Invalid",
            "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or "
            "resourceAttributes must be specified",
        )
    if path is not None:
        return Access(str(path.get("verb", "")), path=str(path.get("path") or "/"))
    fields = ("group", "resource", "subresource", "namespace", "name")
    given = resource or {}
    return Access(str(given.get("verb", "")), **{key: str(given.get(key, "")) for key in fields})


def _access_status(spec: Mapping[str, Any], user: str, groups: Sequence[str]) -> Object:
    status: Object = {"allowed": allowed(user, groups, access_of(spec))}
    return status


def _subject_access_status(kind: str, namespace: str, spec: Mapping[str, Any]) -> Object:
    attributes = spec.get("resourceAttributes") or {}
    if kind == "LocalSubjectAccessReview" and attributes.get("namespace", "") != namespace:
        raise ApiError(
            400,
            "BadRequest",
            "spec.resourceAttributes.namespace must match namespace: " + namespace,
        )
    return _access_status(spec, str(spec.get("user", "")), spec.get("groups") or [])


def rules_status(grants: Sequence[Grant]) -> Object:
    """Return a SubjectRulesReviewStatus that lists ``grants``."""
    resource_rules = [
        {
            "verbs": list(grant.verbs),
            "apiGroups": list(grant.api_groups),
            "resources": list(grant.resources),
        }
        for grant in grants
        if grant.resources
    ]
    path_rules = [
        {"verbs": list(grant.verbs), "nonResourceURLs": list(grant.paths)}
        for grant in grants
        if grant.paths
    ]
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
