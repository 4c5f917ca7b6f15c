"""WebSockets of callers: channels in their messages, or SPDY tunnelled through them.

aiohttp speaks WebSocket; this module adds what Kubernetes puts into it. Compression is never
agreed: data in a lab does not leave the machine.
"""

from __future__ import annotations

import contextlib

from aiohttp import WSMsgType, web

from netlab.streaming.channels import is_base64, join_message, split_message
from netlab.streaming.upgrading import Upgrade

LARGEST_MESSAGE_BYTES = 4 << 20
CLOSE_TIMEOUT_S = 5.0


async def accept_websocket(request: web.BaseRequest, upgrade: Upgrade) -> web.WebSocketResponse:
    """Answer 101 and return the socket."""
    socket = web.WebSocketResponse(
        protocols=(upgrade.protocol,) if upgrade.named else (),
        max_msg_size=LARGEST_MESSAGE_BYTES,
        timeout=CLOSE_TIMEOUT_S,
        compress=False,
    )
    await socket.prepare(request)
    return socket


class Channels:
    """The numbered channels in a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self.socket = socket
        self.protocol = protocol
        self._text = is_base64(protocol)

    async def receive(self) -> tuple[int, bytes] | None:
        """Return the next (channel, data); None when the caller is gone.

        Messages that the protocol does not know are passed over.
        """
        while True:
            message = await self.socket.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                split = split_message(message.data, self.protocol)
                if split is not None:
                    return split
            elif message.type not in (WSMsgType.PING, WSMsgType.PONG):
                return None

    async def send(self, channel: int, data: bytes) -> None:
        """Send a message, waiting while the caller is slow; one who is gone misses it."""
        message = join_message(channel, data, self.protocol)
        with contextlib.suppress(ConnectionError):
            if isinstance(message, str):
                await self.socket.send_str(message)
            else:
                await self.socket.send_bytes(message)


class TunnelWire:
    """SPDY's way through a WebSocket: each binary message is a piece of the byte stream."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Return the next bytes; b"" when the caller is gone."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type not in (WSMsgType.PING, WSMsgType.PONG, WSMsgType.TEXT):
                return b""

    async def write(self, data: bytes) -> None:
        """Send. Raises: ConnectionError."""
        await self._socket.send_bytes(data)
