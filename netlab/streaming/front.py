"""Connections of clients: how long they may take, and what they are told when they speak no HTTP.

Stands where Go's ``net/http`` server stands in front of kube-apiserver and the kubelet, with a time
limit for headers (``ReadHeaderTimeout``, 32 s in the former). A client that has begun a request and
not ended its headers by then is cut off, as is one whose headers grow without end.

Rule for callers: who reads bodies sets a time limit of its own (``Exchange.body``, in the API
server).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from netlab.errors import ApiError

HEADER_TIMEOUT_S = 32.0
"""From the first byte of a request to the end of its headers."""

LONGEST_LINE_BYTES = 1 << 20
"""A selector or a token may be long; Go's server allows 1 MB of headers."""

LONGEST_HEADERS_BYTES = 2 * LONGEST_LINE_BYTES


class Front(web.Server):
    """A server of HTTP connections with time limits.

    handler, request_factory, settings: as ``web.Server`` takes them.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        header_timeout_s: float | None = None,
        **settings: Any,
    ) -> None:
        limits: dict[str, Any] = {
            "max_line_size": LONGEST_LINE_BYTES,
            "max_field_size": LONGEST_LINE_BYTES,
        }
        # a compressed body is refused, not blown up while it is read
        super().__init__(handler, auto_decompress=False, **limits, **settings)
        self._settings = {"auto_decompress": False, **limits, **_for_connections(settings)}
        self._header_timeout_s = header_timeout_s or HEADER_TIMEOUT_S

    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        return Connection(self, self._header_timeout_s, loop=loop, **self._settings)


def _for_connections(settings: dict[str, Any]) -> dict[str, Any]:
    of_server = ("request_factory", "handler_cancellation", "loop")
    return {name: value for name, value in settings.items() if name not in of_server}


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_begun_bytes", "_deadline", "_header_timeout_s")

    def __init__(self, front: Front, header_timeout_s: float, **settings: Any) -> None:
        super().__init__(front, **settings)
        self._header_timeout_s = header_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._begun_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._headers_ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, watching over a request that has begun."""
        before = self._request_count
        super().data_received(data)
        if self._request_count > before or self._upgraded:
            self._headers_ended()
        elif self._waiter is not None:
            # between requests: what arrived is the beginning of the next one's headers
            self._begun_bytes += len(data)
            if self._begun_bytes > LONGEST_HEADERS_BYTES:
                self.force_close()
            elif self._deadline is None:
                self._await_headers()

    def _await_headers(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._header_timeout_s, self._cut_off)

    def _headers_ended(self) -> None:
        self._begun_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut_off(self) -> None:
        self._deadline = None
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; a fault of the client's leaves no trace in the log.

        Raises: ConnectionError when the client has gone away: nobody is left to answer to.
        """
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        # the parser's own picture of the place follows the first line
        text = (message or "malformed HTTP request").partition("\n")[0].rstrip(": ")
        body = json.dumps(ApiError(status, "BadRequest", text).status()).encode()
        response = web.Response(status=status, body=body, content_type="application/json")
        response.force_close()
        return response
