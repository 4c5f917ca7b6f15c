"""Sends GET requests from the node into a pod, and judges the answer as a probe.

Mirrors ``pkg/probe/http``: status 200 to 399 is success; redirects to the same host are followed,
ten at most; one to another host is a success with a warning, for the kubelet does not go there.
Certificates are not verified: a probe asks whether the server works, not who it is.

Errors are worded as Go's http.Client does: ``Get "http://10.244.0.5:81/": dial tcp …``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from netlab.client.http1 import MessageError
from netlab.kubelet.probes.dialing import DialError, cause, dial_tcp
from netlab.kubelet.probes.http_message import (
    Request,
    Response,
    follow,
    read_response,
)
from netlab.kubelet.probes.results import Outcome, ProbeResult

MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
READ_LIMIT_BYTES = 64 * 1024
TIMEOUT_TEXT = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
NOT_TLS_TEXT = "http: server gave HTTP response to HTTPS client"


class HttpError(Exception):
    """A request got no answer; the text is Go's.

    plain_http: the server spoke HTTP where TLS was expected.
    """

    def __init__(self, text: str, *, plain_http: bool = False) -> None:
        super().__init__(text)
        self.plain_http = plain_http


async def probe_http(netns: Path | None, request: Request, timeout_s: float) -> ProbeResult:
    """Return what the request, sent from the namespace, says of the server."""
    try:
        async with asyncio.timeout(timeout_s):
            response = await get(netns, request)
    except TimeoutError:
        return ProbeResult(Outcome.FAILURE, f'Get "{request.url}": {TIMEOUT_TEXT}')
    except HttpError as error:
        return ProbeResult(Outcome.FAILURE, str(error))
    if not 200 <= response.status < 400:
        # without the body, which could hold secrets
        return ProbeResult(Outcome.FAILURE, f"HTTP probe failed with statuscode: {response.status}")
    text = response.body.decode(errors="replace")
    if response.status >= 300:
        return ProbeResult(Outcome.WARNING, f"Probe terminated redirects, Response body: {text}")
    return ProbeResult(Outcome.SUCCESS, text)


async def get(netns: Path | None, request: Request) -> Response:
    """Return the last answer on the way; the caller bounds the time.

    Raises: HttpError.
    """
    first_host = request.url.host
    for _ in range(MAX_REDIRECTS):
        response = await _exchange(netns, request)
        if response.status not in REDIRECTS or not response.location:
            return response
        url = follow(request.url, response.location)
        if url is None:
            raise HttpError(
                f'Get "{response.location}": unsupported protocol scheme or malformed Location'
            )
        if url.host != first_host:
            return response
        # a name given as header goes along only while the redirect names no host itself
        named = "//" in response.location.partition("?")[0]
        host_header = "" if named else request.host_header
        request = replace(request, url=url, host_header=host_header)
    raise HttpError(f'Get "{request.url}": stopped after {MAX_REDIRECTS} redirects')


async def _exchange(netns: Path | None, request: Request) -> Response:
    try:
        async with _connection(netns, request) as (reader, writer):
            writer.write(request.encode())
            await writer.drain()
            return await read_response(reader)
    except (DialError, MessageError) as error:
        raise HttpError(f'Get "{request.url}": {error}') from error
    except ssl.SSLError as error:
        plain = error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
        text = NOT_TLS_TEXT if plain else f"remote error: tls: {_tls_text(error)}"
        raise HttpError(f'Get "{request.url}": {text}', plain_http=plain) from error
    except OSError as error:
        raise HttpError(f'Get "{request.url}": read tcp: read: {cause(error)}') from error


def _tls_text(error: ssl.SSLError) -> str:
    words = (error.reason or "handshake failure").lower().replace("_", " ")
    for prefix in ("sslv3 alert ", "tlsv1 alert ", "tlsv13 alert "):
        words = words.removeprefix(prefix)
    return words


@asynccontextmanager
async def _connection(
    netns: Path | None, request: Request
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    url = request.url
    connection = await dial_tcp(netns, url.host, url.port)
    try:
        if url.scheme == "https":
            reader, writer = await asyncio.open_connection(
                sock=connection,
                ssl=_unverified(),
                server_hostname=url.host,
                limit=READ_LIMIT_BYTES,
            )
        else:
            reader, writer = await asyncio.open_connection(sock=connection, limit=READ_LIMIT_BYTES)
    except BaseException:
        connection.close()
        raise
    try:
        yield reader, writer
    finally:
        # no farewell: the server may have gone, and its answer is read
        writer.transport.abort()
        with contextlib.suppress(Exception):
            await writer.wait_closed()


def _unverified() -> ssl.SSLContext:
    # not the default context: it reads all authorities of the system, for 20 ms
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # old keys and ciphers are the server's business, not the probe's
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
