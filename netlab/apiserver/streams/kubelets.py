"""The way from the API server to the nodes' kubelets, the only one there is.

Mirrors ``pkg/kubelet/client`` and the ``ResourceLocation`` functions of ``pkg/registry/core/pod``:
a node's address and port stand in its Node object; the connection is TLS with the API server's own
client certificate (``kube-apiserver-kubelet-client``), and the kubelet's certificate must be of the
cluster's authority. Requests are passed on as they came, upgrades to WebSocket and SPDY included:
what travels in them is between the caller and the kubelet.

A kubelet tells errors as plain text; they become a Status here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from multidict import CIMultiDict

from netlab.api.kinds import NODE
from netlab.api.streams import ByteStream, LogOptions
from netlab.api.view import UNREADABLE
from netlab.apiserver.http.exchange import Answer, Exchange
from netlab.apiserver.registry import Registry
from netlab.apiserver.streams import backend
from netlab.apiserver.streams.backend import BackendError, BackendResponse
from netlab.apiserver.streams.location import KUBELET_PORT, Location
from netlab.apiserver.streams.passage import Passage, dial_reason, status_of
from netlab.errors import ApiError
from netlab.streaming.commands import CommandRequest

Dial: TypeAlias = Callable[[str, int], Awaitable[ByteStream]]
"""Connects to an address and port from the control plane's network. Raises: OSError."""

READ_TIMEOUT_S = 10.0
MOST_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Door:
    """How kubelets are reached. context: of TLS, with the API server's client certificate."""

    dial: Dial
    context: ssl.SSLContext


class Kubelets:
    """Passes requests on to kubelets."""

    def __init__(self, registry: Registry, door: Door) -> None:
        self._registry = registry
        self._door = door

    async def locate(self, node: str) -> Location:
        """Return where a node's kubelet listens.

        Raises: ApiError NotFound for an unknown node; InternalError when it tells no address.
        """
        found = (await self._registry.get(NODE, None, node)).object
        return kubelet_location(node, found)

    async def pass_on(self, exchange: Exchange, node: str, path: str) -> Answer:
        """Pass a request on to a node's kubelet, and the answer back. path: with the query.

        Raises: ApiError: what the kubelet says; InternalError when it cannot be reached.
        """
        location = await self.locate(node)
        passage = Passage(exchange.request, path, location.host)
        stream = await self._dial(location)
        return await passage.carry(stream, as_status=True)

    async def proxy(self, exchange: Exchange, node: str, path: str, prefix: str) -> Answer:
        """Pass a request of ``nodes/NAME/proxy`` on; answers come back as the kubelet gave them.

        Raises: ApiError ServiceUnavailable when it cannot be reached.
        """
        location = await self.locate(node)
        passage = Passage(exchange.request, path, location.host, prefix=prefix)
        return await passage.carry(await self._dial(location))

    async def read(self, node: str, path: str) -> bytes:
        """Return what a kubelet answers to GET.

        Raises: ApiError.
        """
        location = await self.locate(node)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                stream = await self._dial(location)
                try:
                    return await _get(stream, path, location.host)
                finally:
                    stream.writer.close()
        except TimeoutError as error:
            raise ApiError(504, "Timeout", f"{location.host}: no answer in time") from error

    async def pieces(self, node: str, path: str) -> AsyncIterator[bytes]:
        """Yield what a kubelet answers to GET, as it comes.

        Raises: ApiError, before the first piece.
        """
        location = await self.locate(node)
        stream = await self._dial(location)
        try:
            response = await _ask(stream, path, location.host)
            body = backend.read_body(stream, response)
            if response.code >= 400:
                raise status_of(response.code, b"".join([piece async for piece in body]))
            yield b""
            with contextlib.suppress(BackendError):  # a text that is cut off ends there
                async for piece in body:
                    yield piece
        finally:
            stream.writer.close()

    async def _dial(self, location: Location) -> ByteStream:
        try:
            stream = await self._door.dial(location.address, location.port)
        except OSError as error:
            raise _unreachable(f"dial tcp {location.host}: {dial_reason(error)}") from error
        try:
            await backend.start_tls(stream, location.address, self._door.context)
        except BackendError as error:
            stream.writer.close()
            raise _unreachable(str(error)) from error
        except BaseException:
            stream.writer.close()
            raise
        return stream


def _unreachable(reason: str) -> ApiError:
    message = f"error dialing backend: {reason}"
    return ApiError(500, "InternalError", message)


async def _ask(stream: ByteStream, path: str, host: str) -> BackendResponse:
    headers = CIMultiDict({"Host": host, "Connection": "close", "Accept": "application/json"})
    stream.writer.write(backend.request_head("GET", path, headers))
    try:
        return await backend.read_response(stream)
    except BackendError as error:
        raise _unreachable(str(error)) from error


async def _get(stream: ByteStream, path: str, host: str) -> bytes:
    response = await _ask(stream, path, host)
    pieces, size = [], 0
    try:
        async for piece in backend.read_body(stream, response):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise BackendError("the answer is too large")
    except BackendError as error:
        raise _unreachable(str(error)) from error
    body = b"".join(pieces)
    if response.code >= 400:
        raise status_of(response.code, body)
    return body


def kubelet_location(name: str, node: Mapping[str, Any]) -> Location:
    """Return where the kubelet of a Node listens.

    Raises: ApiError InternalError when the Node tells no address.
    """
    try:
        status = node.get("status") or {}
        addresses = status.get("addresses") or []
        by_type = {each.get("type"): str(each.get("address")) for each in addresses}
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        port = int(endpoint.get("Port") or KUBELET_PORT)
    except UNREADABLE as error:
        raise ApiError(500, "InternalError", f"node {name} cannot be read: {error}") from error
    address = by_type.get("InternalIP") or by_type.get("ExternalIP")
    if not address:
        known = ", ".join(sorted(str(kind) for kind in by_type))
        message = f"no preferred addresses found; known addresses: [{known}]"
        raise ApiError(500, "InternalError", message)
    return Location(address, port, tls=True, node=name)


def _path(*parts: str, query: str = "") -> str:
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{query}" if query else path


def logs_path(namespace: str, pod: str, container: str, options: LogOptions) -> str:
    """Return the kubelet's path of a container's log."""
    query: list[tuple[str, str]] = []
    for name, wanted in (
        ("follow", options.follow),
        ("previous", options.previous),
        ("timestamps", options.timestamps),
    ):
        if wanted:
            query.append((name, "true"))
    if options.since is not None:
        query.append(("sinceTime", options.since.isoformat()))
    for name, number in (("tailLines", options.tail_lines), ("limitBytes", options.limit_bytes)):
        if number is not None:
            query.append((name, str(number)))
    if options.stream != "All":
        query.append(("stream", options.stream))
    return _path("containerLogs", namespace, pod, container, query=urlencode(query))


def command_path(
    verb: str, namespace: str, pod: str, container: str, request: CommandRequest
) -> str:
    """Return the kubelet's path of ``exec`` or ``attach``, with its own names for the streams."""
    query = [("command", word) for word in request.argv] if verb == "exec" else []
    flags = (
        ("input", request.stdin),
        ("output", request.stdout),
        ("error", request.stderr),
        ("tty", request.tty),
    )
    query += [(name, "1") for name, wanted in flags if wanted]
    return _path(verb, namespace, pod, container, query=urlencode(query))


def forward_path(namespace: str, pod: str, uid: str, ports: list[int]) -> str:
    """Return the kubelet's path of a port-forward; uid: of the pod meant."""
    query = urlencode([("port", str(port)) for port in ports])
    return _path("portForward", namespace, pod, uid, query=query)
