"""Speaks HTTP/1.1 to a server in the lab, over a connection that a node has made.

A client of exactly one request per connection, for the proxy: headers go through as they came, so
nothing is decoded, followed or added behind the caller's back. How answers are read:
``client.http1``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from multidict import CIMultiDict, CIMultiDictProxy

from netlab.api.streams import ByteStream
from netlab.client.http1 import Answer, MessageError

READ_BYTES = 256 * 1024
ANSWER_TIMEOUT_S = 600.0
"""For the first byte of an answer; a page that takes longer is taken for lost."""


class BackendError(Exception):
    """The server does not speak HTTP, or stops in the middle; the text is worded as Go's."""


@dataclass(frozen=True, slots=True)
class BackendResponse:
    """The head of an answer. head: its bytes; answer: what is to come, and what came beyond it."""

    code: int
    reason: str
    headers: CIMultiDictProxy[str]
    head: bytes
    answer: Answer


async def start_tls(stream: ByteStream, host: str, context: ssl.SSLContext | None = None) -> None:
    """Go over to TLS. context: None does not check the certificate, for one that is not made for
    a pod's address.

    Raises: BackendError.
    """
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        await stream.writer.start_tls(context, server_hostname=host)
    except ssl.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error) or "HTTP_REQUEST" in str(error):
            raise BackendError("http: server gave HTTP response to HTTPS client") from error
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"tls: failed to verify certificate: x509: {error.verify_message}"
            raise BackendError(text) from error
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
    answer = Answer()
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while answer.head is None:
                answer.feed(await stream.reader.read(READ_BYTES))
    except TimeoutError as error:
        raise BackendError("net/http: timeout awaiting response headers") from error
    except MessageError as error:
        raise BackendError(str(error)) from error
    except OSError as error:
        raise BackendError(f"read tcp: {(error.strerror or 'i/o error').lower()}") from error
    head = answer.head
    headers = CIMultiDictProxy(CIMultiDict(head.fields))
    return BackendResponse(head.status, head.reason, headers, head.raw, answer)


def has_body(method: str, response: BackendResponse) -> bool:
    """True when a body follows the head."""
    return method != "HEAD" and response.code >= 200 and response.code not in (204, 304)


async def read_body(stream: ByteStream, response: BackendResponse) -> AsyncIterator[bytes]:
    """Yield the body. Raises: BackendError when it is cut off."""
    answer = response.answer
    try:
        while True:
            if piece := answer.take():
                yield piece
            if answer.done:
                return
            answer.feed(await stream.reader.read(READ_BYTES))
    except (OSError, MessageError) as error:
        raise BackendError("unexpected EOF") from error
