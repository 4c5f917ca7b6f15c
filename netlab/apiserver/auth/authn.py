"""Who asks: a client certificate of the lab's authority, or a bearer token.

Mirrors ``k8s.io/apiserver/pkg/authentication``: certificate first (its common name is the user,
its organizations the groups), then tokens. A caller with neither, or with a bad token, is nobody:
401. TLS has already checked that a certificate is from the lab's authority; one from elsewhere
never gets through the handshake.

netlab leaves out: OIDC, webhooks, bootstrap tokens and a front proxy.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from netlab.api.field_errors import unauthorized
from netlab.apiserver.auth.pki import subject_of
from netlab.apiserver.auth.tokens import ServiceAccountToken, ServiceAccountTokens
from netlab.apiserver.requests import ANONYMOUS, AUTHENTICATED, UserInfo
from netlab.clock import Clock

# As long as kube-apiserver keeps a token it found good; it bounds how long a deleted account lives.
REMEMBER_TOKEN_S = 10.0
REMEMBERED = 1024

_EXTRA = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class _Remembered:
    user: UserInfo
    until_s: float


class Authenticator:
    """Finds the user behind a request.

    static_tokens: users by fixed bearer token, as kube-apiserver's ``--token-auth-file`` gives.
    """

    def __init__(
        self,
        tokens: ServiceAccountTokens,
        clock: Clock,
        *,
        static_tokens: Mapping[str, UserInfo] | None = None,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._static_tokens = dict(static_tokens or {})
        self._by_certificate: OrderedDict[bytes, UserInfo] = OrderedDict()
        self._by_token: OrderedDict[str, _Remembered] = OrderedDict()

    async def authenticate(self, certificate: bytes | None, authorization: str) -> UserInfo:
        """Return the user; ANONYMOUS for a caller that shows nothing.

        certificate: the client's, as DER; authorization: the header's text, "" for none.

        Raises: ApiError Unauthorized (401) for a token that is not good.
        """
        if certificate:
            return self._certificate_user(certificate)
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        return await self._token_user(token.strip())

    async def review(
        self, token: str, audiences: Sequence[str]
    ) -> tuple[UserInfo, Sequence[str]] | None:
        """Return whose token it is, and for whom of ``audiences``; None when it is not good.

        audiences: none for the API server itself, for which alone fixed tokens are.
        """
        if not audiences:
            fixed = self._fixed_user(token)
            if fixed is not None:
                return fixed, ()
        statement = await self._tokens.check(token, audiences)
        if statement is None:
            return None
        return service_account_user(statement), statement.audiences

    def _certificate_user(self, certificate: bytes) -> UserInfo:
        user = self._by_certificate.get(certificate)
        if user is None:
            user = certificate_user(certificate)
            self._by_certificate[certificate] = user
            if len(self._by_certificate) > REMEMBERED:
                self._by_certificate.popitem(last=False)
        return user

    def _fixed_user(self, token: str) -> UserInfo | None:
        written = token.encode("utf-8", "surrogateescape")
        for known, user in self._static_tokens.items():
            if hmac.compare_digest(known.encode(), written):
                return user
        return None

    async def _token_user(self, token: str) -> UserInfo:
        fixed = self._fixed_user(token)
        if fixed is not None:
            return fixed
        now_s = self._clock.monotonic_s()
        remembered = self._by_token.get(token)
        if remembered is not None and now_s < remembered.until_s:
            return remembered.user
        statement = await self._tokens.check(token)
        if statement is None:
            self._by_token.pop(token, None)
            raise unauthorized()
        user = service_account_user(statement)
        self._by_token[token] = _Remembered(user, now_s + REMEMBER_TOKEN_S)
        if len(self._by_token) > REMEMBERED:
            self._by_token.popitem(last=False)
        return user


def certificate_user(certificate: bytes) -> UserInfo:
    """Return the user that a client certificate (DER) names."""
    name, organizations = subject_of(x509.load_der_x509_certificate(certificate))
    digest = hashlib.sha256(certificate).hexdigest()
    return UserInfo(
        name,
        groups=(*organizations, AUTHENTICATED),
        extra={_EXTRA + "credential-id": (f"X509SHA256={digest}",)},
    )


def service_account_user(statement: ServiceAccountToken) -> UserInfo:
    """Return the user that a service account token speaks for."""
    values = {
        "credential-id": f"JTI={statement.token_id}" if statement.token_id else "",
        "node-name": statement.node,
        "node-uid": statement.node_uid,
        "pod-name": statement.pod,
        "pod-uid": statement.pod_uid,
    }
    return UserInfo(
        statement.user,
        uid=statement.account_uid,
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{statement.namespace}",
            AUTHENTICATED,
        ),
        extra={_EXTRA + key: (value,) for key, value in values.items() if value},
    )
