"""Logs of containers, processes in them, and connections into pods, from the node to the caller.

Mirrors the ``pods/log``, ``pods/exec``, ``pods/attach``, ``pods/portforward`` and ``…/proxy``
storages of kube-apiserver, which proxy to the kubelet; here a ``NodeConnection`` does.

What can be told before the connection changes its protocol is an HTTP error. Over WebSocket, what
the node says of a command travels in the error channel instead: a client that sees its WebSocket
refused tries again with SPDY, and would start the command twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from netlab.api.field_errors import bad_request
from netlab.api.kinds import POD
from netlab.api.streams import ByteStream, ExecProcess, NodeConnection
from netlab.api.view import Object
from netlab.apiserver.http.exchange import (
    Answer,
    Exchange,
    answer_bytes,
    base_headers,
    method_not_allowed,
)
from netlab.apiserver.http.paths import Target
from netlab.apiserver.registry import Registry
from netlab.apiserver.streams.command_query import check_command, parse_command
from netlab.apiserver.streams.log_messages import send_log_messages, wants_websocket
from netlab.apiserver.streams.logs import choose_container, parse_log_options
from netlab.apiserver.streams.proxying import ProxyHandlers
from netlab.errors import ApiError, NetlabError
from netlab.streaming import portforward
from netlab.streaming.channels import PROTOCOLS, SPDY_PROTOCOLS, V4
from netlab.streaming.commands import (
    CommandRequest,
    SpdyCommand,
    WebSocketCommand,
    as_api_error,
    run_command,
)
from netlab.streaming.connection import switch_protocols, watch_departure
from netlab.streaming.portforward import ChannelForward, SpdyForward
from netlab.streaming.upgrading import Carrier, Upgrade, choose_upgrade, spdy_headers
from netlab.streaming.websocket import Channels, TunnelWire, accept_websocket

Connections: TypeAlias = Callable[[str], NodeConnection | None]
"""Finds the connection to a node by its name; None when there is none."""

# How long a quiet log may delay its headers, so that an error can still become a Status.
FIRST_PIECE_S = 0.3


def is_stream(target: Target) -> bool:
    """True when the path names something that lasts and is not answered from the store."""
    part = None if target.kind is None else target.kind.subresource(target.subresource)
    return part is not None and part.streamed


class StreamHandlers:
    """Answers everything for which ``is_stream`` is true."""

    def __init__(self, registry: Registry, connections: Connections) -> None:
        self._registry = registry
        self._connections = connections
        self._proxy = ProxyHandlers(registry, self.connection)

    async def handle(self, exchange: Exchange, target: Target) -> Answer:
        """Answer a request.

        Raises: ApiError with the Status to answer.
        """
        if target.subresource == "proxy":
            return await self._proxy.handle(exchange, target)
        method = exchange.request.method
        if target.subresource == "log":
            if method != "GET":
                raise method_not_allowed()
            return await self._log(exchange, target)
        if method not in ("GET", "POST"):
            raise method_not_allowed()
        async with watch_departure(exchange.request):
            if target.subresource == "portforward":
                return await self._forward(exchange, target)
            return await self._command(exchange, target)

    def connection(self, node: str) -> NodeConnection:
        """Return the way to a node.

        Raises: ApiError ServiceUnavailable.
        """
        connection = self._connections(node)
        if connection is None:
            message = f"dial node {node}: no node agent of that name is connected"
            raise ApiError(503, "ServiceUnavailable", message)
        return connection

    async def _pod(self, target: Target) -> Object:
        return (await self._registry.get(POD, target.namespace, target.name)).object

    async def _log(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        container = choose_container(pod, exchange.query.get("container", ""))
        options = parse_log_options(exchange.query, target.name, exchange.now)
        node = pod.get("spec", {}).get("nodeName")
        if not node:
            return answer_bytes(b"", "text/plain")  # nothing can have been written yet
        pieces = self.connection(node).logs(target.namespace, target.name, container, options)
        if wants_websocket(exchange.request):
            return await send_log_messages(exchange.request, pieces)
        return await _send_pieces(exchange.request, pieces)

    async def _command(self, exchange: Exchange, target: Target) -> Answer:
        attach = target.subresource == "attach"
        pod = await self._pod(target)
        request = parse_command(exchange.request.rel_url.raw_query_string)
        container = choose_container(pod, exchange.query.get("container", ""))
        check_command(request, attach=attach)
        connection = self._connection_of(pod)
        upgrade = choose_upgrade(
            exchange.request.method,
            exchange.request.headers,
            websocket=PROTOCOLS,
            spdy=SPDY_PROTOCOLS,
        )

        async def start() -> ExecProcess:
            where = (target.namespace, target.name, container)
            if attach:
                return await connection.attach(*where, stdin=request.stdin, tty=request.tty)
            return await connection.exec(*where, request.argv, stdin=request.stdin, tty=request.tty)

        if upgrade.carrier is Carrier.WEBSOCKET:
            return await _websocket_command(exchange.request, upgrade, request, start, attach)
        process = await start()
        try:
            taken = await switch_protocols(exchange.request, spdy_headers(upgrade))
            await SpdyCommand(taken, upgrade.protocol, request).serve(
                process, request, attach=attach
            )
        finally:
            await process.close()
        return taken.response

    def _connection_of(self, pod: Object) -> NodeConnection:
        node = pod.get("spec", {}).get("nodeName")
        if not node:
            raise bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
        return self.connection(node)

    async def _forward(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        connection = self._connection_of(pod)
        request = exchange.request
        ports = portforward.parse_ports(request.rel_url.raw_query_string)
        upgrade = choose_upgrade(
            request.method,
            request.headers,
            websocket=portforward.WEBSOCKET_PROTOCOLS,
            spdy=(portforward.SPDY_PROTOCOL,),
            oldest=_oldest_forward(request),
        )

        async def dial(port: int) -> ByteStream:
            uid = pod["metadata"]["uid"]
            return await connection.dial_pod(target.namespace, target.name, port, uid=uid)

        if upgrade.carrier is Carrier.SPDY:
            taken = await switch_protocols(request, spdy_headers(upgrade))
            await SpdyForward(taken, dial).serve()
            return taken.response
        if upgrade.protocol == portforward.TUNNEL_PROTOCOL:
            socket = await accept_websocket(request, upgrade)
            await SpdyForward(TunnelWire(socket), dial).serve()
            await socket.close()
            return socket
        portforward.check_ports(ports)
        socket = await accept_websocket(request, upgrade)
        await ChannelForward(Channels(socket, upgrade.protocol), ports, dial).serve()
        return socket


def _oldest_forward(request: web.BaseRequest) -> str:
    """What a caller means that names no protocol."""
    websocket = request.headers.get("Upgrade", "").lower() == "websocket"
    return V4 if websocket else portforward.SPDY_PROTOCOL


async def _websocket_command(
    request: web.BaseRequest,
    upgrade: Upgrade,
    command: CommandRequest,
    start: Callable[[], Awaitable[ExecProcess]],
    attach: bool,
) -> Answer:
    socket = await accept_websocket(request, upgrade)
    streams = WebSocketCommand(Channels(socket, upgrade.protocol))
    await streams.greet(command)
    try:
        process = await start()
    except NetlabError as error:
        await streams.finish(as_api_error(error))
        return socket
    await run_command(streams, process, command, attach=attach)
    return socket


async def _send_pieces(request: web.BaseRequest, pieces: AsyncIterator[bytes]) -> Answer:
    """Send pieces as they come; an error before the first is raised, later ones end the text."""
    response = web.StreamResponse(headers=base_headers("text/plain"))
    first = asyncio.ensure_future(anext(pieces, b""))
    try:
        done, _ = await asyncio.wait({first}, timeout=FIRST_PIECE_S)
        if done:
            first.result()  # an error becomes a Status while the headers are not sent
        await response.prepare(request)
        await response.write(await first)
        async for piece in pieces:
            await response.write(piece)
    except ApiError as error:
        if not response.prepared:
            raise
        await response.write(f"{error.message}\n".encode())
    finally:
        if not first.done():
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    await response.write_eof()
    return response
