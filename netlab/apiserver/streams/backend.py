"""Speaks HTTP/1.1 to a server in the lab, over a connection that a node has made.

A client of exactly one request per connection, for the proxy: headers go through as they came, so
nothing is decoded, followed or added behind the caller's back. The body ends as RFC 9112 section
6.3 says: by length, in chunks, or with the connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from multidict import CIMultiDict, CIMultiDictProxy

from netlab.api.streams import ByteStream

READ_BYTES = 256 * 1024
LONGEST_LINE_BYTES = 64 * 1024
MOST_HEADERS = 256
ANSWER_TIMEOUT_S = 600.0
"""For the first byte of an answer; a page that takes longer is taken for lost."""


class BackendError(Exception):
    """The server does not speak HTTP, or stops in the middle; the text is worded as Go's."""


@dataclass(frozen=True, slots=True)
class BackendResponse:
    """The head of an answer."""

    code: int
    reason: str
    headers: CIMultiDictProxy[str]
    head: bytes


async def start_tls(stream: ByteStream, host: str) -> None:
    """Go over to TLS. The certificate is not checked: it is not made for the pod's address.

    Raises: BackendError.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        await stream.writer.start_tls(context, server_hostname=host)
    except ssl.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            raise BackendError("http: server gave HTTP response to HTTPS client") from error
        raise BackendError(f"tls: {error.reason or error}") from error
    except OSError as error:
        raise BackendError("EOF") from error


def request_head(method: str, path: str, headers: CIMultiDict[str]) -> bytes:
    """Return the bytes that begin a request."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def send_body(stream: ByteStream, pieces: AsyncIterator[bytes], *, chunked: bool) -> None:
    """Send a body. Raises: OSError."""
    writer = stream.writer
    async for piece in pieces:
        if chunked:
            writer.writelines((f"{len(piece):x}\r\n".encode(), piece, b"\r\n"))
        else:
            writer.write(piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def read_response(stream: ByteStream) -> BackendResponse:
    """Return the head of the final answer; ``100 Continue`` and its like are passed over.

    Raises: BackendError.
    """
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                response = await _read_head(stream.reader)
                if response.code >= 200 or response.code == 101:
                    return response
    except TimeoutError as error:
        raise BackendError("net/http: timeout awaiting response headers") from error
    except asyncio.IncompleteReadError as error:
        raise BackendError("unexpected EOF" if error.partial else "EOF") from error
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise BackendError("net/http: server response headers exceeded the limit") from error
    except OSError as error:
        raise BackendError(f"read tcp: {(error.strerror or 'i/o error').lower()}") from error


async def _read_head(reader: asyncio.StreamReader) -> BackendResponse:
    first = await reader.readuntil(b"\n")
    words = first.decode("latin-1").rstrip("\r\n").split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        shown = first.decode("latin-1").rstrip("\r\n")[:64]
        raise BackendError(
            f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{shown}"'
        )
    head = [first]
    headers: CIMultiDict[str] = CIMultiDict()
    while (line := await reader.readuntil(b"\n")).strip():
        head.append(line)
        name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
        if not colon or len(head) > MOST_HEADERS:
            raise BackendError(
                "net/http: HTTP/1.x transport connection broken: malformed MIME header"
            )
        headers.add(name.strip(), value.strip())
    head.append(line)
    reason = words[2] if len(words) > 2 else ""
    return BackendResponse(int(words[1]), reason, CIMultiDictProxy(headers), b"".join(head))


def has_body(method: str, response: BackendResponse) -> bool:
    """True when a body follows the head."""
    return method != "HEAD" and response.code >= 200 and response.code not in (204, 304)


async def read_body(stream: ByteStream, response: BackendResponse) -> AsyncIterator[bytes]:
    """Yield the body. Raises: BackendError when it is cut off."""
    reader = stream.reader
    try:
        if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
            async for piece in _read_chunks(reader):
                yield piece
        elif "Content-Length" in response.headers:
            async for piece in _read_exactly(reader, int(response.headers["Content-Length"])):
                yield piece
        else:
            while piece := await reader.read(READ_BYTES):
                yield piece
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise BackendError("unexpected EOF") from error


async def _read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\n")
        size = int(line.partition(b";")[0].strip(), 16)
        if size <= 0:
            break
        async for piece in _read_exactly(reader, size):
            yield piece
        await reader.readuntil(b"\n")
    while (await reader.readuntil(b"\n")).strip():
        pass  # trailers say nothing that a browser reads


async def _read_exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await reader.read(min(size, READ_BYTES))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece
