"""The frames of SPDY/3.1: bytes to frames and back.

Kubernetes carries the streams of exec, attach and port-forward in SPDY connections, which nothing
else uses any more (Go clients: ``moby/spdystream``). Pure.

A control frame is 1 bit one, 15 bits version (3), 16 bits type, 8 bits flags, 24 bits length; a
data frame is 1 bit zero, 31 bits stream, 8 bits flags, 24 bits length. Names and values of headers
go through one zlib stream per direction and connection, so header blocks must be made and read in
the order in which they travel.

Data frames may be 16 MB long; ``FrameReader`` hands them on in the pieces in which they arrive.

Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = (
    1, 2, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
FLAG_FIN = 1
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, FLOW_CONTROL_ERROR = 1, 2, 3, 5, 7
INITIAL_WINDOW_SIZE = 7
"""The setting that tells how much may be sent on a new stream."""

FIRST_WINDOW_BYTES = 64 * 1024
LONGEST_CONTROL_BYTES = 64 * 1024
LONGEST_HEADERS_BYTES = 256 * 1024
"""Of a header block when it is uncompressed: a few bytes of zlib can say a gigabyte."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url "
    "public set-cookie keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = (word.replace("_", " ").encode() for word in _WORDS.split())
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()
"""What zlib knows before the first header block; its Adler-32 is e3c6a7c2."""


class SpdyError(Exception):
    """The peer breaks the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """The peer opens a stream. fin: it will send nothing on it."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream. fin: the last one; data may be empty."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class SynReply:
    """The peer accepts a stream that we opened."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Headers:
    """The peer adds headers to a stream."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class RstStream:
    """The peer ends a stream in both directions."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The peer's settings, by number."""

    values: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Ping:
    """A sign of life; odd numbers are the client's."""

    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer will accept no further streams."""

    last_stream: int
    status: int


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """The peer has consumed data: that much more may be sent. stream 0: on all together."""

    stream: int
    delta: int


Frame: TypeAlias = (
    SynStream | SynReply | RstStream | Settings | Ping | GoAway | Headers | WindowUpdate | Data
)


class FrameReader:
    """Turns what arrives into frames, in order."""

    def __init__(self) -> None:
        self._rest = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        # of the data frame whose end has not arrived yet
        self._stream, self._missing, self._fin = 0, 0, False

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames, and pieces of data frames, that ``data`` completes.

        Raises: SpdyError.
        """
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        position, end = 0, len(data)
        while position < end:
            if self._missing:
                piece = data[position : position + self._missing]
                position += len(piece)
                self._missing -= len(piece)
                frames.append(Data(self._stream, piece, self._fin and not self._missing))
                continue
            if end - position < 8:
                break
            first, second = struct.unpack_from(">II", data, position)
            length = second & 0xFFFFFF
            if not first & 0x80000000:
                position += 8
                self._begin_data(first, second >> 24, length)
                if not length and self._fin:
                    frames.append(Data(self._stream, b"", fin=True))
                continue
            if length > LONGEST_CONTROL_BYTES:
                raise SpdyError(f"control frame of {length} bytes")
            if end - position - 8 < length:
                break
            body = data[position + 8 : position + 8 + length]
            position += 8 + length
            frame = self._control(first, second >> 24, body)
            if frame is not None:
                frames.append(frame)
        self._rest = data[position:]
        return frames

    def _begin_data(self, stream: int, flags: int, length: int) -> None:
        self._stream, self._missing, self._fin = stream, length, bool(flags & FLAG_FIN)

    def _control(self, first: int, flags: int, body: bytes) -> Frame | None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != 3:
            raise SpdyError(f"version {version} of SPDY")
        try:
            return self._parse(kind, bool(flags & FLAG_FIN), body)
        except (struct.error, zlib.error) as error:
            raise SpdyError(f"frame of type {kind}: {error}") from error

    def _parse(self, kind: int, fin: bool, body: bytes) -> Frame | None:
        if kind == SETTINGS:
            return _settings(body)
        if kind == PING:
            return Ping(*struct.unpack(">I", body))
        if kind not in (SYN_STREAM, SYN_REPLY, HEADERS, RST_STREAM, GOAWAY, WINDOW_UPDATE):
            return None  # unknown frames are to be ignored
        stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        if kind == SYN_STREAM:
            return SynStream(stream, self._headers(body[10:]), fin)
        if kind == SYN_REPLY:
            return SynReply(stream, self._headers(body[4:]), fin)
        if kind == HEADERS:
            return Headers(stream, self._headers(body[4:]), fin)
        (value,) = struct.unpack_from(">I", body, 4)
        if kind == RST_STREAM:
            return RstStream(stream, value)
        if kind == GOAWAY:
            return GoAway(stream, value)
        return WindowUpdate(stream, value & 0x7FFFFFFF)

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, LONGEST_HEADERS_BYTES)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {LONGEST_HEADERS_BYTES} bytes")
        (count,) = struct.unpack_from(">I", plain)
        position = 4
        headers = {}
        for _ in range(count):
            name, position = _text(plain, position)
            value, position = _text(plain, position)
            headers[name.lower()] = value.partition("\0")[0]
        return headers


def _text(plain: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", plain, position)
    position += 4
    if length > len(plain) - position:
        raise SpdyError("a header is longer than its block")
    return plain[position : position + length].decode("latin-1"), position + length


def _settings(body: bytes) -> Settings:
    (count,) = struct.unpack_from(">I", body)
    if len(body) != 4 + 8 * count:
        raise SpdyError("settings of the wrong length")
    pairs = (struct.unpack_from(">II", body, 4 + 8 * index) for index in range(count))
    return Settings({key & 0xFFFFFF: value for key, value in pairs})


class FrameWriter:
    """Makes frames. Those with headers must be sent in the order in which they are made."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """Open a stream."""
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _control_frame(SYN_STREAM, body, fin=fin)

    def syn_reply(self, stream: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Accept a stream."""
        return _control_frame(SYN_REPLY, struct.pack(">I", stream) + self._block(headers or {}))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode("latin-1"), value.encode("latin-1")):
                parts += [struct.pack(">I", len(text)), text]
        plain = b"".join(parts)
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control_frame(kind: int, body: bytes, *, fin: bool = False) -> bytes:
    flags = FLAG_FIN if fin else 0
    return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(body)) + body


def data_frame(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    """Return a piece of a stream; at most 16 MB."""
    flags = FLAG_FIN if fin else 0
    return struct.pack(">II", stream, flags << 24 | len(data)) + data


def rst_stream(stream: int, status: int) -> bytes:
    """Return the end of a stream in both directions."""
    return _control_frame(RST_STREAM, struct.pack(">II", stream, status))


def ping(number: int) -> bytes:
    """Return a sign of life, or the answer to one."""
    return _control_frame(PING, struct.pack(">I", number))


def go_away(last_stream: int, status: int = 0) -> bytes:
    """Return the end of the connection; status 1: because the peer broke the protocol."""
    return _control_frame(GOAWAY, struct.pack(">II", last_stream, status))


def window_update(stream: int, delta: int) -> bytes:
    """Return leave to send ``delta`` more bytes; stream 0: on all together."""
    return _control_frame(WINDOW_UPDATE, struct.pack(">II", stream, delta))
