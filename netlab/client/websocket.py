"""The client's end of a WebSocket, without a thread: frames in, frames out (RFC 6455).

Pure: ``Frames`` turns bytes into messages and messages into bytes; the caller owns the socket.
Text and binary messages, fragments, pings and closing are handled; extensions are not offered.
"""

from __future__ import annotations

import base64
import hashlib
import os

from netlab.errors import NetworkError

ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
NORMAL_CLOSURE = 1000


def new_key() -> str:
    """Return a random ``Sec-WebSocket-Key``."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_for(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a key."""
    digest = hashlib.sha1((key + ACCEPT_GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def handshake_headers(key: str, protocol: str) -> dict[str, str]:
    """Return the headers that ask for a WebSocket with a subprotocol."""
    return {
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": protocol,
    }


def encode_frame(opcode: int, payload: bytes, *, mask: bytes | None = None) -> bytes:
    """Return a whole message as one masked frame; mask: four random bytes."""
    mask = mask or os.urandom(4)
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class Frames:
    """Reads what the server sends. ``outgoing`` collects answers to pings and closings."""

    def __init__(self) -> None:
        self.outgoing = bytearray()
        self.closed = False
        self._buffer = bytearray()
        self._fragments = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete now.

        Raises: NetworkError when the bytes are no frames, or a message is too long.
        """
        self._buffer += data
        messages: list[bytes] = []
        while not self.closed:
            frame = self._next_frame()
            if frame is None:
                break
            final, opcode, payload = frame
            if opcode == PING:
                self.outgoing += encode_frame(PONG, payload)
            elif opcode == CLOSE:
                self.outgoing += encode_frame(CLOSE, payload[:2])
                self.closed = True
            elif opcode in (CONTINUATION, TEXT, BINARY):
                self._fragments += payload
                if len(self._fragments) > MAX_MESSAGE_BYTES:
                    raise NetworkError("websocket: the server sent a message that is too long")
                if final:
                    messages.append(bytes(self._fragments))
                    self._fragments.clear()
            elif opcode != PONG:
                raise NetworkError(f"websocket: the server sent a frame of unknown kind {opcode}")
        return messages

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return None
            size, start = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if buffer[1] & 0x80:
            raise NetworkError("websocket: the server masked a frame")
        if size > MAX_MESSAGE_BYTES:
            raise NetworkError("websocket: the server sent a frame that is too long")
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        del buffer[: start + size]
        return final, opcode, payload
