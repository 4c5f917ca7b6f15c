"""Who asks the kubelet, and whether he may: by certificate or token, and by the API server's word.

Mirrors the kubelet's delegated authentication and authorization as kubeadm sets it up: a client
certificate of the cluster's authority names the user and its groups; a bearer token is shown to the
API server in a TokenReview; nobody is anonymous. What the user may do is asked in a
SubjectAccessReview. Answers are kept as long as a kubelet keeps them: a token 2 minutes, a yes
5 minutes, a no 30 seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from netlab.api.kinds import Kind
from netlab.api.meta import AnyObject
from netlab.api.view import Object
from netlab.clock import Clock
from netlab.errors import ApiError
from netlab.kubelet.server.access import NodeAccess

TOKEN_REVIEW: Final[Kind[AnyObject]] = Kind(
    "authentication.k8s.io", "v1", "TokenReview", "tokenreviews", AnyObject, namespaced=False
)
SUBJECT_ACCESS_REVIEW: Final[Kind[AnyObject]] = Kind(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
    AnyObject,
    namespaced=False,
)

TOKEN_KEPT_S = 120.0
ALLOWED_KEPT_S = 300.0
DENIED_KEPT_S = 30.0
REMEMBERED = 1024
AUTHENTICATED = "system:authenticated"

K = TypeVar("K")
V = TypeVar("V")


class Reviewer(Protocol):
    """Has the API server review something: the part of a ``Client`` that is needed here."""

    async def create(self, kind: Kind[Any], namespace: str | None, obj: Object, /) -> Object: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()


class _Kept(Generic[K, V]):
    """Answers and until when they hold; the oldest of too many go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._answers.get(key)
        return found[0] if found is not None and self._clock.monotonic_s() < found[1] else None

    def put(self, key: K, answer: V, kept_s: float) -> None:
        self._answers[key] = (answer, self._clock.monotonic_s() + kept_s)
        self._answers.move_to_end(key)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)


class Gatekeeper:
    """Lets requests to one node in, or not."""

    def __init__(self, reviewer: Reviewer, clock: Clock) -> None:
        self._reviewer = reviewer
        self._tokens: _Kept[str, Caller] = _Kept(clock)
        self._verdicts: _Kept[tuple[Caller, NodeAccess], bool] = _Kept(clock)

    async def caller(self, certificate: bytes | None, authorization: str) -> Caller | None:
        """Return who asks; None for nobody. certificate: as DER, checked by TLS.

        Raises: ApiError when the API server cannot be asked.
        """
        if certificate:
            return certificate_caller(certificate)
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        known = self._tokens.get(token)
        if known is not None:
            return known
        review = await self._reviewer.create(TOKEN_REVIEW, None, {"spec": {"token": token}})
        status = review.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status.get("user") or {}
        found = Caller(
            str(user.get("username") or ""),
            str(user.get("uid") or ""),
            tuple(user.get("groups") or ()),
        )
        self._tokens.put(token, found, TOKEN_KEPT_S)
        return found

    async def allows(self, caller: Caller, access: NodeAccess) -> bool:
        """Return whether the caller may.

        Raises: ApiError when the API server cannot be asked.
        """
        known = self._verdicts.get((caller, access))
        if known is not None:
            return known
        allowed = await self._ask(caller, access)
        self._verdicts.put((caller, access), allowed, ALLOWED_KEPT_S if allowed else DENIED_KEPT_S)
        return allowed

    async def _ask(self, caller: Caller, access: NodeAccess) -> bool:
        for subresource in access.subresources:
            spec = {
                "user": caller.name,
                "groups": list(caller.groups),
                "resourceAttributes": access.attributes(subresource),
            }
            if caller.uid:
                spec["uid"] = caller.uid
            review = await self._reviewer.create(SUBJECT_ACCESS_REVIEW, None, {"spec": spec})
            if (review.get("status") or {}).get("allowed"):
                return True
        return False


def certificate_caller(certificate: bytes) -> Caller:
    """Return the user that a client certificate (DER) names: common name and organizations."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names: Sequence[Any] = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Caller(
        str(names[0].value) if names else "",
        groups=(*(str(group.value) for group in groups), AUTHENTICATED),
    )


def unavailable(error: ApiError) -> str:
    """Return what a caller is told while the API server cannot be asked about him."""
    return f"Authorization error: {error}\n"
