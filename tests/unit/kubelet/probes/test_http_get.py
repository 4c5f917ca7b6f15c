"""HTTP probes against servers on loopback that say exactly what the row says."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netlab.api.containers import Container, HttpGetAction
from netlab.kubelet.probes.dialing import PortError, resolve_port
from netlab.kubelet.probes.http_get import HttpError, get, probe_http
from netlab.kubelet.probes.http_message import Request, Url, action_url, follow, make_request
from netlab.kubelet.probes.results import Outcome, ProbeResult

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each connection with the next of its answers, keeping the requests."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        self.requests.append(request.decode())
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer == b"wait":
            await reader.read()
        else:
            writer.write(answer.replace(b"{port}", str(self.port).encode()))
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(list(answers))
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def request_to(port: int, path: str = "/", **fields: Any) -> Request:
    action = HttpGetAction.parse({"port": port, "path": path, **fields})
    return make_request(action_url(action, "127.0.0.1", port), action.http_headers, "probe")


async def probe(port: int, path: str = "/", timeout_s: float = 2.0, **fields: Any) -> ProbeResult:
    return await probe_http(None, request_to(port, path, **fields), timeout_s)


def success(text: str) -> ProbeResult:
    return ProbeResult(Outcome.SUCCESS, text)


def failure(text: str) -> ProbeResult:
    return ProbeResult(Outcome.FAILURE, text)


def warning(text: str) -> ProbeResult:
    return ProbeResult(Outcome.WARNING, f"Probe terminated redirects, Response body: {text}")


MALFORMED = "net/http: HTTP/1.x transport connection broken: malformed "
ANSWERS: dict[str, tuple[bytes, ProbeResult]] = {
    "success": (OK, success("ok")),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", success("")),
    "up to the end": (b"HTTP/1.0 200 OK\r\n\r\nall of it", success("all of it")),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        success("abcde"),
    ),
    "interim answers": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, success("ok")),
    "longer than the limit": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000,
        success("x" * 10240),
    ),
    "503": (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nsecret",
        failure("HTTP probe failed with statuscode: 503"),
    ),
    "400": (b"HTTP/1.1 400 Bad\r\n\r\n", failure("HTTP probe failed with statuscode: 400")),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", warning("")),
    "redirect without a place": (b"HTTP/1.1 302 Found\r\n\r\nhm", warning("hm")),
    "redirect elsewhere": (
        b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\n\r\naway",
        warning("away"),
    ),
    "closed": (b"", failure('Get "{url}": EOF')),
    "closed in the headers": (b"HTTP/1.1 200 OK\r\nServer: x", failure('Get "{url}": EOF')),
    "body cut short": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        failure('Get "{url}": unexpected EOF'),
    ),
    "not HTTP": (b"SSH-2.0-x\r\n", failure(f'Get "{{url}}": {MALFORMED}HTTP response "SSH-2.0-x"')),
    "no colon": (
        b"HTTP/1.1 200 OK\r\nbad\r\n\r\n",
        failure(f'Get "{{url}}": {MALFORMED}MIME header line: bad'),
    ),
    "endless headers": (
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300,
        failure('Get "{url}": net/http: server response headers exceeded limit'),
    ),
    "a line without an end": (
        b"HTTP/1.1 200 " + b"x" * 200_000,
        failure('Get "{url}": net/http: server response headers exceeded limit'),
    ),
    "length that is no number": (
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        failure(
            'Get "{url}": net/http: HTTP/1.x transport connection broken: bad Content-Length "-1"'
        ),
    ),
    "chunk that is no number": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        failure('Get "{url}": invalid byte in chunk length'),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers(name: str) -> None:
    answer, expected = ANSWERS[name]
    async with serving(answer) as server:
        result = await probe(server.port, "/ready")
    url = f"http://127.0.0.1:{server.port}/ready"
    assert result == ProbeResult(expected.outcome, expected.output.replace("{url}", url))


async def test_the_request_is_the_kubelets() -> None:
    async with serving(OK) as server:
        await probe(server.port, "/a b?c=d#e")
    assert server.requests == [
        f"GET /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "User-Agent: kube-probe/1.36\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ]


async def test_headers_of_the_manifest_go_out_and_cannot_forge_others() -> None:
    headers = [
        {"name": "host", "value": "shop.example"},
        {"name": "x-token", "value": "a\r\nX-Forged: b"},
        {"name": "Accept", "value": ""},
        {"name": "User-Agent", "value": "mine"},
    ]
    async with serving(OK) as server:
        await probe(server.port, httpHeaders=headers)
    lines = server.requests[0].split("\r\n")
    assert lines[1:] == [
        "Host: shop.example",
        "X-Token: a  X-Forged: b",
        "User-Agent: mine",
        "Connection: close",
        "",
        "",
    ]


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n"


@pytest.mark.parametrize(
    "location", [b"/new", b"new", b"http://127.0.0.1:{port}/new"], ids=["path", "word", "address"]
)
async def test_redirects_to_the_same_host_are_followed(location: bytes) -> None:
    async with serving(REDIRECT % location, OK) as server:
        assert await probe(server.port, "/old") == success("ok")
    assert server.requests[1].startswith("GET /new ")


async def test_ten_redirects_are_enough() -> None:
    async with serving(REDIRECT % b"/again") as server:
        result = await probe(server.port)
    assert result.output.endswith("stopped after 10 redirects")
    assert len(server.requests) == 10


async def test_no_answer_in_time() -> None:
    async with serving(b"wait") as server:
        result = await probe(server.port, timeout_s=0.05)
    assert result == failure(
        f'Get "http://127.0.0.1:{server.port}/": context deadline exceeded '
        "(Client.Timeout exceeded while awaiting headers)"
    )


async def test_nobody_listens() -> None:
    async with serving(OK) as server:
        port = server.port
    assert await probe(port, "/readiness") == failure(
        f'Get "http://127.0.0.1:{port}/readiness": dial tcp 127.0.0.1:{port}: '
        "connect: connection refused"
    )


async def test_a_name_that_does_not_resolve() -> None:
    action = HttpGetAction.parse({"port": 80, "host": "no such host"})
    request = make_request(action_url(action, action.host, 80), (), "probe")
    with pytest.raises(HttpError, match="dial tcp: lookup no such host: no such host"):
        await get(None, request)


def server_tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.example")])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "server.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_an_expired_certificate_of_another_name_is_good_enough(tmp_path: Path) -> None:
    async with serving(OK, tls=server_tls(tmp_path)) as server:
        assert await probe(server.port, scheme="HTTPS") == success("ok")


async def test_https_to_a_plain_server() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(talk) as port:
        result = await probe(port, scheme="HTTPS")
    assert result == failure(
        f'Get "https://127.0.0.1:{port}/": http: server gave HTTP response to HTTPS client'
    )


@asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


BASE = Url("http", "10.244.0.5", 8080, "/a/b?x=1")
FOLLOWED: dict[str, tuple[str, str | None]] = {
    "path": ("/c", "http://10.244.0.5:8080/c"),
    "neighbour": ("c?d=e", "http://10.244.0.5:8080/a/c?d=e"),
    "query": ("?y=2", "http://10.244.0.5:8080/a/b?y=2"),
    "scheme": ("https://10.244.0.5/c", "https://10.244.0.5/c"),
    "host": ("//example.com/c", "http://example.com/c"),
    "mail": ("mailto:x", None),
    "bad port": ("http://a:b/", None),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_where_redirects_lead(name: str) -> None:
    location, expected = FOLLOWED[name]
    found = follow(BASE, location)
    assert (None if found is None else str(found)) == expected


WEB = Container.parse({"name": "web", "ports": [{"name": "http", "containerPort": 8080}]})


def test_ports_by_name() -> None:
    assert resolve_port(81, WEB) == 81
    assert resolve_port("http", WEB) == 8080
    assert resolve_port("81", WEB) == 81
    for wrong in ("https", 0, 65536, "70000"):
        with pytest.raises(PortError):
            resolve_port(wrong, WEB)
