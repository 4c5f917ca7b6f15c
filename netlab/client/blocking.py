"""The command line's HTTPS client: one connection, blocking, and nothing imported in vain.

In Kubernetes this is client-go's REST client as kubectl uses it. It is written on a bare socket
because ``netlab get pods`` shall not take longer than kubectl: ``http.client`` costs 15 ms to
import and aiohttp 150; ``ssl`` is loaded only for ``https``.

Rules for callers: a response must be read to its end (or closed) before the next request; the
connection is kept open and opened again when the server has closed it meanwhile. Warnings of the
server go to ``on_warning``, each text once. One thread only.

netlab leaves out proxies, redirects, compression and HTTP/2.
"""

from __future__ import annotations

import socket

from netlab.client.wire import ConnectError, Connection, Response, encode_query, parse_warning
from netlab.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from netlab.client.kubeconfig import ClusterAccess

CONNECT_TIMEOUT_S = 30.0
USER_AGENT = "netlab"


class BlockingClient:
    """Requests to one API server.

    on_warning: called with the text of each ``Warning`` header, once per text. timeout_s: limit
    of every wait for the server; None waits for ever (``--request-timeout=0``).
    """

    def __init__(
        self,
        access: ClusterAccess,
        *,
        on_warning: Callable[[str], None],
        timeout_s: float | None = None,
    ) -> None:
        self.access = access
        self._timeout_s = timeout_s
        self._on_warning = on_warning
        self._warned: set[str] = set()
        self._connection: Connection | None = None
        scheme, _, rest = access.server.partition("://")
        authority, _, prefix = rest.partition("/")
        self._tls = scheme == "https"
        self._prefix = "/" + prefix.rstrip("/") if prefix.strip("/") else ""
        self.authority = authority
        host, port = _split_authority(authority)
        self._host = host
        self._port = port or (443 if self._tls else 80)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises: ConnectError when the server cannot be reached.
        """
        head = self._head(method, path, query, accept, headers)
        if body is not None:
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        data = (head + "\r\n").encode() + (body or b"")
        connection = self._connection
        if connection is None or not connection.keep:
            connection = self._connect()
        try:
            response = connection.exchange(data, to_head=method == "HEAD")
        except (OSError, ConnectError) as error:
            # A kept connection may have been closed by the server while it was idle; nothing of
            # this request was answered, so a fresh connection may try once more.
            if not connection.used or method not in ("GET", "DELETE", "PUT"):
                raise _connect_error(error, self.authority, self._url(path, query)) from error
            connection.close()
            connection = self._connect()
            response = connection.exchange(data, to_head=method == "HEAD")
        self._connection = connection
        self._warn(response)
        return response

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """Send a request and return the parsed JSON of the answer.

        Raises: ApiError when the server refuses; ConnectError when it cannot be reached.
        """
        import json

        response = self.request(
            method, path, query=query, body=body, content_type=content_type, accept=accept
        )
        data = response.read()
        if response.status >= 400:
            raise error_from(response, data)
        try:
            return json.loads(data)
        except ValueError as error:
            raise ConnectError(f"the server's answer is not JSON: {error}") from error

    def watch(
        self, path: str, *, query: Mapping[str, str], accept: str = "application/json"
    ) -> Iterator[dict[str, Any]]:
        """Yield watch events, ``{"type": …, "object": …}``, until the server ends the watch.

        Raises: ApiError when the server refuses, or ends the watch with an ERROR event.
        """
        import json

        response = self.request("GET", path, query={**query, "watch": "true"}, accept=accept)
        if response.status >= 400:
            raise error_from(response, response.read())
        for line in response.lines():
            event = json.loads(line)
            if event.get("type") == "ERROR":
                raise ApiError.from_status(event.get("object") or {})
            yield event

    def upgrade(
        self, path: str, *, query: str, headers: Mapping[str, str]
    ) -> tuple[Response, socket.socket, bytes]:
        """Ask for a protocol switch on a connection of its own.

        Returns the answer, the socket (the caller's to close), and bytes read beyond the answer.
        The socket is usable only if the answer's status is 101.
        """
        connection = self._connect()
        head = self._head("GET", path, None, "*/*", {"Connection": "Upgrade", **headers}, raw=query)
        response = connection.exchange((head + "\r\n").encode())
        left = b"" if response.status != 101 else response.beyond
        return response, connection.sock, left

    def limit_waits(self, timeout_s: float | None) -> None:
        """Limit every further wait for the server; a wait that is longer raises TimeoutError."""
        self._timeout_s = timeout_s

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        suffix = "?" + encode_query(query) if query else ""
        return f"{self.access.server}{path}{suffix}"

    def _head(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        accept: str,
        headers: Mapping[str, str] | None,
        raw: str = "",
    ) -> str:
        encoded = raw or (encode_query(query) if query else "")
        target = f"{self._prefix}{path}{'?' + encoded if encoded else ''}"
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {self.authority}",
            f"User-Agent: {USER_AGENT}",
            f"Accept: {accept}",
        ]
        merged = {**self.access.headers, **(headers or {})}
        lines += [f"{name}: {value}" for name, value in merged.items()]
        lines += [f"Impersonate-Group: {group}" for group in self.access.as_groups]
        return "\r\n".join(lines) + "\r\n"

    def _warn(self, response: Response) -> None:
        for value in response.headers.get("warning", "").split("\n"):
            text = parse_warning(value)
            if text and text not in self._warned:
                self._warned.add(text)
                self._on_warning(text)

    def _connect(self) -> Connection:
        try:
            limit_s = min(CONNECT_TIMEOUT_S, self._timeout_s or CONNECT_TIMEOUT_S)
            sock = socket.create_connection((self._host, self._port), limit_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = _wrap_tls(sock, self.access, self._host)
        except OSError as error:
            raise _connect_error(error, self.authority, "") from error
        sock.settimeout(self._timeout_s)
        return Connection(sock)


def _wrap_tls(sock: socket.socket, access: ClusterAccess, host: str) -> socket.socket:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca:
        context.load_verify_locations(cadata=access.ca.decode("ascii", "replace"))
    else:
        context.load_default_certs()
    if access.cert and access.key:
        _load_client_cert(context, access.cert, access.key)
    return context.wrap_socket(sock, server_hostname=access.tls_server_name or host)


def _load_client_cert(context: Any, cert: bytes, key: bytes) -> None:
    """Hand the key to OpenSSL, which only reads files, through memory that has no name on disk."""
    import os

    memory = os.memfd_create("netlab-client-cert")
    try:
        os.write(memory, cert.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)


def _split_authority(authority: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        return host, int(rest[1:] or 0)
    host, _, port = authority.partition(":")
    return host, int(port or 0)


def _connect_error(error: Exception, authority: str, url: str) -> ConnectError:
    """Return the error with the words kubectl has for it."""
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, ConnectionRefusedError):
        return ConnectError(
            f"The connection to the server {authority} was refused - "
            "did you specify the right host or port?"
        )
    text = str(error)
    if isinstance(error, socket.gaierror):
        text = f"dial tcp: lookup {_split_authority(authority)[0]}: no such host"
    elif isinstance(error, TimeoutError):
        text = "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    elif "CERTIFICATE_VERIFY_FAILED" in text:
        reason = getattr(error, "verify_message", "")
        text = f"tls: failed to verify certificate: x509: {reason}"
    elif "WRONG_VERSION_NUMBER" in text:
        text = "http: server gave HTTP response to HTTPS client"
    prefix = f'Get "{url}": ' if url else ""
    return ConnectError(f"Unable to connect to the server: {prefix}{text}")


def error_from(response: Response, data: bytes) -> ApiError:
    """Return the error an answer of status 400 or above tells, with or without a Status body."""
    import json

    try:
        status = json.loads(data)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = ApiError.from_status(status)
        if "reason" not in status:
            error.reason = ""
        return error
    reason = _REASONS.get(response.status, "")
    text = data.decode("utf-8", "replace").strip()
    message = {
        404: "the server could not find the requested resource",
        401: "the server has asked for the client to provide credentials",
        405: "the server does not allow this method on the requested resource",
        415: "the body of the request was in an unknown format",
        503: "the server is currently unable to handle the request",
    }.get(response.status, text or f"the server answered with status {response.status}")
    return ApiError(response.status, reason, message)


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Gone",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
