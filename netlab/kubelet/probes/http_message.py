"""The bytes of one HTTP request and its answer, as the kubelet's probes and hooks exchange them.

Mirrors ``pkg/probe/http/request.go`` for the request: which headers go out when the manifest
names none. One GET per connection; how its answer is read: ``client.http1``.

Left out: HTTP/2, proxies, compression.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit

from netlab.api.containers import HttpGetAction, HttpHeader
from netlab.api.release import KUBERNETES_MINOR
from netlab.client.http1 import Answer, MessageError
from netlab.kubelet.probes.dialing import join_host_port

MAX_BODY_BYTES = 10 * 1024
READ_BYTES = 16 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
# what may stand unescaped in a path or query besides letters and digits; RFC 3986
SAFE = "%/:?#[]@!$&'()*+,;=-._~"


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
    """Return the answer, and of its body as much as is looked at.

    Raises: MessageError; ConnectionError.
    """
    answer, body = Answer(), bytearray()
    while not answer.done and len(body) < MAX_BODY_BYTES:
        data = await reader.read(READ_BYTES)
        if not data and answer.head is None:
            raise MessageError("EOF")
        answer.feed(data)
        body += answer.take()
    head = answer.head
    assert head is not None, "an answer without a head is an error"
    # a location is bytes until it is escaped
    location = head.get("location").encode("utf-8", "surrogateescape").decode("latin-1")
    return Response(head.status, location, bytes(body[:MAX_BODY_BYTES]))
