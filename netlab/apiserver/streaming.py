"""Logs of containers and processes in them, from the pod's node to the caller.

Mirrors the ``pods/log`` and ``pods/exec`` storages of kube-apiserver, which proxy to the kubelet;
here a ``NodeConnection`` does. Exec speaks WebSocket (kubectl 1.30 and later, the Python client).
What can be told before the upgrade is an HTTP error; later errors travel in the error channel,
because a client that sees its WebSocket refused tries SPDY and would hide the reason.

netlab leaves out, with a clear error each: SPDY, attach and port-forward.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from netlab.api.field_errors import bad_request
from netlab.api.kinds import POD
from netlab.api.streams import STDERR, STDOUT, ExecProcess, NodeConnection
from netlab.api.view import Object
from netlab.apiserver.channels import (
    PROTOCOLS,
    Resized,
    StdinClosed,
    StdinData,
    choose_protocol,
    error_frame,
    exit_frame,
    frame,
    parse_frame,
)
from netlab.apiserver.exchange import (
    Answer,
    Exchange,
    answer_bytes,
    base_headers,
    method_not_allowed,
)
from netlab.apiserver.logs import choose_container, parse_log_options
from netlab.apiserver.parameters import truth
from netlab.apiserver.paths import Target
from netlab.apiserver.registry import Registry
from netlab.errors import ApiError, NetlabError

Connections: TypeAlias = Callable[[str], NodeConnection | None]
"""Finds the connection to a node by its name; None when there is none."""

# How long a quiet log may delay its headers, so that an error can still become a Status.
FIRST_PIECE_S = 0.3
LARGEST_MESSAGE_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 5.0

STREAMS = ("log", "exec", "attach", "portforward")


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """Query of ``…/exec``."""

    argv: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class StreamHandlers:
    """Answers ``pods/log`` and ``pods/exec``."""

    def __init__(self, registry: Registry, connections: Connections) -> None:
        self._registry = registry
        self._connections = connections

    async def handle(self, exchange: Exchange, target: Target) -> Answer:
        """Answer a request for one of ``STREAMS``.

        Raises: ApiError with the Status to answer.
        """
        method = exchange.request.method
        if target.subresource == "log":
            if method != "GET":
                raise method_not_allowed()
            return await self._log(exchange, target)
        if method not in ("GET", "POST"):
            raise method_not_allowed()
        return await self._exec(exchange, target)

    async def _pod(self, target: Target) -> Object:
        return (await self._registry.get(POD, target.namespace, target.name)).object

    def _connection(self, pod: Object) -> NodeConnection:
        node = pod.get("spec", {}).get("nodeName", "")
        connection = self._connections(node)
        if connection is None:
            message = f"dial node {node}: no node agent of that name is connected"
            raise ApiError(503, "ServiceUnavailable", message)
        return connection

    async def _log(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        container = choose_container(pod, exchange.query.get("container", ""))
        options = parse_log_options(exchange.query, target.name, exchange.now)
        if not pod.get("spec", {}).get("nodeName"):
            return answer_bytes(b"", "text/plain")  # nothing can have been written yet
        connection = self._connection(pod)
        pieces = connection.logs(target.namespace, target.name, container, options)
        return await _send_pieces(exchange.request, pieces)

    async def _exec(self, exchange: Exchange, target: Target) -> Answer:
        pod = await self._pod(target)
        request = parse_exec(exchange.request.rel_url.raw_query_string)
        container = choose_container(pod, exchange.query.get("container", ""))
        if target.subresource == "exec" and not request.argv:
            raise bad_request("you must specify at least one command for the container")
        if not pod.get("spec", {}).get("nodeName"):
            raise bad_request(f"pod {target.name} does not have a host assigned")
        connection = self._connection(pod)
        protocol = upgrade_protocol(exchange.request, target.subresource)
        socket = web.WebSocketResponse(
            protocols=(protocol,),
            max_msg_size=LARGEST_MESSAGE_BYTES,
            timeout=CLOSE_TIMEOUT_S,
            compress=False,
        )
        await socket.prepare(exchange.request)
        try:
            process = await connection.exec(
                target.namespace,
                target.name,
                container,
                request.argv,
                stdin=request.stdin,
                tty=request.tty,
            )
        except NetlabError as error:
            await socket.send_bytes(error_frame(_as_api_error(error)))
            await socket.close()
            return socket
        await run_exec(socket, process, request, protocol)
        return socket


def parse_exec(raw_query: str) -> ExecRequest:
    """Return what ``?command=…&command=…&stdin=true`` asks for."""
    values = parse_qs(raw_query, keep_blank_values=True)

    def flag(name: str) -> bool:
        return name in values and truth(values[name][0])

    return ExecRequest(
        argv=tuple(values.get("command", ())),
        stdin=flag("stdin"),
        stdout=flag("stdout"),
        stderr=flag("stderr"),
        tty=flag("tty"),
    )


def _as_api_error(error: NetlabError) -> ApiError:
    if isinstance(error, ApiError):
        return error
    return ApiError(500, "InternalError", f"Internal error occurred: {error}")


def upgrade_protocol(request: web.BaseRequest, subresource: str) -> str:
    """Return the stream protocol that caller and server share.

    Raises: ApiError BadRequest when the caller does not upgrade, or to what is not served.
    """
    upgrade = request.headers.get("Upgrade", "")
    if subresource != "exec":
        instead = ": use kubectl exec" if subresource == "attach" else ""
        raise bad_request(f"{subresource} is not served by this version of netlab{instead}")
    if not upgrade:
        raise bad_request("Upgrade request required")
    if upgrade.lower() != "websocket":
        raise bad_request(
            f"exec over {upgrade} is not served by this version of netlab: "
            "use kubectl 1.30 or newer, which speaks WebSocket"
        )
    header = request.headers.get("Sec-WebSocket-Protocol", "")
    offered = [name.strip() for name in header.split(",") if name.strip()]
    protocol = choose_protocol(offered)
    if not protocol:
        raise bad_request(
            f"unable to upgrade: the client offers {offered}, the server {list(PROTOCOLS)}"
        )
    return protocol


async def _send_pieces(request: web.BaseRequest, pieces: AsyncIterator[bytes]) -> Answer:
    """Send pieces as they come; an error before the first is raised, later ones end the text."""
    response = web.StreamResponse(headers=base_headers("text/plain"))
    response.enable_chunked_encoding()
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


async def run_exec(
    socket: web.WebSocketResponse, process: ExecProcess, request: ExecRequest, protocol: str
) -> None:
    """Carry a process's streams until it ends or the caller goes away; then it is closed."""
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_carry_input(socket, process, request, protocol))
            await _carry_output(socket, process, request)
            await _send(socket, exit_frame(await process.wait()))
            await socket.close()
            reader.cancel()
    finally:
        await process.close()


async def _carry_output(
    socket: web.WebSocketResponse, process: ExecProcess, request: ExecRequest
) -> None:
    wanted = {STDOUT: request.stdout, STDERR: request.stderr}
    while (piece := await process.read()) is not None:
        channel, data = piece
        if wanted.get(channel):
            await _send(socket, frame(channel, data))


async def _send(socket: web.WebSocketResponse, message: bytes) -> None:
    # the caller may have gone; the process is then being killed and its output ends soon
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(message)


async def _carry_input(
    socket: web.WebSocketResponse, process: ExecProcess, request: ExecRequest, protocol: str
) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY:
            continue
        said = parse_frame(message.data, protocol)
        if isinstance(said, StdinData) and request.stdin:
            await process.write_stdin(said.data)
        elif isinstance(said, StdinClosed) and request.stdin:
            await process.close_stdin()
        elif isinstance(said, Resized):
            await process.resize(said.columns, said.rows)
    # the connection has ended: whatever the caller started must not outlive it
    await process.close()
