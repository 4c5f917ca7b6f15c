"""The bytes of one HTTP request and its answer, as the kubelet's probes and hooks exchange them.

Mirrors ``pkg/probe/http/request.go`` for the request: which headers go out when the manifest
names none. Only what a probe needs of RFC 9112: one GET per connection, answers with a length,
in chunks, or up to the end of the connection.

Left out: HTTP/2, proxies, compression, trailers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit

from netlab.api.containers import HttpGetAction, HttpHeader
from netlab.api.release import KUBERNETES_MINOR
from netlab.kubelet.probes.dialing import join_host_port

MAX_BODY_BYTES = 10 * 1024
# a server that never ends its headers must not fill the node's memory
MAX_HEADERS = 256
MAX_INTERIM_ANSWERS = 5
DEFAULT_PORTS = {"http": 80, "https": 443}
# what may stand unescaped in a path or query besides letters and digits; RFC 3986
SAFE = "%/:?#[]@!$&'()*+,;=-._~"


class MessageError(Exception):
    """The other side does not speak HTTP; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https address; target is path and query, never empty.

    explicit_port: the port stands in the text of the address.
    """

    scheme: str
    host: str
    port: int
    target: str
    explicit_port: bool = True

    @property
    def authority(self) -> str:
        """``host:port`` as written."""
        if self.explicit_port:
            return join_host_port(self.host, self.port)
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class Request:
    """A GET to be sent. host_header: "" means the address's own. headers: names as sent."""

    url: Url
    headers: tuple[tuple[str, str], ...]
    host_header: str = ""

    def encode(self) -> bytes:
        """Return the bytes on the wire."""
        lines = [
            f"GET {self.url.target} HTTP/1.1",
            f"Host: {self.host_header or self.url.authority}",
            *(f"{name}: {value}" for name, value in self.headers),
            "Connection: close",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; location: of a redirect, "" for none; body: at most MAX_BODY_BYTES of it."""

    status: int
    location: str = ""
    body: bytes = b""


class ByteReader(Protocol):
    """The part of asyncio.StreamReader that is used."""

    async def readline(self) -> bytes: ...

    async def read(self, n: int = -1) -> bytes: ...


def action_url(action: HttpGetAction, host: str, port: int) -> Url:
    """Return where a manifest's httpGet leads."""
    path = action.path or "/"
    target, _, _ = path.partition("#")
    target = quote(target if target.startswith("/") else f"/{target}", safe=SAFE)
    return Url(action.scheme.lower() or "http", host, port, target)


def make_request(url: Url, headers: Iterable[HttpHeader], purpose: str) -> Request:
    """Return the request with the kubelet's own headers where the manifest has none.

    purpose: ``probe`` or ``lifecycle``, told in User-Agent. A header of the manifest that is
    empty takes the kubelet's own away.
    """
    given = [(_canonical(header.name), _one_line(header.value)) for header in headers]
    host = next((value for name, value in given if name == "Host"), "")
    names = {name for name, _ in given}
    own = {"User-Agent": f"kube-{purpose}/1.{KUBERNETES_MINOR}", "Accept": "*/*"}
    sent = [(name, value) for name, value in own.items() if name not in names]
    sent += [(n, v) for n, v in given if n not in ("Host", "Connection") and (v or n not in own)]
    return Request(url, tuple(sent), host)


def _canonical(name: str) -> str:
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _one_line(value: str) -> str:
    """Return the value without what would begin another header."""
    return value.replace("\r", " ").replace("\n", " ").strip()


def follow(url: Url, location: str) -> Url | None:
    """Return where a redirect leads; None when it is no http address."""
    try:
        parts = urlsplit(location)
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme and not parts.netloc:
        return Url(url.scheme, url.host, url.port, _relative(url, parts), url.explicit_port)
    scheme = parts.scheme.lower() or url.scheme
    if scheme not in DEFAULT_PORTS or not parts.hostname:
        return None
    target = _with_query(parts.path or "/", parts)
    return Url(scheme, parts.hostname, port or DEFAULT_PORTS[scheme], target, port is not None)


def _relative(url: Url, parts: SplitResult) -> str:
    own_path = url.target.partition("?")[0]
    if not parts.path:
        return _with_query(own_path, parts)
    folder = own_path.rpartition("/")[0]
    path = parts.path if parts.path.startswith("/") else f"{folder}/{parts.path}"
    return _with_query(path, parts)


def _with_query(path: str, parts: SplitResult) -> str:
    return quote(f"{path}?{parts.query}" if parts.query else path, safe=SAFE)


async def read_response(reader: ByteReader) -> Response:
    """Return the answer; those before the final one are passed over.

    Raises: MessageError; EOFError when the connection ends before the headers do;
    ConnectionError.
    """
    for _ in range(MAX_INTERIM_ANSWERS + 1):
        status = _status(await _line(reader))
        headers = await _headers(reader)
        if status >= 200 or status == 101:
            body = await _body(reader, status, headers)
            return Response(status, headers.get("location", ""), body)
    raise MessageError("net/http: too many 1xx informational responses")


async def _line(reader: ByteReader) -> bytes:
    try:
        line = await reader.readline()
    except ValueError as error:  # longer than the reader's limit
        raise MessageError("net/http: server response headers exceeded limit") from error
    if not line.endswith(b"\n"):
        raise EOFError("EOF")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/") or len(code) != 3 or not code.isdigit():
        shown = line.decode("latin-1").encode("unicode_escape").decode().replace('"', '\\"')
        raise MessageError(
            f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{shown}"'
        )
    return int(code)


async def _headers(reader: ByteReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = await _line(reader)
        if not line:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise MessageError(
                "net/http: HTTP/1.x transport connection broken: malformed MIME header line: "
                + name
            )
        headers.setdefault(name.strip().lower(), value.strip())
    raise MessageError("net/http: server response headers exceeded limit")


async def _body(reader: ByteReader, status: int, headers: dict[str, str]) -> bytes:
    if status in (101, 204, 304):
        return b""
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        return await _chunks(reader)
    length = headers.get("content-length", "")
    if length and not (length.isascii() and length.isdecimal()):
        raise MessageError(
            f'net/http: HTTP/1.x transport connection broken: bad Content-Length "{length}"'
        )
    return await _exactly(reader, int(length) if length else None)


async def _exactly(reader: ByteReader, length: int | None) -> bytes:
    """Return the body, cut at the limit; a connection that ends early is an EOFError."""
    wanted = MAX_BODY_BYTES if length is None else min(length, MAX_BODY_BYTES)
    body = bytearray()
    while len(body) < wanted:
        piece = await reader.read(wanted - len(body))
        if not piece:
            if length is not None:
                raise EOFError("unexpected EOF")
            break
        body += piece
    return bytes(body)


async def _chunks(reader: ByteReader) -> bytes:
    body = bytearray()
    while len(body) < MAX_BODY_BYTES:
        size_text = (await _line(reader)).partition(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError as error:
            raise MessageError("invalid byte in chunk length") from error
        if size == 0:
            break
        body += await _exactly(reader, size)
        if size > MAX_BODY_BYTES:
            break
        await _line(reader)
    return bytes(body[:MAX_BODY_BYTES])
