"""The API server's HTTPS side: from a connection to a handler, and back.

Mirrors ``k8s.io/apiserver/pkg/server``: authenticate, authorize, dispatch, and every failure as a
Status. One function finds the handler from the path, because thousands of requests a second go
through it.

Rules for callers: sockets are bound and listening, opened by the daemon (some inside the node's
network namespace); ``serve`` closes them. Watches end when ``serve`` ends.

netlab leaves out: HTTP/2, compression, audit logs, priority and fairness.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from netlab.api.field_errors import bad_request, no_such_resource
from netlab.api.field_selectors import parse_field_selector
from netlab.api.kind import Kind
from netlab.api.kinds.metrics import KINDS as METRICS_KINDS
from netlab.api.kinds.reviews import KINDS as REVIEWS
from netlab.api.view import Object
from netlab.apiserver.auth.authn import Authenticator
from netlab.apiserver.auth.authorizer import Authorizer
from netlab.apiserver.auth.authz import Access
from netlab.apiserver.auth.impersonation import parse_impersonation
from netlab.apiserver.auth.pki import Pki
from netlab.apiserver.auth.reviews import Reviewer, answer_review
from netlab.apiserver.auth.tokens import ServiceAccountTokens
from netlab.apiserver.discovery.documents import ALWAYS_EMPTY
from netlab.apiserver.discovery.handlers import Check, InformationHandlers, Page
from netlab.apiserver.http.decoding import decode_typed
from netlab.apiserver.http.exchange import (
    BODY_LIMIT_BYTES,
    BODY_TIMEOUT_S,
    Answer,
    Exchange,
    answer_error,
    answer_object,
    method_not_allowed,
    request_timeout,
)
from netlab.apiserver.http.measuring import Measures
from netlab.apiserver.http.parameters import duration_s
from netlab.apiserver.http.paths import Target, parse_target
from netlab.apiserver.http.query import is_watch
from netlab.apiserver.http.resources import ResourceHandlers
from netlab.apiserver.metrics import MetricsHandlers
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import ANONYMOUS, UserInfo
from netlab.apiserver.streams.handlers import StreamHandlers, is_stream
from netlab.apiserver.streams.kubelets import Door
from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.errors import ApiError, NetlabError
from netlab.streaming.front import Front

log = logging.getLogger(__name__)

# Go's HTTP clients drop idle connections after 90 s; a server that drops them first loses requests.
KEEPALIVE_S = 180.0
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
BACKLOG = 512
DECODERS = 2

INTO_PODS = ("exec", "attach", "portforward")

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class ApiServer:
    """The HTTPS front of a registry.

    tokens: checks service account tokens. authorizer: who may do what. door: the way to the nodes'
    kubelets. static_tokens: users by fixed bearer token. checks: what ``/readyz`` looks at, by
    name.
    """

    def __init__(
        self,
        registry: Registry,
        config: LabConfig,
        pki: Pki,
        clock: Clock,
        *,
        tokens: ServiceAccountTokens,
        authorizer: Authorizer,
        door: Door,
        static_tokens: Mapping[str, UserInfo] | None = None,
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self._pki = pki
        self._clock = clock
        self._catalog = registry.catalog
        self._authenticator = Authenticator(tokens, clock, static_tokens=static_tokens)
        self._reviewer = Reviewer(authorizer, self._authenticator.review)
        self._resources = ResourceHandlers(registry, clock)
        self._authorizer = authorizer
        self._streams = StreamHandlers(registry, door)
        self._metrics = MetricsHandlers(registry, self._streams.kubelets)
        self._measures = Measures(registry.counts)
        address = f"{config.node_ip}:{config.api_port}"
        pages: dict[str, Page] = {
            "/metrics": self._measures.page,
            "/.well-known/openid-configuration": lambda: tokens.issuer_page(address),
            "/openid/v1/jwks": tokens.keys_page,
        }
        self._information = InformationHandlers(registry.catalog, address, checks or {}, pages)
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decoder")
        self._streaming: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def serve(self, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Answer on ``sockets`` while the context lasts."""
        loop = asyncio.get_running_loop()
        front = Front(
            self._answer,
            request_factory=self._make_request,
            # a watch must end when its reader goes away, not at its next event
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
        )
        context = self._pki.server_context()
        servers: list[asyncio.Server] = []
        try:
            for sock in sockets:
                server = await loop.create_server(
                    front,
                    sock=sock,
                    ssl=context,
                    backlog=BACKLOG,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                )
                servers.append(server)
            yield
        finally:
            self._information.stopping = True
            for server in servers:
                server.close()
            for task in self._streaming:
                task.cancel()
            await front.shutdown(SHUTDOWN_TIMEOUT_S)
            self._decoders.shutdown(wait=False, cancel_futures=True)
            for sock in sockets:
                sock.close()

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT_BYTES
        )

    async def _answer(self, request: web.BaseRequest) -> Answer:
        """Answer a request, and count it."""
        # what is no UTF-8 could not be told in an answer
        written = request.raw_path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        path, _, raw_query = written.partition("?")
        query: dict[str, str] = {}
        for key, value in parse_qsl(raw_query, keep_blank_values=True):
            query.setdefault(key, value)
        now = self._clock.now()
        exchange = Exchange(request, path, query, ANONYMOUS, now, self._decoders)
        target = parse_target(self._catalog, path)
        access = access_of(exchange, target)
        lasting = target is not None and (is_stream(target) or is_watch(query))
        begun_s = self._clock.monotonic_s()
        with self._measures.under_way(access.verb, target, lasting=lasting):
            answer = await self._answer_exchange(exchange, target, access)
        took_s = self._clock.monotonic_s() - begun_s
        self._measures.answered(access.verb, target, answer.status, took_s, lasting=lasting)
        return answer

    async def _answer_exchange(
        self, exchange: Exchange, target: Target | None, access: Access
    ) -> Answer:
        request = exchange.request
        try:
            user = self._effective_user(request, await self._user(request))
            exchange = replace(exchange, user=user)
            for each in (access, *also_needed(access, target)):
                self._authorizer.require(user, each)
            return await self._in_time(exchange, target)
        except ApiError as error:
            return answer_error(error, exchange.status_form())
        except NetlabError as error:
            return answer_error(internal_error(error), exchange.status_form())
        except (asyncio.CancelledError, ConnectionError, TimeoutError):
            raise
        except Exception as error:
            # a fault in one handler must not cost the caller its connection without a word
            log.exception("%s %s", request.method, exchange.path)
            if request.writer.output_size:
                raise  # an answer has begun: only closing the connection can tell of the fault
            return answer_error(internal_error(error), exchange.status_form())

    async def _user(self, request: web.BaseRequest) -> UserInfo:
        transport = request.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        header = request.headers.get("Authorization", "")
        return await self._authenticator.authenticate(certificate, header)

    def _effective_user(self, request: web.BaseRequest, user: UserInfo) -> UserInfo:
        """The user to act as, who is another one when the caller may and wants to be."""
        impersonation = parse_impersonation(request.headers.items())
        if impersonation is None:
            return user
        for access in impersonation.needs:
            self._authorizer.require(user, access)
        return impersonation.user

    async def _in_time(self, exchange: Exchange, target: Target | None) -> Answer:
        """Answer within the caller's ``timeout``; watches and streams have none.

        Raises: ApiError BadRequest for what is no duration, Timeout (504).
        """
        text = exchange.query.get("timeout")
        lasting = target is not None and (is_stream(target) or is_watch(exchange.query))
        if not text or lasting:
            return await self._dispatch(exchange, target)
        try:
            timeout_s = duration_s(text)
        except ValueError as error:
            raise bad_request(f"invalid timeout specified in the request URL - {error}") from error
        scope = asyncio.timeout(min(timeout_s, BODY_TIMEOUT_S) if timeout_s > 0 else BODY_TIMEOUT_S)
        try:
            async with scope:
                return await self._dispatch(exchange, target)
        except TimeoutError as error:
            if scope.expired():
                raise request_timeout() from error
            raise

    async def _dispatch(self, exchange: Exchange, target: Target | None) -> Answer:
        if target is None:
            return await self._information.handle(exchange)
        if target.kind is None:
            if (target.group, target.version, target.resource) in ALWAYS_EMPTY:
                return answer_empty_list(exchange, target)
            raise no_such_resource()
        if target.kind in METRICS_KINDS:
            return await self._metrics.handle(exchange, target, target.kind)
        if target.kind in REVIEWS:
            return await self._review(exchange, target, target.kind)
        if is_stream(target):
            if not target.namespace and target.kind.namespaced:
                raise no_such_resource()
            async with self._until_shutdown():
                return await self._streams.handle(exchange, target)
        if is_watch(exchange.query):
            async with self._until_shutdown():
                return await self._resources.handle(exchange, target, target.kind)
        return await self._resources.handle(exchange, target, target.kind)

    @asynccontextmanager
    async def _until_shutdown(self) -> AsyncIterator[None]:
        """Cancel what runs inside when the server stops: it would not end by itself."""
        task = asyncio.current_task()
        if task is not None:
            self._streaming.add(task)
        try:
            yield
        finally:
            if task is not None:
                self._streaming.discard(task)

    async def _review(self, exchange: Exchange, target: Target, review: Kind[Any]) -> Answer:
        if target.name or bool(target.namespace) != review.namespaced:
            raise no_such_resource()
        if exchange.request.method != "POST":
            raise method_not_allowed()
        form = exchange.object_form()
        body = await exchange.decoded(
            lambda data, media: decode_typed(data, media, review, self._catalog)
        )
        answer = await answer_review(
            review, target.namespace, body.object, exchange.user, self._reviewer
        )
        return answer_object(answer, form, code=201)

    async def review(self, kind: Kind[Any], body: Object, user: UserInfo) -> Object:
        """Answer a review that somebody in this process asks for.

        Raises: ApiError.
        """
        return await answer_review(kind, "", body, user, self._reviewer)


def answer_empty_list(exchange: Exchange, target: Target) -> Answer:
    """Answer a list of a kind of which there is nothing (see ``ALWAYS_EMPTY``).

    Raises: ApiError NotFound or MethodNotAllowed.
    """
    if target.name or target.namespace or is_watch(exchange.query):
        raise no_such_resource()
    if exchange.request.method != "GET":
        raise method_not_allowed()
    kind = ALWAYS_EMPTY[(target.group, target.version, target.resource)]
    listed = {
        "kind": f"{kind}List",
        "apiVersion": f"{target.group}/{target.version}",
        "metadata": {"resourceVersion": "0"},
        "items": [],
    }
    return answer_object(listed, exchange.status_form())


def internal_error(error: Exception) -> ApiError:
    """Return the 500 that tells of an error nobody foresaw."""
    text = str(error) or type(error).__name__
    return ApiError(500, "InternalError", f"Internal error occurred: {text}")


def access_of(exchange: Exchange, target: Target | None) -> Access:
    """Return what the caller wants to do, as authorization names it."""
    method = exchange.request.method
    if target is None:
        verb = "get" if method == "HEAD" else method.lower()
        return Access(verb, path=exchange.path)
    namespace = target.namespace
    if target.resource == "namespaces" and not target.group:
        namespace = target.name
    return Access(
        _verb(exchange, target, method),
        group=target.group,
        resource=target.resource,
        subresource=target.subresource,
        namespace=namespace,
        name=target.name or _selected_name(exchange, method),
    )


def also_needed(access: Access, target: Target | None) -> tuple[Access, ...]:
    """Return what the caller needs besides.

    A WebSocket begins with GET, so ``get`` alone, which reads elsewhere, would run commands.
    """
    inside = target is not None and is_stream(target) and target.subresource in INTO_PODS
    return (replace(access, verb="create"),) if inside and access.verb != "create" else ()


def _selected_name(exchange: Exchange, method: str) -> str:
    """The one name that a list or watch is about, so that rights to one object suffice for it."""
    if method != "GET" or "fieldSelector" not in exchange.query:
        return ""
    with contextlib.suppress(ApiError):
        selector = parse_field_selector(exchange.query["fieldSelector"])
        return selector.required_value("metadata.name") or ""
    return ""


def _verb(exchange: Exchange, target: Target, method: str) -> str:
    if method in ("GET", "HEAD"):
        if is_watch(exchange.query):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    return _VERBS.get(method, method.lower())
