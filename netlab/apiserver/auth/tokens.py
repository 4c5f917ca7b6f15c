"""Service account tokens: signed, bound to a pod, checked against what still exists.

Mirrors ``pkg/serviceaccount`` and the TokenRequest handler of kube-apiserver. A token is a JWT,
signed with the lab's service account key (ES256), with the claims Kubernetes writes, so that
decoding one shows what a real cluster's looks like. It stops working when its account, or the pod
it is bound to, is gone or was made anew.

netlab leaves out: tokens in Secrets, tokens bound to Secrets, and the public OIDC discovery
documents.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization

from netlab.api.kinds import NODE, POD, SERVICE_ACCOUNT, Kind
from netlab.api.view import Object
from netlab.apiserver.requests import Item, WriteOptions
from netlab.clock import Clock
from netlab.errors import ApiError, is_not_found
from netlab.timestamps import rfc3339

ALGORITHM = "ES256"
DEFAULT_LIFETIME_S = 3600
SHORTEST_LIFETIME_S = 600
LONGEST_LIFETIME_S = 1 << 32
# The kubelet asks for 3607 s; Kubernetes then signs for a year, so that programs which never read
# their token file again keep working, and notes in ``warnafter`` when it should have been renewed.
KUBELET_LIFETIME_S = 3607
EXTENDED_LIFETIME_S = 365 * 24 * 3600
PREFIX = "system:serviceaccount:"

Getter: TypeAlias = Callable[[Kind[Any], str, str], Awaitable[Object]]
"""Reads one stored object: (kind, namespace, name); raises ApiError NotFound."""


@dataclass(frozen=True, slots=True)
class ServiceAccountToken:
    """What a good token says; empty strings where it is not bound to a pod or node.

    audiences: those of the token that were asked about.
    """

    namespace: str
    account: str
    account_uid: str
    token_id: str
    pod: str = ""
    pod_uid: str = ""
    node: str = ""
    node_uid: str = ""
    audiences: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """``system:serviceaccount:NAMESPACE:NAME``."""
        return f"{PREFIX}{self.namespace}:{self.account}"


def _key_id(key: Any) -> str:
    """Return the name of a public key, as Kubernetes makes it: a digest of its DER form."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def _public_jwk(key: Any) -> dict[str, Any]:
    jwk: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    return jwk


class ServiceAccountTokens:
    """Issues and checks the tokens of one lab. get: reads stored objects."""

    def __init__(self, key_pem: bytes, issuer: str, *, get: Getter, clock: Clock) -> None:
        private = serialization.load_pem_private_key(key_pem, None)
        self._key_pem = key_pem
        self._public_pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._public_jwk = _public_jwk(private.public_key())
        self._key_id = _key_id(private.public_key())
        self._issuer = issuer
        self._get = get
        self._clock = clock

    def issuer_page(self, address: str) -> tuple[bytes, str]:
        """Return ``/.well-known/openid-configuration``: who signs, and where the keys are.

        address: ``host:port`` of the API server, for clients.
        """
        document = {
            "issuer": self._issuer,
            "jwks_uri": f"https://{address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        return msgspec.json.encode(document), "application/json"

    def keys_page(self) -> tuple[bytes, str]:
        """Return ``/openid/v1/jwks``: the public keys, for whoever checks tokens himself."""
        key = {"use": "sig", "kid": self._key_id, "alg": ALGORITHM, **self._public_jwk}
        return msgspec.json.encode({"keys": [key]}), "application/jwk-set+json"

    async def create(self, account: Item, body: Object, options: WriteOptions) -> Object:
        """Answer a TokenRequest for a service account: the request with its status.

        The registry's ``SubresourceCreator`` for (SERVICE_ACCOUNT, "token"); a dry run signs too,
        for nothing is stored.

        Raises: ApiError NotFound, BadRequest, Conflict or Invalid, worded as Kubernetes does.
        """
        del options
        meta = account.object["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        spec = dict(body.get("spec") or {})
        audiences = spec.get("audiences") or [self._issuer]
        lifetime_s = _lifetime(spec.get("expirationSeconds"), name)
        bound = spec.get("boundObjectRef") or None
        pod = await self._bound_pod(namespace, name, bound) if bound else None
        node = await self._node_of(pod)
        now = self._clock.now()
        claims = self._claims(account.object, pod, node, audiences, lifetime_s, now)
        headers = {"kid": self._key_id}
        token = jwt.encode(claims, self._key_pem, algorithm=ALGORITHM, headers=headers)
        spec |= {"audiences": audiences, "expirationSeconds": lifetime_s, "boundObjectRef": bound}
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "creationTimestamp": rfc3339(now),
            },
            "spec": spec,
            "status": {
                "token": token,
                "expirationTimestamp": rfc3339(now + timedelta(seconds=lifetime_s)),
            },
        }

    async def _bound_pod(self, namespace: str, account: str, bound: Mapping[str, Any]) -> Object:
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod"):
            raise ApiError(
                400,
                "BadRequest",
                f"cannot bind token to object of type {bound.get('apiVersion') or 'v1'}, "
                f"Kind={bound.get('kind')}: netlab binds tokens to pods",
            )
        pod = await self._get(POD, namespace, str(bound.get("name", "")))
        if pod.get("spec", {}).get("serviceAccountName") != account:
            raise ApiError(
                400,
                "BadRequest",
                f'cannot bind token for serviceaccount "{account}" to pod running with different '
                "serviceaccount name.",
            )
        uid, wanted = pod["metadata"]["uid"], bound.get("uid") or ""
        if wanted and wanted != uid:
            message = (
                f'Operation cannot be fulfilled on Pod "{bound.get("name")}": the UID in the bound '
                f"object reference ({wanted}) does not match the UID in record. The object might "
                "have been deleted and then recreated"
            )
            raise ApiError(409, "Conflict", message, {"name": bound.get("name"), "kind": "Pod"})
        return pod

    async def _node_of(self, pod: Object | None) -> Object | None:
        name = pod.get("spec", {}).get("nodeName") if pod else None
        if not name:
            return None
        try:
            return await self._get(NODE, "", name)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise

    def _claims(
        self,
        account: Object,
        pod: Object | None,
        node: Object | None,
        audiences: list[str],
        lifetime_s: int,
        now: datetime,
    ) -> Object:
        issued = int(now.timestamp())
        meta = account["metadata"]
        private: Object = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
        }
        if node is not None:
            private["node"] = _reference(node)
        if pod is not None:
            private["pod"] = _reference(pod)
        signed_s = lifetime_s
        if pod is not None and lifetime_s == KUBELET_LIFETIME_S and audiences == [self._issuer]:
            signed_s = EXTENDED_LIFETIME_S
            private["warnafter"] = issued + lifetime_s
        return {
            "aud": audiences,
            "exp": issued + signed_s,
            "iat": issued,
            "iss": self._issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": issued,
            "sub": f"{PREFIX}{meta['namespace']}:{meta['name']}",
        }

    def decode(self, token: str, audiences: Sequence[str] = ()) -> ServiceAccountToken | None:
        """Return what a token says, or None when it is not one of ours, or has expired.

        audiences: whom it must be for, any of them; none for the API server itself.
        """
        wanted = list(audiences) or [self._issuer]
        try:
            claims = jwt.decode(
                token,
                self._public_pem,
                algorithms=[ALGORITHM],
                audience=wanted,
                issuer=self._issuer,
                # the lab's clock decides, not the machine's
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            now = self._clock.now()
            begin = datetime.fromtimestamp(claims["nbf"], UTC)
            if not begin <= now < datetime.fromtimestamp(claims["exp"], UTC):
                return None
            return _statement(claims, wanted)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return None

    async def check(self, token: str, audiences: Sequence[str] = ()) -> ServiceAccountToken | None:
        """Return what a token says, or None when it is not (or no longer) good for them."""
        statement = self.decode(token, audiences)
        if statement is None:
            return None
        account = (SERVICE_ACCOUNT, statement.account, statement.account_uid)
        pod = (POD, statement.pod, statement.pod_uid)
        for kind, name, uid in (account, pod):
            if name and not await self._still_exists(kind, statement.namespace, name, uid):
                return None
        return statement

    async def _still_exists(self, kind: Kind[Any], namespace: str, name: str, uid: str) -> bool:
        try:
            found = await self._get(kind, namespace, name)
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return bool(found["metadata"].get("uid") == uid)


def _lifetime(asked: Any, account: str) -> int:
    if asked is None:
        return DEFAULT_LIFETIME_S
    if SHORTEST_LIFETIME_S <= asked <= LONGEST_LIFETIME_S:
        return int(asked)
    short = asked < SHORTEST_LIFETIME_S
    limit = "less than 10 minutes" if short else "larger than 2^32 seconds"
    detail = f"Invalid value: {asked}: may not specify a duration {limit}"
    message = (
        f'TokenRequest.authentication.k8s.io "{account}" is invalid: '
        f"spec.expirationSeconds: {detail}"
    )
    cause = {
        "reason": "FieldValueInvalid",
        "message": detail,
        "field": "spec.expirationSeconds",
    }
    details = {
        "name": account,
        "group": "authentication.k8s.io",
        "kind": "TokenRequest",
        "causes": [cause],
    }
    raise ApiError(422, "Invalid", message, details)


def _reference(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def _statement(claims: Mapping[str, Any], wanted: Sequence[str]) -> ServiceAccountToken:
    told = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    private = claims["kubernetes.io"]
    account, pod, node = (private.get(key) or {} for key in ("serviceaccount", "pod", "node"))
    return ServiceAccountToken(
        namespace=private["namespace"],
        account=account["name"],
        account_uid=account["uid"],
        token_id=str(claims.get("jti", "")),
        pod=pod.get("name", ""),
        pod_uid=pod.get("uid", ""),
        node=node.get("name", ""),
        node_uid=node.get("uid", ""),
        audiences=tuple(each for each in told if each in wanted),
    )
