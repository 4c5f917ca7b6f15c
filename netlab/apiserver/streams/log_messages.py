"""Logs over WebSocket: each piece of the log is a message.

Mirrors ``wsstream.Reader`` of k8s.io/apimachinery, which dashboards in browsers use: they cannot
read an HTTP answer that does not end. Protocols: none or ``binary.k8s.io`` for binary messages,
``base64.binary.k8s.io`` for texts. An empty message comes first, as there, so that the other side
knows that the stream has begun.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from netlab.errors import ApiError
from netlab.streaming.upgrading import Upgrade, choose_upgrade
from netlab.streaming.websocket import accept_websocket

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


def wants_websocket(request: web.BaseRequest) -> bool:
    """True when the caller asks to go over to WebSocket."""
    upgrades = "upgrade" in request.headers.get("Connection", "").lower()
    return upgrades and request.headers.get("Upgrade", "").lower() == "websocket"


async def send_log_messages(
    request: web.BaseRequest, pieces: AsyncIterator[bytes]
) -> web.WebSocketResponse:
    """Send the pieces until there are no more or the caller is gone.

    Raises: ApiError BadRequest when the caller offers only other protocols.
    """
    upgrade = choose_upgrade(
        request.method, request.headers, websocket=(BINARY, BASE64), spdy=(), oldest=BINARY
    )
    socket = await accept_websocket(request, upgrade)
    sending = asyncio.ensure_future(_send(socket, upgrade, pieces))
    departure = asyncio.ensure_future(_until_gone(socket))
    try:
        await asyncio.wait({sending, departure}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, departure):
            task.cancel()
        await asyncio.gather(sending, departure, return_exceptions=True)
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    await socket.close()
    return socket


async def _send(
    socket: web.WebSocketResponse, upgrade: Upgrade, pieces: AsyncIterator[bytes]
) -> None:
    async def send(data: bytes) -> None:
        if upgrade.protocol == BASE64:
            await socket.send_str(base64.b64encode(data).decode())
        else:
            await socket.send_bytes(data)

    with contextlib.suppress(ConnectionError):
        await send(b"")
        try:
            async for piece in pieces:
                await send(piece)
        except ApiError as error:
            await send(f"{error.message}\n".encode())


async def _until_gone(socket: web.WebSocketResponse) -> None:
    """Read what the caller sends, which means nothing, until it goes away."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
