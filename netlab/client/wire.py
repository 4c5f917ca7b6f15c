"""Answers of an API server on a bare socket, for ``blocking``.

They come piece by piece, so that logs and watches are shown as they happen. How the bytes are read:
``http1``.
"""

from __future__ import annotations

from netlab.client.http1 import Answer, MessageError
from netlab.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

READ_BYTES = 65536


class ConnectError(HostError):
    """The API server could not be reached; the message is worded as kubectl words it."""


class Response:
    """An answer whose body is still on the wire. headers: names in lower case; the values of one
    that came several times stand in lines.
    """

    def __init__(self, connection: Connection, answer: Answer) -> None:
        head = answer.head
        assert head is not None, "an answer begins with its head"
        self.status = head.status
        self.headers: dict[str, str] = {}
        for name, value in head.fields:
            key = name.lower()
            before = self.headers.get(key)
            self.headers[key] = value if before is None else f"{before}\n{value}"
        self._connection = connection
        self._answer = answer
        if not answer.keeps_connection:
            connection.keep = False
        if answer.done and self.status != 101:
            connection.finish()

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes in; pieces are cut anywhere."""
        answer = self._answer
        while True:
            if piece := answer.take():
                yield piece
            if answer.done:
                break
            self._connection.feed(answer)
        self._connection.finish()

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

    @property
    def beyond(self) -> bytes:
        """What was read beyond the answer, as after a protocol switch."""
        return self._answer.rest

    def close(self) -> None:
        """Give up on the rest of the body; the connection is closed."""
        self._connection.close()


class Connection:
    """A socket that answers come from, one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.keep = True
        self.used = False

    def exchange(self, request: bytes, *, to_head: bool = False) -> Response:
        """Send a request and return its answer when its head is there.

        Raises: ConnectError, OSError.
        """
        self.sock.sendall(request)
        answer = Answer(to_head=to_head)
        while answer.head is None:
            self.feed(answer)
        self.used = True
        return Response(self, answer)

    def feed(self, answer: Answer) -> None:
        """Read some more of the answer."""
        try:
            answer.feed(self.sock.recv(READ_BYTES))
        except MessageError as error:
            raise ConnectError(str(error)) from error

    def finish(self) -> None:
        """Close the connection unless it may be used again."""
        if not self.keep:
            self.close()

    def close(self) -> None:
        """Close the connection."""
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
