"""Logs, processes and connections of pods, as the kubelet serves them over HTTP.

Mirrors ``pkg/kubelet/server`` (``getContainerLogs``, ``getExec``, ``getAttach``,
``getPortForward``) with the protocols of ``pkg/kubelet/…/streaming``: WebSocket and SPDY/3.1, which
the API server passes on without looking into them.

What can be told before the connection changes its protocol is an HTTP error. Over WebSocket, what
is wrong with a command travels in the error channel instead: a client that sees its WebSocket
refused tries again with SPDY, and would start the command twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs

from aiohttp import web

from netlab.api.field_errors import bad_request
from netlab.api.streams import ByteStream, ExecProcess, LogOptions, NodeConnection
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
from netlab.streaming.upgrading import Carrier, choose_upgrade, spdy_headers
from netlab.streaming.websocket import Channels, TunnelWire, accept_websocket

FIRST_PIECE_S = 0.3
"""How long a quiet log may delay its headers, so that an error can still become an HTTP error."""


async def send_logs(request: web.BaseRequest, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send pieces as they come; an error before the first is raised, later ones end the text."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    first = asyncio.ensure_future(anext(pieces, b""))
    try:
        done, _ = await asyncio.wait({first}, timeout=FIRST_PIECE_S)
        if done:
            first.result()  # an error can be told while the headers are not sent
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


def log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """Return what the query of ``/containerLogs/…`` asks for; the API server has checked it.

    Raises: ApiError BadRequest.
    """
    try:
        since_s = query.get("sinceSeconds")
        since_time = query.get("sinceTime")
        since = datetime.fromisoformat(since_time) if since_time else None
        if since_s:
            since = datetime.fromtimestamp(now.timestamp() - int(since_s), UTC)
        return LogOptions(
            follow=_flag(query, "follow"),
            previous=_flag(query, "previous"),
            timestamps=_flag(query, "timestamps"),
            tail_lines=_number(query, "tailLines"),
            limit_bytes=_number(query, "limitBytes"),
            since=since,
            stream=query.get("stream") or "All",
        )
    except (ValueError, OverflowError, OSError) as error:
        raise bad_request(f"Unable to decode the request as v1 PodLogOptions: {error}") from error


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    return int(text) if text else None


def parse_command(raw_query: str) -> CommandRequest:
    """Return what ``?command=…&input=1&output=1`` asks for: the kubelet's own names.

    Raises: ApiError BadRequest.
    """
    values = parse_qs(raw_query, keep_blank_values=True)

    def flag(name: str) -> bool:
        return values.get(name, [""])[0] in ("1", "true")

    request = CommandRequest(
        argv=tuple(values.get("command", ())),
        stdin=flag("input"),
        stdout=flag("output"),
        stderr=flag("error"),
        tty=flag("tty"),
    )
    if not (request.stdin or request.stdout or request.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return request


async def serve_command(
    request: web.BaseRequest,
    connection: NodeConnection,
    where: tuple[str, str, str],
    *,
    attach: bool,
) -> web.StreamResponse:
    """Answer ``/exec`` and ``/attach``. where: namespace, pod and container.

    Raises: ApiError.
    """
    wanted = parse_command(request.rel_url.raw_query_string)
    if not attach and not wanted.argv:
        raise bad_request("you must specify at least one command for the container")

    async def start() -> ExecProcess:
        if attach:
            return await connection.attach(*where, stdin=wanted.stdin, tty=wanted.tty)
        return await connection.exec(*where, wanted.argv, stdin=wanted.stdin, tty=wanted.tty)

    upgrade = choose_upgrade(
        request.method, request.headers, websocket=PROTOCOLS, spdy=SPDY_PROTOCOLS
    )
    async with watch_departure(request):
        if upgrade.carrier is Carrier.WEBSOCKET:
            socket = await accept_websocket(request, upgrade)
            await _websocket_command(Channels(socket, upgrade.protocol), wanted, start, attach)
            return socket
        process = await start()
        try:
            taken = await switch_protocols(request, spdy_headers(upgrade))
            command = SpdyCommand(taken, upgrade.protocol, wanted)
            await command.serve(process, wanted, attach=attach)
        finally:
            await process.close()
        return taken.response


async def _websocket_command(
    channels: Channels,
    wanted: CommandRequest,
    start: Callable[[], Awaitable[ExecProcess]],
    attach: bool,
) -> None:
    streams = WebSocketCommand(channels)
    await streams.greet(wanted)
    try:
        process = await start()
    except NetlabError as error:
        await streams.finish(as_api_error(error))
        return
    await run_command(streams, process, wanted, attach=attach)


async def serve_forward(
    request: web.BaseRequest, dial: Callable[[int], Awaitable[ByteStream]]
) -> web.StreamResponse:
    """Answer ``/portForward``.

    Raises: ApiError.
    """
    websocket = request.headers.get("Upgrade", "").lower() == "websocket"
    upgrade = choose_upgrade(
        request.method,
        request.headers,
        websocket=portforward.WEBSOCKET_PROTOCOLS,
        spdy=(portforward.SPDY_PROTOCOL,),
        oldest=V4 if websocket else portforward.SPDY_PROTOCOL,
    )
    async with watch_departure(request):
        if upgrade.carrier is Carrier.SPDY:
            taken = await switch_protocols(request, spdy_headers(upgrade))
            await SpdyForward(taken, dial).serve()
            return taken.response
        if upgrade.protocol == portforward.TUNNEL_PROTOCOL:
            socket = await accept_websocket(request, upgrade)
            await SpdyForward(TunnelWire(socket), dial).serve()
            await socket.close()
            return socket
        ports = portforward.parse_ports(request.rel_url.raw_query_string, "port")
        portforward.check_ports(ports)
        socket = await accept_websocket(request, upgrade)
        await ChannelForward(Channels(socket, upgrade.protocol), ports, dial).serve()
        return socket
