"""HTTP/1.1 answers as bytes come in: head, body, and what stands behind them. No I/O.

RFC 9112, as much of it as one answer needs: interim answers (1xx) are passed over; a body ends by
its length, with its last chunk, or with the connection. Whoever owns the connection feeds what it
has read, and takes what has become of it; so the command line's blocking sockets, the DNS server,
the kubelet's probes and the API server's proxy all read alike.

Errors are worded as Go's net/http words them, for people compare them with Kubernetes'. Lines end
with LF or CR LF, as Go takes them. Left out: trailers (passed over), transfer codings but
``chunked``.
"""

from __future__ import annotations

MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 256
MAX_INTERIM_ANSWERS = 5
# what a body does not follow, whatever its headers say
_WITHOUT_BODY = (101, 204, 304)
_BROKEN = "net/http: HTTP/1.x transport connection broken: "
TOO_LARGE = "net/http: server response headers exceeded limit"


class MessageError(Exception):
    """The other side does not speak HTTP, or stops in the middle."""


class Head:
    """The head of an answer. fields: names and values as they came, in order; raw: the bytes."""

    __slots__ = ("fields", "raw", "reason", "status")

    def __init__(
        self, status: int, reason: str, fields: tuple[tuple[str, str], ...], raw: bytes
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.raw = raw

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a header; name in lower case."""
        return next((value for key, value in self.fields if key.lower() == name), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a header; name in lower case."""
        return tuple(value for key, value in self.fields if key.lower() == name)


class Answer:
    """One answer on its way in.

    Use: ``feed`` what was read (b"" when the connection has ended); ``head`` is set once it is
    complete; ``take`` the body's pieces; ``done`` says that nothing of it is to come; ``rest`` is
    what was read beyond it. to_head: the request was a HEAD, whose answer has no body.
    """

    __slots__ = (
        "_buffer", "_chunked", "_first", "_interim", "_left", "_lines", "_pieces", "_state",
        "ended", "head",
    )  # fmt: skip

    def __init__(self, *, to_head: bool = False) -> None:
        self.head: Head | None = None
        self.ended = False
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._pieces: list[bytes] = []
        self._interim = 0
        self._first = to_head
        self._chunked = False
        self._left: int | None = None
        self._state = self._read_head

    @property
    def done(self) -> bool:
        """True when the answer is complete."""
        return self._state == self._finished

    @property
    def keeps_connection(self) -> bool:
        """True when the connection may be used for another request after this answer."""
        head = self.head
        if head is None or self.ended or head.get("connection").lower() == "close":
            return False
        return self._chunked or self._left is not None

    @property
    def rest(self) -> bytes:
        """What was read beyond the answer."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what was read; b"" tells that the connection has ended.

        Raises: MessageError.
        """
        if not data:
            self._end()
            return
        self._buffer += data
        while self._state():
            pass

    def take(self) -> bytes:
        """Return what came of the body since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken

    def _end(self) -> None:
        self.ended = True
        if self.done:
            return
        if self.head is None:
            began = bool(self._buffer or self._lines)
            raise MessageError("unexpected EOF" if began else "EOF")
        if self._chunked or self._left is not None:
            raise MessageError("unexpected EOF")
        self._state = self._finished

    # each of these takes one step in the buffer and returns whether another may follow ----------

    def _line(self, too_long: str = TOO_LARGE) -> bytes | None:
        end = self._buffer.find(b"\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_LINE_BYTES:
                raise MessageError(too_long)
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _read_head(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._lines.append(line)
        if len(self._lines) == 1:
            _status(line)
        elif not line.strip():
            self._head_complete()
        elif len(self._lines) > MAX_HEADERS:
            raise MessageError(TOO_LARGE)
        return True

    def _head_complete(self) -> None:
        head = _parse_head(self._lines)
        self._lines = []
        if head.status < 200 and head.status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM_ANSWERS:
                raise MessageError("net/http: too many 1xx informational responses")
            return
        self.head = head
        self._chunked = "chunked" in head.get("transfer-encoding").lower()
        if self._first or head.status in _WITHOUT_BODY:
            self._chunked, self._left = False, 0
        elif not self._chunked:
            self._left = _length(head.get("content-length"))
        self._state = self._read_chunk_size if self._chunked else self._read_body
        if self._left == 0 and not self._chunked:
            self._state = self._finished

    def _read_body(self) -> bool:
        size = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        if not size:
            return False
        self._pieces.append(bytes(self._buffer[:size]))
        del self._buffer[:size]
        if self._left is not None:
            self._left -= size
            if not self._left:
                self._state = self._read_chunk_end if self._chunked else self._finished
        return True

    def _read_chunk_size(self) -> bool:
        line = self._line("http chunk header line too long")
        if line is None:
            return False
        try:
            self._left = int(line.partition(b";")[0].strip(), 16)
        except ValueError as error:
            raise MessageError("invalid byte in chunk length") from error
        if self._left < 0:
            raise MessageError("invalid byte in chunk length")
        self._state = self._read_body if self._left else self._read_trailers
        return True

    def _read_chunk_end(self) -> bool:
        line = self._line("malformed chunked encoding")
        if line is None:
            return False
        if line.strip():
            raise MessageError("malformed chunked encoding")
        self._state = self._read_chunk_size
        return True

    def _read_trailers(self) -> bool:
        line = self._line()
        if line is not None and not line.strip():
            self._state = self._finished
        return line is not None

    def _finished(self) -> bool:
        return False


def _status(line: bytes) -> tuple[int, str]:
    """Return code and reason of a status line."""
    version, _, rest = line.rstrip(b"\r\n").partition(b" ")
    code, _, reason = rest.partition(b" ")
    if not version.startswith(b"HTTP/") or len(code) != 3 or not code.isdigit():
        shown = line.rstrip(b"\r\n")[:64].decode("latin-1")
        shown = shown.encode("unicode_escape").decode().replace('"', '\\"')
        raise MessageError(f'{_BROKEN}malformed HTTP response "{shown}"')
    return int(code), reason.decode("latin-1")


def _parse_head(lines: list[bytes]) -> Head:
    status, reason = _status(lines[0])
    fields = []
    for line in lines[1:-1]:
        name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
        if not colon:
            raise MessageError(f"{_BROKEN}malformed MIME header line: {name.strip()}")
        fields.append((name.strip(), value.strip()))
    return Head(status, reason, tuple(fields), b"".join(lines))


def _length(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise MessageError(f'{_BROKEN}bad Content-Length "{text}"')
    return int(text)
