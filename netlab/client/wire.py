"""HTTP/1.1 on a bare socket: connections, answers, chunks.

The part of the wire format that an API server uses, for ``blocking``. Answers come piece by piece,
so that logs and watches are shown as they happen.
"""

from __future__ import annotations

from netlab.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

MAX_HEADER_BYTES = 65536


class ConnectError(HostError):
    """The API server could not be reached; the message is worded as kubectl words it."""


class Response:
    """An answer whose body is still on the wire. headers: names in lower case."""

    def __init__(
        self, connection: Connection, status: int, headers: dict[str, str], *, has_body: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._length = int(length) if length and not self._chunked else None
        self._done = not has_body
        if headers.get("connection", "").lower() == "close" or (
            has_body and not self._chunked and self._length is None
        ):
            connection.keep = False
        if self._done:
            connection.finish()

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes in; pieces are cut anywhere."""
        if self._done:
            return
        if self._chunked:
            yield from self._chunks()
        elif self._length is None:
            while piece := self._connection.read_some():
                yield piece
        else:
            left = self._length
            while left:
                piece = self._connection.read_some(left)
                if not piece:
                    raise ConnectError("the server closed the connection within an answer")
                left -= len(piece)
                yield piece
        self._done = True
        self._connection.finish()

    def _chunks(self) -> Iterator[bytes]:
        connection = self._connection
        while True:
            line = connection.read_line()
            if not line:
                raise ConnectError("unexpected EOF")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while connection.read_line() not in (b"\r\n", b""):
                    pass
                return
            yield connection.read_exactly(size)
            connection.read_line()

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, with its line ends, each as soon as it is complete."""
        pending = b""
        for piece in self.chunks():
            pending += piece
            *complete, pending = pending.split(b"\n")
            for line in complete:
                yield line + b"\n"
        if pending:
            yield pending

    def close(self) -> None:
        """Give up on the rest of the body; the connection is closed."""
        self._done = True
        self._connection.close()


class Connection:
    """A socket with a read buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.keep = True
        self.used = False
        self._buffer = b""

    def read_some(self, limit: int = 65536) -> bytes:
        if self._buffer:
            piece, self._buffer = self._buffer[:limit], self._buffer[limit:]
            return piece
        return self.sock.recv(limit)

    def read_line(self) -> bytes:
        while b"\n" not in self._buffer:
            piece = self.sock.recv(65536)
            if not piece:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += piece
            if len(self._buffer) > MAX_HEADER_BYTES and b"\n" not in self._buffer:
                raise ConnectError("the server sent a line that is too long")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def read_exactly(self, size: int) -> bytes:
        pieces: list[bytes] = []
        while size:
            piece = self.read_some(size)
            if not piece:
                raise ConnectError("unexpected EOF")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def take_buffer(self) -> bytes:
        """Return bytes that were read beyond an answer, as after a protocol switch."""
        left, self._buffer = self._buffer, b""
        return left

    def finish(self) -> None:
        if not self.keep:
            self.close()

    def close(self) -> None:
        self.keep = False
        self.sock.close()


def encode_query(query: Mapping[str, str]) -> str:
    """Return the query string, escaped."""
    from netlab.client.escape import quote

    return "&".join(f"{quote(key)}={quote(value)}" for key, value in query.items())


def parse_warning(value: str) -> str:
    """Return the text of a ``Warning`` header: ``299 - "text"``; "" for other codes or none."""
    code, _, rest = value.partition(" ")
    _, _, quoted = rest.partition(" ")
    if code != "299" or not quoted.startswith('"'):
        return ""
    text: list[str] = []
    characters = iter(quoted[1:])
    for character in characters:
        if character == '"':
            break
        text.append(next(characters, "") if character == "\\" else character)
    return "".join(text)
