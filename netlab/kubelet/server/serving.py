"""The kubelet's HTTPS server: from a connection to an answer.

Mirrors ``pkg/kubelet/server/server.go``: authenticate, authorize, answer; errors are plain text.
Every path but the streams answers GET. ``/run``, ``/debug`` and ``/metrics/cadvisor`` do not exist.

Rules for callers: the socket is bound and listening in the node's network namespace; ``serve``
closes it. The TLS context asks for client certificates of the cluster's authority and lets callers
without one in: they may have a token.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec
from aiohttp import web

from netlab.api.streams import NodeConnection
from netlab.api.view import Object
from netlab.clock import Clock
from netlab.errors import ApiError, NetlabError
from netlab.kubelet.node.usage import Reading
from netlab.kubelet.server import figures
from netlab.kubelet.server.access import access_of
from netlab.kubelet.server.auth import Gatekeeper
from netlab.kubelet.server.files import listing, locate, names_in
from netlab.kubelet.server.streams import log_options, send_logs, serve_command, serve_forward
from netlab.runtime.cri import ContainerState
from netlab.streaming.front import Front

log = logging.getLogger(__name__)

KEEPALIVE_S = 180.0
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

Answer: TypeAlias = web.StreamResponse


class NodeDesk(Protocol):
    """What the server asks of the agent."""

    @property
    def connection(self) -> NodeConnection: ...

    @property
    def logs_root(self) -> Path: ...

    def configuration(self) -> Object:
        """Return the KubeletConfiguration in effect."""
        ...

    async def pods(self) -> Object:
        """Return the PodList of the node. Raises: ApiError."""
        ...

    async def running_pods(self) -> Object:
        """Return the PodList of what runs here, whatever the API server knows."""
        ...

    def uids(self) -> Mapping[tuple[str, str], str]:
        """Return the uids of the node's pods, by namespace and name."""
        ...

    def reading(self) -> tuple[Reading | None, Mapping[str, ContainerState]]:
        """Return the last counters and the containers by id."""
        ...

    def sandboxes(self) -> int:
        """Return how many pods have a running sandbox."""
        ...

    def probe_counts(self) -> Mapping[tuple[str, str, str, str, str], int]: ...

    def healthy(self) -> bool:
        """Return whether the agent's loops go round."""
        ...


class KubeletServer:
    """Answers requests to one node."""

    def __init__(self, node: str, desk: NodeDesk, gatekeeper: Gatekeeper, clock: Clock) -> None:
        self._node = node
        self._desk = desk
        self._gatekeeper = gatekeeper
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._plain: dict[str, Callable[[], Awaitable[Answer]]] = {
            "/healthz": self._healthz,
            "/healthz/ping": self._ok,
            "/healthz/log": self._ok,
            "/healthz/syncloop": self._healthz,
            "/pods": self._pods,
            "/runningpods": self._running_pods,
            "/configz": self._configz,
            "/stats/summary": self._summary,
            "/metrics": self._metrics,
            "/metrics/resource": self._metrics_resource,
            "/metrics/probes": self._metrics_probes,
        }

    @asynccontextmanager
    async def serve(self, sock: socket.socket, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Answer while the context lasts."""
        loop = asyncio.get_running_loop()
        front = Front(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
        )
        server = await loop.create_server(
            front, sock=sock, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )
        try:
            yield
        finally:
            server.close()
            for task in list(self._running):
                task.cancel()
            await front.shutdown(SHUTDOWN_TIMEOUT_S)
            sock.close()

    async def _answer(self, request: web.BaseRequest) -> Answer:
        task = asyncio.current_task()
        assert task is not None, "requests are answered by tasks"
        self._running.add(task)
        try:
            return await self._admit(request)
        except ApiError as error:
            return text(error.message + "\n", error.code)
        except NetlabError as error:
            return text(f"{error}\n", 500)
        except (asyncio.CancelledError, ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            if request.writer.output_size:
                raise  # an answer has begun: only closing the connection can tell of the fault
            return text(f"Internal error occurred: {error}\n", 500)
        finally:
            self._running.discard(task)

    async def _admit(self, request: web.BaseRequest) -> Answer:
        path = request.raw_path.partition("?")[0]
        transport = request.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        header = request.headers.get("Authorization", "")
        try:
            caller = await self._gatekeeper.caller(certificate, header)
            if caller is None:
                return text("Unauthorized", 401)
            access = access_of(request.method, path, self._node)
            if not await self._gatekeeper.allows(caller, access):
                return text(access.forbidden(caller.name), 403)
        except (NetlabError, OSError, TimeoutError) as error:
            # who cannot be asked about is not let in
            return text(f"Authorization error: {error}\n", 500)
        return await self._dispatch(request, path)

    async def _dispatch(self, request: web.BaseRequest, path: str) -> Answer:
        plain = self._plain.get(path.rstrip("/") or path)
        if plain is not None:
            return await plain() if request.method in ("GET", "HEAD") else not_allowed()
        first, *rest = [unquote(part) for part in path.split("/") if part] or [""]
        streams = {"exec": (3, 4), "attach": (3, 4), "portForward": (2, 3), "containerLogs": (3,)}
        if len(rest) in streams.get(first, ()):
            return await self._stream(request, first, rest)
        if first == "logs":
            return await self._logs(request, path.partition("/logs")[2])
        return text("404 page not found\n", 404)

    async def _stream(self, request: web.BaseRequest, kind: str, names: list[str]) -> Answer:
        connection = self._desk.connection
        if kind == "containerLogs":
            if request.method != "GET":
                return not_allowed()
            namespace, pod, container = names
            query = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
            options = log_options(query, self._clock.now())
            return await send_logs(request, connection.logs(namespace, pod, container, options))
        if request.method not in ("GET", "POST"):
            return not_allowed()
        if kind == "portForward":
            namespace, pod, *uid = names
            wanted = uid[0] if uid else self._desk.uids().get((namespace, pod), "")
            return await serve_forward(
                request, lambda port: connection.dial_pod(namespace, pod, port, uid=wanted)
            )
        # the form with a uid in between is the one of static pods, which there are none of
        where = (names[0], names[1], names[-1])
        return await serve_command(request, connection, where, attach=kind == "attach")

    async def _logs(self, request: web.BaseRequest, path: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return not_allowed()
        root = self._desk.logs_root
        if not path.strip("/"):
            return html(listing(["pods/"]))
        found = await asyncio.to_thread(locate, root, unquote(path))
        if found is None:
            return text("404 page not found\n", 404)
        if found.is_dir():
            return html(listing(await asyncio.to_thread(names_in, found)))
        return web.FileResponse(found, headers={"Content-Type": "text/plain; charset=utf-8"})

    async def _ok(self) -> Answer:
        return text("ok")

    async def _healthz(self) -> Answer:
        if self._desk.healthy():
            return text("ok")
        return text("[+]ping ok\n[+]log ok\n[-]syncloop failed\nhealthz check failed\n", 500)

    async def _pods(self) -> Answer:
        return json(await self._desk.pods())

    async def _running_pods(self) -> Answer:
        return json(await self._desk.running_pods())

    async def _configz(self) -> Answer:
        return json({"kubeletconfig": self._desk.configuration()})

    async def _summary(self) -> Answer:
        usage = await self._desk.connection.usage()
        return json(figures.summary(self._node, usage, self._desk.uids()))

    async def _metrics(self) -> Answer:
        _, states = self._desk.reading()
        told = figures.agent_metrics(self._node, states.values(), self._desk.sandboxes())
        return text(told, kind=PROMETHEUS)

    async def _metrics_resource(self) -> Answer:
        await self._desk.connection.usage()  # which takes a reading where one is due
        return text(figures.resource_metrics(*self._desk.reading()), kind=PROMETHEUS)

    async def _metrics_probes(self) -> Answer:
        return text(figures.probe_metrics(self._desk.probe_counts()), kind=PROMETHEUS)


def text(body: str, code: int = 200, *, kind: str = "text/plain; charset=utf-8") -> Answer:
    """Return a plain answer."""
    return web.Response(body=body.encode(), status=code, headers={"Content-Type": kind})


def html(body: str) -> Answer:
    """Return a page."""
    return text(body, kind="text/html; charset=utf-8")


def json(body: Object) -> Answer:
    """Return an object."""
    return web.Response(
        body=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
    )


def not_allowed() -> Answer:
    """Return the answer to a method that a path does not know."""
    return text("405: Method Not Allowed", 405)
