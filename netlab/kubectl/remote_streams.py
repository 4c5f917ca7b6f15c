"""The streams of a remote command over ``v5.channel.k8s.io``, and the local terminal.

Each binary message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 a Status at the end,
4 terminal size, 255 closes the channel in the next byte. One loop waits for the socket, standard
input and SIGWINCH together: OpenSSL does not allow reading and writing in two threads at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from netlab.client.blocking import BlockingClient, error_from
from netlab.client.websocket import (
    BINARY,
    CLOSE,
    NORMAL_CLOSURE,
    Frames,
    accept_for,
    encode_frame,
    handshake_headers,
    new_key,
)
from netlab.errors import NetworkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE_CHANNEL = 0, 1, 2, 3, 4, 255
CHUNK_BYTES = 32768
MAX_UNSENT_BYTES = 256 * 1024
"""Standard input is not read while more than this waits for the server."""


def connect(client: BlockingClient, path: str, query: str) -> tuple[socket.socket, bytes]:
    """Open the stream; return the socket and what was read beyond the handshake.

    Raises: ApiError when the server refuses; NetworkError when it answers with another protocol.
    """
    key = new_key()
    response, sock, left = client.upgrade(
        path, query=query, headers=handshake_headers(key, PROTOCOL)
    )
    if response.status != 101:
        error = error_from(response, response.read())
        sock.close()
        raise error
    if response.headers.get("sec-websocket-accept") != accept_for(key):
        sock.close()
        raise NetworkError("websocket: the server did not prove that it speaks WebSocket")
    if response.headers.get("sec-websocket-protocol") != PROTOCOL:
        sock.close()
        raise NetworkError(f"websocket: the server does not speak {PROTOCOL}")
    return sock, left


class Descriptors:
    """Where a remote command's streams come from and go to; stdin -1 means: it has none."""

    __slots__ = ("stderr", "stdin", "stdout")

    def __init__(self, stdin: int = -1, stdout: int = 1, stderr: int = 2) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr


def pump(sock: socket.socket, first: bytes, local: Descriptors, *, tty: bool) -> dict[str, Any]:
    """Copy the streams until the command ends; return its Status."""
    sock.setblocking(False)
    loop = _Pump(sock, local)
    with _size_changes(enabled=tty) as size_changes:
        if tty:
            loop.send_size()
        loop.take(first)
        while not loop.ended:
            loop.turn(size_changes)
    return loop.status


class _Pump:
    def __init__(self, sock: socket.socket, local: Descriptors) -> None:
        self.status: dict[str, Any] = {}
        self.ended = False
        self._sock = sock
        self._frames = Frames()
        self._unsent = bytearray()
        self._local = local
        self._stdin = local.stdin

    def turn(self, size_changes: int) -> None:
        """Wait for something to do, and do it."""
        readers: list[Any] = [self._sock]
        if self._stdin >= 0 and len(self._unsent) < MAX_UNSENT_BYTES:
            readers.append(self._stdin)
        if size_changes >= 0:
            readers.append(size_changes)
        writers = [self._sock] if self._unsent else []
        pending = getattr(self._sock, "pending", lambda: 0)()
        ready, _, _ = select.select(readers, writers, [], 0 if pending else None)
        if size_changes in ready:
            os.read(size_changes, 64)
            self.send_size()
        if self._stdin in ready:
            self._read_stdin()
        if self._unsent:
            self._write()
        if self._sock in ready or pending:
            self._read()

    def take(self, data: bytes) -> None:
        """Act on bytes of the server."""
        for message in self._frames.feed(data):
            self._handle(message)
        self._unsent += self._frames.outgoing
        self._frames.outgoing.clear()
        if self._frames.closed:
            self._write()
            self.ended = True

    def send_size(self) -> None:
        """Tell the server how large the terminal is."""
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return
        body = json.dumps({"Width": size.columns, "Height": size.lines}).encode()
        self._unsent += encode_frame(BINARY, bytes([RESIZE]) + body)

    def _handle(self, message: bytes) -> None:
        if not message:
            return
        channel, data = message[0], message[1:]
        if channel in (STDOUT, STDERR):
            _write_all(self._local.stdout if channel == STDOUT else self._local.stderr, data)
        elif channel == ERROR and data:
            self.status = json.loads(data)
            # The command is over; nothing that is typed from now on has a reader.
            self._stdin = -1
            self._unsent += encode_frame(CLOSE, NORMAL_CLOSURE.to_bytes(2, "big"))
            self._write()
            self.ended = True

    def _read_stdin(self) -> None:
        data = os.read(self._stdin, CHUNK_BYTES)
        if data:
            self._unsent += encode_frame(BINARY, bytes([STDIN]) + data)
        else:
            self._unsent += encode_frame(BINARY, bytes([CLOSE_CHANNEL, STDIN]))
            self._stdin = -1

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if _wants_more(error):
                return
            raise NetworkError(f"the stream to the container broke: {error}") from error
        if not data:
            self.ended = True
            return
        self.take(data)

    def _write(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            if not _wants_more(error):
                self._unsent.clear()
            return
        del self._unsent[:sent]


def _wants_more(error: OSError) -> bool:
    """True for OpenSSL's signals that it would block; ``ssl`` itself may not be loaded."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _size_changes(*, enabled: bool) -> Iterator[int]:
    """Yield a descriptor that becomes readable when the terminal changes size; -1 if disabled."""
    if not enabled:
        yield -1
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def notify(number: int, frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(writer, b"\0")

    before = signal.signal(signal.SIGWINCH, notify)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)


@contextmanager
def raw_terminal(*, enabled: bool) -> Iterator[None]:
    """Pass every key on as it is while the block runs, and put the terminal back afterwards."""
    if not enabled:
        yield
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        # not TCSAFLUSH, which throws away what was typed or pasted before we were connected
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
