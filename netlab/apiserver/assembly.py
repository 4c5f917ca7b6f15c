"""Puts the API server together: the registry, the tokens it signs, and its HTTPS front.

They need each other (the registry asks the tokens to answer TokenRequests, the tokens read pods
from the registry), so one function builds all of them. Starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netlab.api.catalog import Catalog
from netlab.api.kinds import SERVICE_ACCOUNT, Kind
from netlab.api.kinds.componentstatus import COMPONENT_STATUS
from netlab.api.view import Object
from netlab.apiserver.auth.authorizer import Authorizer
from netlab.apiserver.auth.escalation import escalation_plugins
from netlab.apiserver.auth.node_restriction import restriction_plugins
from netlab.apiserver.auth.pki import Pki
from netlab.apiserver.auth.tokens import ServiceAccountTokens
from netlab.apiserver.discovery.handlers import Check
from netlab.apiserver.http.server import ApiServer
from netlab.apiserver.local import LocalClient
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import UserInfo
from netlab.apiserver.storage.components import component_statuses
from netlab.apiserver.streams.kubelets import Door
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.store.store import Store


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The parts of one lab's API server."""

    registry: Registry
    tokens: ServiceAccountTokens
    authorizer: Authorizer
    server: ApiServer

    def client(self, user: UserInfo) -> LocalClient:
        """Return a client in this process that acts, with his rights only, for a user."""
        return LocalClient(self.registry, user, self.authorizer)


def issuer_of(config: LabConfig) -> str:
    """Return who signs the lab's service account tokens, as a URL."""
    return f"https://kubernetes.default.svc.{config.cluster_domain}"


def assemble(
    store: Store,
    config: LabConfig,
    pki: Pki,
    clock: Clock,
    *,
    catalog: Catalog | None = None,
    door: Door,
    static_tokens: Mapping[str, UserInfo] | None = None,
    checks: Mapping[str, Check] | None = None,
) -> ControlPlane:
    """Return an API server on ``store``. catalog: the kinds served, None for Kubernetes' own; see
    ``ApiServer`` for the rest.
    """

    async def read(kind: Kind[Any], namespace: str, name: str) -> Object:
        return (await registry.get(kind, namespace, name)).object

    tokens = ServiceAccountTokens(
        pki.service_account_key_pem, issuer_of(config), get=read, clock=clock
    )
    authorizer = Authorizer(store)
    registry = Registry(
        store,
        config,
        clock,
        catalog=catalog,
        rights=(*escalation_plugins(authorizer), *restriction_plugins()),
        creators={(SERVICE_ACCOUNT, "token"): tokens.create},
        computed={COMPONENT_STATUS: component_statuses(store, checks or {})},
    )
    server = ApiServer(
        registry,
        config,
        pki,
        clock,
        tokens=tokens,
        authorizer=authorizer,
        door=door,
        static_tokens=static_tokens,
        checks=checks,
    )
    return ControlPlane(registry, tokens, authorizer, server)
