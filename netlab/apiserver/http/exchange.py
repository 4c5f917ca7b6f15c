"""One request and what is known about it, and the answers every handler gives.

Mirrors ``k8s.io/apiserver/pkg/endpoints/handlers/responsewriters``.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from aiohttp import web
from multidict import CIMultiDict

from netlab.api.field_errors import bad_request
from netlab.api.view import Object
from netlab.apiserver.http.negotiation import PLAIN, YAML, Output, body_type, negotiate
from netlab.apiserver.http.parameters import truth
from netlab.apiserver.http.rendering import Form, encode_object
from netlab.apiserver.requests import UserInfo
from netlab.errors import ApiError

# Kubernetes' own limit, from etcd's: larger objects could not be stored there.
BODY_LIMIT_BYTES = 3 * 1024 * 1024

# Kubernetes ends every request that is no watch or stream after a minute, slow bodies with it.
BODY_TIMEOUT_S = 60.0

# What is decoded on the event loop: some milliseconds of work at most.
INLINE_BYTES = 32 * 1024

# Programs that people read with get JSON with line breaks, as from Kubernetes.
_READ_BY_PEOPLE = ("curl", "Wget", "Mozilla/5.0")

Answer: TypeAlias = web.StreamResponse
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request. path: raw, without the query; query: the first value of each parameter.

    decoders: threads that decode long bodies; few, because they share the interpreter with the
    event loop.
    """

    request: web.BaseRequest
    path: str
    query: dict[str, str]
    user: UserInfo
    now: datetime
    decoders: Executor | None = None

    @property
    def accept(self) -> str:
        """The Accept header, "" when absent."""
        return self.request.headers.get("Accept", "")

    def form(self) -> Form:
        """Return how the answer shall look.

        Raises: ApiError NotAcceptable (406).
        """
        return Form(
            negotiate(self.accept),
            self.now,
            self.query.get("includeObject", "Metadata"),
            self._pretty(),
        )

    def object_form(self) -> Form:
        """Return the form for an answer that is no Table: a review, the answer to a Binding.

        Raises: ApiError NotAcceptable (406) when the caller takes nothing but tables.
        """
        return Form(
            Output(negotiate(self.accept, shapes=False).media_type), self.now, pretty=self._pretty()
        )

    def plain_form(self) -> Form:
        """Return the form for an answer that has only one: JSON."""
        return Form(PLAIN, self.now, pretty=self._pretty())

    def status_form(self) -> Form:
        """Return the form for a Status: never a table, and JSON when nothing fits."""
        try:
            media_type = negotiate(self.accept, shapes=False).media_type
        except ApiError:
            return self.plain_form()
        return Form(Output(media_type), self.now, pretty=self._pretty())

    def _pretty(self) -> bool:
        if "pretty" in self.query:
            return truth(self.query["pretty"])
        return self.request.headers.get("User-Agent", "").startswith(_READ_BY_PEOPLE)

    async def body(self) -> bytes:
        """Return the body.

        Raises: ApiError RequestEntityTooLarge (413), UnsupportedMediaType (415) for a compressed
        one, Timeout (504) for one that does not arrive in time.
        """
        encoding = self.request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise ApiError(
                415,
                "UnsupportedMediaType",
                f"the body of the request has the content encoding {encoding}, which is not read:"
                " send it as it is",
            )
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self.request.read()
        except TimeoutError as error:
            raise request_timeout() from error
        except web.HTTPRequestEntityTooLarge as error:
            raise ApiError(
                413,
                "RequestEntityTooLarge",
                f"Request entity too large: limit is {BODY_LIMIT_BYTES}",
            ) from error

    async def decoded(self, decode: Callable[[bytes, str], T]) -> T:
        """Return what ``decode(body, media type)`` makes of the body, off the event loop if long.

        The one place where what a client sent is turned into objects: whatever goes wrong in it is
        the client's fault.

        Raises: ApiError, BadRequest (400) for a body that cannot be decoded.
        """
        return await self.decode(await self.body(), self.body_type(), decode)

    async def decode(self, data: bytes, media_type: str, decode: Callable[[bytes, str], T]) -> T:
        """Do what ``decoded`` does with a body that has been read."""
        return await decode_body(data, media_type, decode, self.decoders)

    def body_type(self) -> str:
        """Return the body's media type.

        Raises: ApiError UnsupportedMediaType (415).
        """
        return body_type(self.request.headers.get("Content-Type", ""))


async def decode_body(
    data: bytes,
    media_type: str,
    decode: Callable[[bytes, str], T],
    decoders: Executor | None = None,
) -> T:
    """Do what ``Exchange.decoded`` does; decoders: threads for long bodies, None for asyncio's."""
    try:
        # YAML is slow, and few bytes of it may say a lot
        if len(data) <= INLINE_BYTES and media_type != YAML:
            return decode(data, media_type)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(decoders, decode, data, media_type)
    except ApiError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        log.debug("decoding a body failed", exc_info=error)
        text = str(error) or type(error).__name__
        raise bad_request(f"the body of the request could not be decoded: {text}") from error


def request_timeout() -> ApiError:
    """Return the 504 that Kubernetes answers to what took too long."""
    return ApiError(
        504,
        "Timeout",
        "Timeout: request did not complete within requested timeout - context deadline exceeded",
    )


def base_headers(content_type: str, warnings: Iterable[str] = ()) -> CIMultiDict[str]:
    """Return the headers of every answer."""
    headers = CIMultiDict(
        {
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Content-Type": content_type,
        }
    )
    for warning in warnings:
        headers.add("Warning", warning_header(warning))
    return headers


def warning_header(text: str) -> str:
    """Return a warning as RFC 7234 writes it, with the code Kubernetes uses."""
    clean = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{clean}"'


def answer_bytes(
    body: bytes, content_type: str, *, code: int = 200, warnings: Iterable[str] = ()
) -> web.Response:
    """Return an answer whose bytes are ready."""
    return web.Response(body=body, status=code, headers=base_headers(content_type, warnings))


def answer_object(
    obj: Object, form: Form, *, code: int = 200, warnings: Iterable[str] = ()
) -> web.Response:
    """Return an answer that is an object built for it."""
    return answer_bytes(encode_object(obj, form), form.content_type, code=code, warnings=warnings)


def answer_error(error: ApiError, form: Form) -> web.Response:
    """Return an error as its Status."""
    return answer_object(error.status(), form, code=error.code)


def answer_text(text: str, *, code: int = 200) -> web.Response:
    """Return plain text."""
    response = answer_bytes(text.encode(), "text/plain; charset=utf-8", code=code)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def method_not_allowed() -> ApiError:
    """Return the 405 that Kubernetes answers."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )
