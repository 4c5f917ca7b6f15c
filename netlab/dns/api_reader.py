"""List and watch over HTTPS, small: what the DNS pod needs of an API client, and no more.

The pod's start is on the way to a ready cluster, and importing an HTTP library takes longer than
everything else the server does until it answers. So this speaks HTTP/1.1 (``client.http1``) on
asyncio's streams: one connection per request, JSON lines of a watch.

The credentials are the pod's: token and certificate authority in
/var/run/secrets/kubernetes.io/serviceaccount; the token is read anew for each request, because the
kubelet renews the file.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from netlab.api.kinds import Kind
from netlab.client.answers import parse_event, parse_page, split_lines
from netlab.client.http1 import Answer, Head, MessageError
from netlab.client.interface import JsonList, WatchEvent
from netlab.errors import ApiError, HostError

ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_TIMEOUT_S = 2.0
"""Short: a pod may start before the rules of the API server's Service are there, and its first
packets are then lost."""
ANSWER_TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 30.0
WATCH_IDLE_S = 600.0
"""A watch without any event for so long is made anew: the connection may be dead."""
READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the API server is and how to prove who asks."""

    host: str
    port: int
    ca_file: Path
    token_file: Path

    @classmethod
    def of_pod(
        cls, environ: Mapping[str, str] = os.environ, *, account_dir: Path = ACCOUNT_DIR
    ) -> ApiAddress:
        """Return what every pod is given.

        Raises: HostError when the process does not run in a pod.
        """
        try:
            host = environ["KUBERNETES_SERVICE_HOST"]
            port = int(environ["KUBERNETES_SERVICE_PORT"])
        except (KeyError, ValueError) as error:
            raise HostError(f"not in a pod: {error} is missing or wrong") from error
        return cls(host, port, account_dir / "ca.crt", account_dir / "token")


class ApiReader:
    """``client.interface.Reader``: the reading half of a client."""

    def __init__(self, address: ApiAddress) -> None:
        self._address = address
        self._tls: ssl.SSLContext | None = None

    async def list_json(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> JsonList:
        """Return the objects of a kind. Raises: ApiError; OSError when nobody answers."""
        path = _path(kind, namespace, label_selector, field_selector)
        async with asyncio.timeout(LIST_TIMEOUT_S), self._request(path) as body:
            page = parse_page(b"".join([piece async for piece in body]))
        return JsonList(page.items or (), page.metadata.resource_version)

    async def watch(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events until the server or the connection ends.

        Raises: ApiError (Expired: list again); OSError when the connection breaks.
        """
        path = _path(kind, namespace, label_selector, field_selector)
        query = f"watch=true&allowWatchBookmarks=true&resourceVersion={resource_version}"
        async with self._request(f"{path}{'&' if '?' in path else '?'}{query}") as body:
            async for line in split_lines(body):
                yield parse_event(line)

    @asynccontextmanager
    async def _request(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        address = self._address
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(address.ca_file))
        token = address.token_file.read_text().strip()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=self._tls, limit=READ_BYTES
            )
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {address.host}\r\nAccept: application/json\r\n"
                f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
            )
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                head, answer = await _read_head(reader)
            body = _body(reader, answer)
            if head.status != 200:
                raise _failure(head.status, b"".join([piece async for piece in body]))
            yield body
        except MessageError as error:
            raise ConnectionError(f"the API server's answer ends: {error}") from error
        finally:
            writer.close()


def _path(kind: Kind[Any], namespace: str | None, label_selector: str, field_selector: str) -> str:
    terms = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in terms if value)
    return kind.path(namespace) + (f"?{query}" if query else "")


async def _read_head(reader: asyncio.StreamReader) -> tuple[Head, Answer]:
    answer = Answer()
    while answer.head is None:
        answer.feed(await reader.read(READ_BYTES))
    return answer.head, answer


async def _body(reader: asyncio.StreamReader, answer: Answer) -> AsyncIterator[bytes]:
    while True:
        if piece := answer.take():
            yield piece
        if answer.done:
            return
        async with asyncio.timeout(WATCH_IDLE_S):
            data = await reader.read(READ_BYTES)
        answer.feed(data)


def _failure(status: int, body: bytes) -> ApiError:
    try:
        return ApiError.from_status(msgspec.json.decode(body, type=dict[str, Any]))
    except msgspec.MsgspecError:
        return ApiError(status, "InternalError", f"the API server answered {status}")
