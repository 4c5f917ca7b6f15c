"""Acting as somebody else: ``kubectl --as=USER --as-group=GROUP``.

Mirrors ``k8s.io/apiserver/pkg/endpoints/filters/impersonation``. The ``Impersonate-…`` headers
name a user; the caller must be allowed the verb ``impersonate`` on each part of it, and the request
is then authorized and carried out as that user. So ``kubectl auth can-i --as=…`` tells what
somebody else may do. Pure.

Rule for callers: authorize every one of ``needs`` for the real caller before using ``user``.

netlab leaves out constrained impersonation (the verbs ``impersonate:…``) and the record of the real
caller in audit logs, which it does not write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from netlab.api.field_errors import bad_request
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.requests import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, UserInfo

PREFIX = "impersonate-"
EXTRA_PREFIX = "impersonate-extra-"
ACCOUNTS = "system:serviceaccounts"
AUTHENTICATION_GROUP = "authentication.k8s.io"

_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Whom a request wants to act as. needs: what its caller must be allowed."""

    user: UserInfo
    needs: tuple[Access, ...]


def parse_impersonation(headers: Iterable[tuple[str, str]]) -> Impersonation | None:
    """Return whom the headers (name and value, in order) ask to act as; None when nobody.

    Raises: ApiError BadRequest for groups, a uid or extra values without a user.
    """
    given = [(name.lower(), value) for name, value in headers if name.lower().startswith(PREFIX)]
    if not given:
        return None
    name = next((value for key, value in given if key == "impersonate-user"), "")
    uid = next((value for key, value in given if key == "impersonate-uid"), "")
    groups = tuple(value for key, value in given if key == "impersonate-group")
    extra = _extra(given)
    if not name:
        if not uid and not groups and not extra:
            return None  # an empty name asks for nobody, as in Kubernetes
        asked = " ".join(sorted({key for key, _ in given}))
        raise bad_request(f"requested [{asked}] without impersonating a user")
    user = UserInfo(name, uid=uid, groups=_all_groups(name, groups), extra=extra)
    return Impersonation(user, tuple(_needs(name, uid, groups, extra)))


def _extra(given: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in given:
        if key.startswith(EXTRA_PREFIX):
            # header names cannot hold a slash, so clients escape it
            field = unquote(key.removeprefix(EXTRA_PREFIX))
            extra[field] = (*extra.get(field, ()), value)
    return extra


def _all_groups(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Add the groups that authentication would have given such a user."""
    account = _account(name)
    if account is not None and not groups:
        groups = (ACCOUNTS, f"{ACCOUNTS}:{account[0]}")
    implied = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
    if {UNAUTHENTICATED, AUTHENTICATED}.intersection(groups):
        return groups
    return (*groups, implied)


def _account(name: str) -> tuple[str, str] | None:
    """Return namespace and name of the service account that a user name stands for, if any."""
    namespace, _, account = name.removeprefix(_ACCOUNT_PREFIX).partition(":")
    is_account = name.startswith(_ACCOUNT_PREFIX) and namespace and account and ":" not in account
    return (namespace, account) if is_account else None


def _needs(
    name: str, uid: str, groups: Iterable[str], extra: dict[str, tuple[str, ...]]
) -> Iterable[Access]:
    account = _account(name)
    if account is None:
        yield Access("impersonate", resource="users", name=name)
    else:
        namespace, account_name = account
        yield Access(
            "impersonate", resource="serviceaccounts", namespace=namespace, name=account_name
        )
    for group in groups:
        yield Access("impersonate", resource="groups", name=group)
    for key, values in extra.items():
        for value in values:
            yield Access(
                "impersonate",
                group=AUTHENTICATION_GROUP,
                resource="userextras",
                subresource=key,
                name=value,
            )
    if uid:
        yield Access("impersonate", group=AUTHENTICATION_GROUP, resource="uids", name=uid)
