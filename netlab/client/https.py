"""The client for components in another process, or in a pod: the API over HTTPS.

Mirrors client-go's REST client. Satisfies ``interface.Client``. It is how a node agent joins a
lab, or a real Kubernetes control plane, from a process of its own.

Rules for callers: use it as an asynchronous context manager; one instance per event loop. Every
request has a timeout; a watch ends when the server ends it, and its reader goes on from the last
version it saw.

netlab leaves out: HTTP/2, protobuf, client-side rate limits, and exec credential plugins.
"""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec

from netlab.api.kinds import Kind
from netlab.api.view import Object
from netlab.client.answers import parse_event, parse_page, split_lines
from netlab.client.interface import Json, JsonList, ObjectList, Propagation, WatchEvent
from netlab.clock import Clock, SystemClock
from netlab.errors import ApiError, HostError

if TYPE_CHECKING:  # a name for texts: nobody who sends a patch needs what applies it
    from netlab.api.patches import PatchType

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
# The server ends a watch after this; the reader must hear something (a bookmark) before then.
WATCH_TIMEOUT_S = 300
PAGE = 500
# The kubelet replaces a pod's token file from time to time.
REREAD_TOKEN_S = 60.0

_PATCH_TYPES: dict[PatchType, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the server is and who we are. Either a certificate with its key, or a token.

    url: ``https://host:port``. ca_pem: the authority to trust. token_file is read again every
    minute.
    """

    url: str
    ca_pem: bytes
    cert_pem: bytes = b""
    key_pem: bytes = b""
    token: str = ""
    token_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the TLS context."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode())
        if self.cert_pem:
            # ssl reads certificates only from files; these are gone before anybody else could look
            with tempfile.TemporaryDirectory(prefix="netlab-") as folder:
                pair = Path(folder) / "client.pem"
                pair.touch(mode=0o600)
                pair.write_bytes(self.cert_pem + b"\n" + self.key_pem)
                context.load_cert_chain(pair)
        return context


def in_cluster_endpoint(environment: Mapping[str, str], folder: Path | None = None) -> Endpoint:
    """Return the endpoint that a pod finds in its environment and its mounted token.

    Raises: HostError when this is not a pod with a service account.
    """
    folder = folder or SERVICE_ACCOUNT_DIR
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise HostError("KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster")
    try:
        ca_pem = (folder / "ca.crt").read_bytes()
        (folder / "token").read_bytes()
    except OSError as error:
        raise HostError(f"{error.filename}: {error.strerror}") from error
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(url=f"https://{shown}:{port}", ca_pem=ca_pem, token_file=folder / "token")


class HttpsClient:
    """``interface.Client`` over HTTPS."""

    def __init__(self, endpoint: Endpoint, *, clock: Clock | None = None) -> None:
        self._endpoint = endpoint
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None
        self._token = endpoint.token
        self._token_read_s: float | None = None

    @classmethod
    def in_cluster(cls, environment: Mapping[str, str], *, clock: Clock | None = None) -> Self:
        """Return the client of a pod: its mounted service account token.

        Raises: HostError when this is not a pod with a service account.
        """
        return cls(in_cluster_endpoint(environment), clock=clock)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._endpoint.context(), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            # errors of the server hold a Status, which is read below
            raise_for_status=False,
            read_bufsize=1 << 20,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, kind: Kind[Any], namespace: str | None, name: str) -> Object:
        """Return one object."""
        return await self._request("GET", kind.path(namespace, name))

    async def list(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Return the objects that match, fetched in pages of one consistent state."""
        found = await self.list_json(
            kind, namespace, label_selector=label_selector, field_selector=field_selector
        )
        items = [_typed(msgspec.json.decode(item), kind) for item in found.items]
        return ObjectList(items, found.resource_version)

    async def list_json(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> JsonList:
        """Return the objects that match, not decoded; Kubernetes leaves out their type there."""
        query = _selectors(label_selector, field_selector) | {"limit": str(PAGE)}
        items: list[Json] = []
        while True:
            page = parse_page(await self._call("GET", kind.path(namespace), query=query))
            items += page.items or ()
            if not page.metadata.next_page:
                return JsonList(items, page.metadata.resource_version)
            query["continue"] = page.metadata.next_page

    async def watch(
        self,
        kind: Kind[Any],
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Yield events after ``resource_version`` until the server ends the watch.

        Raises: ApiError Expired (410) when the version is too old: list again.
        """
        query = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
            "resourceVersion": resource_version,
        }
        timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_TIMEOUT_S, sock_read=WATCH_TIMEOUT_S + REQUEST_TIMEOUT_S
        )
        try:
            async with self._open().get(
                self._endpoint.url + kind.path(namespace),
                params=query,
                headers=self._headers(),
                timeout=timeout,
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                async for line in split_lines(response.content.iter_any()):
                    yield parse_event(line)
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from error

    async def create(
        self, kind: Kind[Any], namespace: str | None, obj: Mapping[str, Any]
    ) -> Object:
        """Store a new object and return it."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        return await self._request("POST", kind.path(namespace), body=body)

    async def update(
        self,
        kind: Kind[Any],
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
    ) -> Object:
        """Replace an object and return it."""
        path = kind.path(namespace, obj["metadata"]["name"], subresource)
        return await self._request("PUT", path, body=obj)

    async def patch(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        """Change an object and return it."""
        path = kind.path(namespace, name, subresource)
        return await self._request("PATCH", path, body=patch, content_type=_PATCH_TYPES[patch_type])

    async def delete(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
    ) -> Object:
        """Delete an object, or mark it; return what the server answers: the object or a Status."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._request("DELETE", kind.path(namespace, name), body=options)

    async def create_subresource(
        self,
        kind: Kind[Any],
        namespace: str | None,
        name: str,
        subresource: str,
        body: Mapping[str, Any],
    ) -> Object:
        """POST to a subresource and return the answer."""
        return await self._request("POST", kind.path(namespace, name, subresource), body=body)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("HttpsClient is used outside its context")
        return self._session

    def _headers(self, content_type: str = "") -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        token = self._current_token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _current_token(self) -> str:
        path, now_s = self._endpoint.token_file, self._clock.monotonic_s()
        if path is None:
            return self._token
        if self._token_read_s is None or now_s - self._token_read_s >= REREAD_TOKEN_S:
            try:
                self._token = path.read_text().strip()
            except OSError as error:
                raise HostError(f"{path}: {error.strerror}") from error
            self._token_read_s = now_s
        return self._token

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._call(method, path, query=query, body=body, content_type=content_type)
        decoded: Object = msgspec.json.decode(answer)
        return decoded

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        headers = self._headers(content_type if data is not None else "")
        url = self._endpoint.url + path
        try:
            async with self._open().request(
                method, url, params=query, data=data, headers=headers
            ) as response:
                answer = await response.read()
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from error
        except TimeoutError as error:
            raise ApiError(
                504, "Timeout", f"{method} {url}: no answer within {REQUEST_TIMEOUT_S:g} s"
            ) from error
        if response.status >= 400:
            raise _error(response.status, answer)
        return answer

    def _unreachable(self, error: aiohttp.ClientError) -> ApiError:
        return ApiError(503, "ServiceUnavailable", f"{self._endpoint.url}: {error}")


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in query.items() if value}


def _typed(item: Object, kind: Kind[Any]) -> Object:
    """Return a list's item with its type, which Kubernetes leaves out there."""
    if "kind" in item:
        return item
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}


def _error(code: int, body: bytes) -> ApiError:
    """Return the error that an answer tells; one that is no Status is told by its text."""
    try:
        status = json.loads(body)
        if status["kind"] == "Status":
            return ApiError.from_status(status)
    except (ValueError, KeyError, TypeError):
        pass
    text = body[:200].decode("utf-8", "replace").strip()
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}
    return ApiError(code, reasons.get(code, "InternalError"), text or f"HTTP status {code}")
