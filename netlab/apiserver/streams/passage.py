"""One HTTP request on its way to a server and back, over a connection that is there already.

Mirrors ``UpgradeAwareHandler`` of ``k8s.io/apimachinery/pkg/util/proxy``: any method, bodies both
ways as they come, upgrades to whatever protocol. The caller's credentials are not handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from netlab.api.streams import ByteStream
from netlab.apiserver.http.exchange import Answer
from netlab.apiserver.streams import backend
from netlab.apiserver.streams.backend import BackendError, BackendResponse
from netlab.apiserver.streams.rewriting import Rewriter, rewrite_html
from netlab.errors import ApiError
from netlab.streaming.connection import TakenConnection, take_connection, watch_departure

LARGEST_PAGE_BYTES = 8 << 20
"""A page is held whole to rewrite its links; a larger one passes as it is."""

LARGEST_ERROR_BYTES = 64 << 10

_HOP_BY_HOP = (
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
_CREDENTIALS = ("authorization", "impersonate-")
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def upgrades(request: web.BaseRequest) -> bool:
    """True when the caller wants to go over to another protocol."""
    connection = request.headers.get("Connection", "").lower()
    return "upgrade" in connection and bool(request.headers.get("Upgrade"))


def status_of(code: int, body: bytes) -> ApiError:
    """Return what a server says with an error code: a Status, or a text, as an error."""
    try:
        told = msgspec.json.decode(body)
        if isinstance(told, dict) and told.get("kind") == "Status":
            return ApiError.from_status(told)
    except msgspec.MsgspecError:
        pass
    text = body.decode("utf-8", "replace").strip()
    return ApiError(code, _REASONS.get(code, "InternalError"), text or f"HTTP status {code}")


class Passage:
    """One request. path: at the server, with the query. host: of the server.

    prefix: what stands before the server's own paths for the caller, into which links are
    rewritten; None leaves them as they are.
    """

    def __init__(
        self, request: web.BaseRequest, path: str, host: str, *, prefix: str | None = None
    ) -> None:
        self._request = request
        self._path = path
        self._host = host
        self._rewriter = (
            None if prefix is None else Rewriter(prefix, host, request.headers.get("Host", ""))
        )

    async def carry(self, stream: ByteStream, *, as_status: bool = False) -> Answer:
        """Send the request and the answer; close the stream.

        as_status: an error of the server is raised, instead of being handed on.

        Raises: ApiError ServiceUnavailable when the server does not answer.
        """
        try:
            async with watch_departure(self._request):
                return await self._exchange(stream, as_status=as_status)
        finally:
            stream.writer.close()

    async def _exchange(self, stream: ByteStream, *, as_status: bool) -> Answer:
        upgrade = upgrades(self._request)
        headers, chunked = self._headers(upgrade=upgrade)
        head = backend.request_head(self._request.method, self._path, headers)
        sending = asyncio.ensure_future(self._send(stream, head, chunked=chunked))
        try:
            try:
                response = await backend.read_response(stream)
            except BackendError as error:
                raise unreachable(str(error)) from error
            if response.code == 101:
                if not upgrade:
                    raise unreachable("the server changes the protocol unasked")
                return await self._tunnel(stream, response)
            if as_status and response.code >= 400:
                raise status_of(response.code, await _read_error(stream, response))
            return await self._answer(stream, response)
        finally:
            sending.cancel()
            await asyncio.wait({sending})

    def _headers(self, *, upgrade: bool) -> tuple[CIMultiDict[str], bool]:
        """The headers for the server, and whether the body goes in chunks."""
        request = self._request
        named = [part.strip().lower() for part in request.headers.get("Connection", "").split(",")]
        headers: CIMultiDict[str] = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
            and name.lower() not in named
            and not name.lower().startswith(_CREDENTIALS)
        )
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if peer:
            earlier = request.headers.getall("X-Forwarded-For", [])
            headers["X-Forwarded-For"] = ", ".join([*earlier, str(peer[0])])
        if self._rewriter is not None:
            headers["X-Forwarded-Uri"] = self._rewriter.join(self._path.partition("?")[0])
        headers["Connection"] = "Upgrade" if upgrade else "close"
        if upgrade:
            headers["Upgrade"] = request.headers["Upgrade"]
        chunked = request.body_exists and "Content-Length" not in headers
        if request.body_exists and headers.pop("Content-Encoding", ""):
            # aiohttp has unpacked it, and its length is another one now
            headers.pop("Content-Length", None)
            chunked = True
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        return headers, chunked

    async def _send(self, stream: ByteStream, head: bytes, *, chunked: bool) -> None:
        # a server may answer, and close, before it has read everything: its answer counts
        with contextlib.suppress(OSError):
            stream.writer.write(head)
            await stream.writer.drain()
            if self._request.body_exists:
                body = self._request.content.iter_any()
                await backend.send_body(stream, body, chunked=chunked)

    async def _answer(self, stream: ByteStream, response: BackendResponse) -> Answer:
        headers = self._answer_headers(response)
        reason = response.reason or None
        if not backend.has_body(self._request.method, response):
            answer = web.StreamResponse(status=response.code, reason=reason, headers=headers)
            await answer.prepare(self._request)
            await answer.write_eof()
            return answer
        body = backend.read_body(stream, response)
        if self._rewriter is not None and self._is_page(response):
            page, complete = await _read_page(body)
            if complete:
                encoding = response.headers.get("Content-Encoding", "")
                headers.pop("Content-Length", None)
                return web.Response(
                    body=rewrite_html(page, encoding, self._rewriter),
                    status=response.code,
                    reason=reason,
                    headers=headers,
                )
            body = _continued(page, body)
        answer = web.StreamResponse(status=response.code, reason=reason, headers=headers)
        await answer.prepare(self._request)
        try:
            async for piece in body:
                await answer.write(piece)
        except BackendError:
            # only closing the connection tells the caller that the body is cut off
            if self._request.transport is not None:
                self._request.transport.abort()
            return answer
        await answer.write_eof()
        return answer

    def _answer_headers(self, response: BackendResponse) -> CIMultiDict[str]:
        named = [part.strip().lower() for part in response.headers.get("Connection", "").split(",")]
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in response.headers.items():
            low = name.lower()
            # those that loosen the browser's rules would do so for the whole API server
            if low in _HOP_BY_HOP or low in named or low.startswith("access-control-"):
                continue
            moved = low == "location" and self._rewriter is not None
            headers.add(name, self._rewriter.url(value) if moved and self._rewriter else value)
        if "Content-Type" not in headers and backend.has_body(self._request.method, response):
            headers["Content-Type"] = "text/plain; charset=utf-8"
        return headers

    def _is_page(self, response: BackendResponse) -> bool:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return kind == "text/html" and "Location" not in response.headers

    async def _tunnel(self, stream: ByteStream, response: BackendResponse) -> Answer:
        taken = take_connection(self._request)
        await taken.write(response.head + response.answer.rest)
        inward = asyncio.ensure_future(_copy_in(taken, stream))
        outward = asyncio.ensure_future(_copy_out(stream, taken))
        try:
            await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.wait({inward, outward})
        return taken.response


def dial_reason(error: OSError) -> str:
    """Return why a connection was not made, as Go words it."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "i/o timeout"
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"connect: {text[:1].lower()}{text[1:]}"


def unreachable(reason: str) -> ApiError:
    """Return the 503 that tells of a server that does not answer."""
    return ApiError(503, "ServiceUnavailable", f"error trying to reach service: {reason}")


async def _read_page(body: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The page, or as much of it as may be held; False when more follows."""
    pieces, size = [], 0
    try:
        async for piece in body:
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_PAGE_BYTES:
                return b"".join(pieces), False
    except BackendError as error:
        raise unreachable(str(error)) from error
    return b"".join(pieces), True


async def _continued(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _copy_in(taken: TakenConnection, stream: ByteStream) -> None:
    with contextlib.suppress(OSError):
        while data := await taken.read():
            stream.writer.write(data)
            await stream.writer.drain()


async def _copy_out(stream: ByteStream, taken: TakenConnection) -> None:
    with contextlib.suppress(OSError):
        while data := await stream.reader.read(backend.READ_BYTES):
            await taken.write(data)


async def _read_error(stream: ByteStream, response: BackendResponse) -> bytes:
    pieces, size = [], 0
    with contextlib.suppress(BackendError):
        async for piece in backend.read_body(stream, response):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_ERROR_BYTES:
                break
    return b"".join(pieces)
