"""Carries HTTP requests to pods, services and nodes: the ``proxy`` subresource.

Mirrors ``UpgradeAwareHandler`` of ``k8s.io/apimachinery/pkg/util/proxy`` and what is around it: any
method, bodies both ways as they come, WebSocket and other upgrades, links that lead back through
the proxy. The caller's credentials are not handed on.

Of a node's kubelet, netlab serves ``/healthz``, ``/pods`` and ``/containerLogs/…``; it has no
``/metrics``, ``/stats/summary``, ``/configz`` or ``/logs``, because the kubelet shares the API
server's process and has no HTTP port. ``nodes/NAME:PORT`` reaches any other server on the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from netlab.api.kinds import ENDPOINT_SLICE, NODE, POD, SERVICE, Kind
from netlab.api.streams import ByteStream, NodeConnection
from netlab.apiserver.http.exchange import (
    Answer,
    Exchange,
    answer_bytes,
    answer_text,
    method_not_allowed,
)
from netlab.apiserver.http.paths import Target
from netlab.apiserver.http.rendering import encode_object
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import ListOptions
from netlab.apiserver.streams import backend
from netlab.apiserver.streams.backend import BackendError, BackendResponse
from netlab.apiserver.streams.location import (
    Location,
    ProxyName,
    node_location,
    parse_name,
    pod_location,
    service_location,
)
from netlab.apiserver.streams.logs import parse_log_options
from netlab.apiserver.streams.rewriting import Rewriter, rewrite_html
from netlab.errors import ApiError
from netlab.streaming.connection import TakenConnection, take_connection, watch_departure

LARGEST_PAGE_BYTES = 8 << 20
"""A page is held whole to rewrite its links; a larger one passes as it is."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_HOP_BY_HOP = (
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
_CREDENTIALS = ("authorization", "impersonate-")


class ProxyHandlers:
    """Answers ``…/proxy`` and all below it."""

    def __init__(self, registry: Registry, connection: Callable[[str], NodeConnection]) -> None:
        self._registry = registry
        self._connection = connection
        self._chooser = random.Random()

    async def handle(self, exchange: Exchange, target: Target) -> Answer:
        """Answer a request.

        Raises: ApiError with the Status to answer.
        """
        if exchange.request.method not in METHODS:
            raise method_not_allowed()
        location = await self._locate(target)
        if location is None:
            return await self._kubelet(exchange, target)
        reads = exchange.request.method in ("GET", "HEAD")
        if reads and not target.tail and not _upgrades(exchange.request):
            return _redirect(exchange)
        connection = self._connection(await self._node_of(location))
        return await _Passage(exchange, target, location).carry(connection)

    async def _locate(self, target: Target) -> Location | None:
        """Where to; None for a kubelet."""
        name = parse_name(target.resource.removesuffix("s"), target.name)
        if target.resource == "pods":
            return pod_location(name, await self._get(POD, target, name))
        if target.resource == "nodes":
            return node_location(name, await self._get(NODE, target, name))
        service = await self._get(SERVICE, target, name)
        options = ListOptions(label_selector=f"kubernetes.io/service-name={name.name}")
        slices = await self._registry.list(ENDPOINT_SLICE, target.namespace, options)
        objects = [item.object for item in slices.items]
        return service_location(name, service, objects, self._chooser)

    async def _get(self, kind: Kind[Any], target: Target, name: ProxyName) -> dict[str, Any]:
        return (await self._registry.get(kind, target.namespace or None, name.name)).object

    async def _node_of(self, location: Location) -> str:
        """The node through whose network the server is reached: its own, or else any."""
        if location.node:
            return location.node
        nodes = await self._registry.list(NODE, None, ListOptions(limit=1))
        if not nodes.items:
            raise ApiError(503, "ServiceUnavailable", "no node is registered to reach it from")
        return str(nodes.items[0].object["metadata"]["name"])

    async def _kubelet(self, exchange: Exchange, target: Target) -> Answer:
        if exchange.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        node = parse_name("node", target.name).name
        connection = self._connection(node)
        parts = [part for part in target.tail.split("/") if part]
        if parts == ["healthz"] or parts == ["healthz", "ping"]:
            return answer_text("ok")
        if parts in (["pods"], ["runningpods"]):
            options = ListOptions(field_selector=f"spec.nodeName={node}")
            listed = await self._registry.list(POD, None, options)
            pods = {
                "kind": "PodList",
                "apiVersion": "v1",
                "metadata": {},
                "items": [item.object for item in listed.items],
            }
            return answer_bytes(encode_object(pods, exchange.plain_form()), "application/json")
        if len(parts) == 4 and parts[0] == "containerLogs":
            _, namespace, pod, container = parts
            wanted = parse_log_options(exchange.query, pod, exchange.now)
            pieces = connection.logs(namespace, pod, container, wanted)
            return await _send_log(exchange.request, pieces)
        return answer_text(
            "404 page not found: netlab's kubelet serves /healthz, /pods and "
            "/containerLogs/NAMESPACE/POD/CONTAINER\n",
            code=404,
        )


async def _send_log(request: web.BaseRequest, pieces: AsyncIterator[bytes]) -> Answer:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    try:
        async for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
            if piece:
                await response.write(piece)
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    if not response.prepared:
        await response.prepare(request)
    await response.write_eof()
    return response


def _redirect(exchange: Exchange) -> Answer:
    """Send a caller from ``…/proxy`` to ``…/proxy/``, from where relative links work."""
    query = exchange.request.rel_url.raw_query_string
    location = f"{exchange.path}/" + (f"?{query}" if query else "")
    return web.Response(status=301, headers={"Location": location})


def _upgrades(request: web.BaseRequest) -> bool:
    connection = request.headers.get("Connection", "").lower()
    return "upgrade" in connection and bool(request.headers.get("Upgrade"))


class _Passage:
    """One request on its way to a server and back."""

    def __init__(self, exchange: Exchange, target: Target, location: Location) -> None:
        self._request = exchange.request
        self._location = location
        self._tail = target.tail
        prefix = exchange.path.removesuffix(target.tail) if target.tail else exchange.path
        self._rewriter = Rewriter(prefix, location.host, self._request.headers.get("Host", ""))

    async def carry(self, connection: NodeConnection) -> Answer:
        """Send the request and the answer.

        Raises: ApiError ServiceUnavailable when the server cannot be reached.
        """
        try:
            stream = await self._dial(connection)
        except BackendError as error:
            raise _unreachable(str(error)) from error
        try:
            async with watch_departure(self._request):
                return await self._exchange(stream)
        finally:
            stream.writer.close()

    async def _dial(self, connection: NodeConnection) -> ByteStream:
        location = self._location
        try:
            stream = await connection.dial(location.address, location.port)
        except OSError as error:
            raise BackendError(f"dial tcp {location.host}: {dial_reason(error)}") from error
        if location.tls:
            try:
                await backend.start_tls(stream, location.address)
            except BaseException:
                stream.writer.close()
                raise
        return stream

    async def _exchange(self, stream: ByteStream) -> Answer:
        upgrade = _upgrades(self._request)
        headers, chunked = self._headers(upgrade=upgrade)
        head = backend.request_head(self._request.method, self._path(), headers)
        sending = asyncio.ensure_future(self._send(stream, head, chunked=chunked))
        try:
            try:
                response = await backend.read_response(stream)
            except BackendError as error:
                raise _unreachable(str(error)) from error
            if response.code == 101:
                if not upgrade:
                    raise _unreachable("the server changes the protocol unasked")
                return await self._tunnel(stream, response)
            return await self._answer(stream, response)
        finally:
            sending.cancel()
            await asyncio.wait({sending})

    def _path(self) -> str:
        query = self._request.rel_url.raw_query_string
        path = self._tail or "/"
        return quote(path, safe="%/:=&?~#+!$,;'@()*[]") + (f"?{query}" if query else "")

    def _headers(self, *, upgrade: bool) -> tuple[CIMultiDict[str], bool]:
        """The headers for the server, and whether the body goes in chunks."""
        request = self._request
        named = [part.strip().lower() for part in request.headers.get("Connection", "").split(",")]
        headers: CIMultiDict[str] = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
            and name.lower() not in named
            and not name.lower().startswith(_CREDENTIALS)
        )
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if peer:
            earlier = request.headers.getall("X-Forwarded-For", [])
            headers["X-Forwarded-For"] = ", ".join([*earlier, str(peer[0])])
        headers["X-Forwarded-Uri"] = self._rewriter.join(self._tail or "/")
        headers["Connection"] = "Upgrade" if upgrade else "close"
        if upgrade:
            headers["Upgrade"] = request.headers["Upgrade"]
        chunked = request.body_exists and "Content-Length" not in headers
        if request.body_exists and headers.pop("Content-Encoding", ""):
            # aiohttp has unpacked it, and its length is another one now
            headers.pop("Content-Length", None)
            chunked = True
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        return headers, chunked

    async def _send(self, stream: ByteStream, head: bytes, *, chunked: bool) -> None:
        # a server may answer, and close, before it has read everything: its answer counts
        with contextlib.suppress(OSError):
            stream.writer.write(head)
            await stream.writer.drain()
            if self._request.body_exists:
                body = self._request.content.iter_any()
                await backend.send_body(stream, body, chunked=chunked)

    async def _answer(self, stream: ByteStream, response: BackendResponse) -> Answer:
        headers = self._answer_headers(response)
        reason = response.reason or None
        if not backend.has_body(self._request.method, response):
            answer = web.StreamResponse(status=response.code, reason=reason, headers=headers)
            await answer.prepare(self._request)
            await answer.write_eof()
            return answer
        body = backend.read_body(stream, response)
        if self._is_page(response):
            page, complete = await _read_page(body)
            if complete:
                encoding = response.headers.get("Content-Encoding", "")
                headers.pop("Content-Length", None)
                return web.Response(
                    body=rewrite_html(page, encoding, self._rewriter),
                    status=response.code,
                    reason=reason,
                    headers=headers,
                )
            body = _continued(page, body)
        answer = web.StreamResponse(status=response.code, reason=reason, headers=headers)
        await answer.prepare(self._request)
        try:
            async for piece in body:
                await answer.write(piece)
        except BackendError:
            # only closing the connection tells the caller that the body is cut off
            if self._request.transport is not None:
                self._request.transport.abort()
            return answer
        await answer.write_eof()
        return answer

    def _answer_headers(self, response: BackendResponse) -> CIMultiDict[str]:
        named = [part.strip().lower() for part in response.headers.get("Connection", "").split(",")]
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in response.headers.items():
            low = name.lower()
            # those that loosen the browser's rules would do so for the whole API server
            if low in _HOP_BY_HOP or low in named or low.startswith("access-control-"):
                continue
            headers.add(name, self._rewriter.url(value) if low == "location" else value)
        if "Content-Type" not in headers and backend.has_body(self._request.method, response):
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return headers

    def _is_page(self, response: BackendResponse) -> bool:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return kind == "text/html" and "Location" not in response.headers

    async def _tunnel(self, stream: ByteStream, response: BackendResponse) -> Answer:
        taken = take_connection(self._request)
        await taken.write(response.head + response.answer.rest)
        inward = asyncio.ensure_future(_copy_in(taken, stream))
        outward = asyncio.ensure_future(_copy_out(stream, taken))
        try:
            await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.wait({inward, outward})
        return taken.response


def dial_reason(error: OSError) -> str:
    """Return why a connection was not made, as Go words it."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "i/o timeout"
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"connect: {text[:1].lower()}{text[1:]}"


def _unreachable(reason: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", f"error trying to reach service: {reason}")


async def _read_page(body: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The page, or as much of it as may be held; False when more follows."""
    pieces, size = [], 0
    try:
        async for piece in body:
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_PAGE_BYTES:
                return b"".join(pieces), False
    except BackendError as error:
        raise _unreachable(str(error)) from error
    return b"".join(pieces), True


async def _continued(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _copy_in(taken: TakenConnection, stream: ByteStream) -> None:
    with contextlib.suppress(OSError):
        while data := await taken.read():
            stream.writer.write(data)
            await stream.writer.drain()


async def _copy_out(stream: ByteStream, taken: TakenConnection) -> None:
    with contextlib.suppress(OSError):
        while data := await stream.reader.read(backend.READ_BYTES):
            await taken.write(data)
