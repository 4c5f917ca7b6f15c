"""List and watch over TLS, against an API server of a few lines; and the feed on top of it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.message
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netlab.api.kinds import SERVICE
from netlab.client.informers import SharedInformers
from netlab.clock import SystemClock
from netlab.dns.api_reader import ApiAddress, ApiReader
from netlab.dns.feed import ZoneFeed
from netlab.dns.table import AnswerTable
from netlab.dns.zone import Zone
from netlab.errors import ApiError, HostError

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, key.pem and token."""
    folder = tmp_path_factory.mktemp("account")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "token").write_text("secret\n")
    return folder


class TinyApi:
    """Serves lists from ``items`` and streams what is put into ``events``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.events: dict[str, asyncio.Queue[bytes | None]] = {}
        self.watches = 0
        self.requests: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.folder / "ca.crt", self.folder / "key.pem")
        self._server = await asyncio.start_server(self._serve, HOST, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path, _, query = head.split(" ")[1].partition("?")
            self.requests.append(head)
            plural = path.rsplit("/", 1)[1]
            if "Bearer secret\r\n" not in head:
                self._reply(writer, 401, {"kind": "Status", "code": 401, "reason": "Unauthorized"})
            elif "watch=true" in query:
                await self._stream(writer, plural)
            else:
                metadata = {"resourceVersion": "10"}
                self._reply(
                    writer, 200, {"items": self.items.get(plural, []), "metadata": metadata}
                )
        except (OSError, EOFError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    def _reply(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(data), data))

    async def _stream(self, writer: asyncio.StreamWriter, plural: str) -> None:
        self.watches += 1
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        queue = self.events.setdefault(plural, asyncio.Queue())
        while (piece := await queue.get()) is not None:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    def tell(self, plural: str, event: str, obj: dict[str, Any]) -> None:
        line = json.dumps({"type": event, "object": obj}).encode() + b"\n"
        queue = self.events.setdefault(plural, asyncio.Queue())
        # in two chunks: a line need not arrive in one piece
        queue.put_nowait(line[:7])
        queue.put_nowait(line[7:])


@pytest.fixture
async def api(pki: Path) -> AsyncIterator[TinyApi]:
    made = TinyApi(pki)
    await made.start()
    yield made
    await made.stop()


def reader(api: TinyApi, token: str = "token") -> ApiReader:
    folder = api.folder
    return ApiReader(ApiAddress(HOST, api.port, folder / "ca.crt", folder / token))


def service(version: int, address: str = "10.96.0.20") -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default", "resourceVersion": str(version)},
        "spec": {"clusterIP": address, "ports": []},
    }


async def test_a_list_hands_out_its_items_as_they_came(api: TinyApi) -> None:
    api.items["services"] = [service(3)]
    listed = await reader(api).list_json(SERVICE, "default", label_selector="app in (a, b)")
    assert listed.resource_version == "10"
    assert [msgspec.json.decode(item) for item in listed.items] == [service(3)]
    path = "/api/v1/namespaces/default/services?labelSelector=app%20in%20%28a%2C%20b%29"
    assert path in api.requests[0]


async def test_a_watch_puts_its_lines_together(api: TinyApi) -> None:
    for version in (11, 12):
        api.tell("services", "MODIFIED", service(version))
    seen = []
    watch = reader(api).watch(SERVICE, resource_version="10")
    async for event in watch:
        seen.append(event.object["metadata"]["resourceVersion"])
        if len(seen) == 2:
            break
    await watch.aclose()  # type: ignore[attr-defined]
    assert seen == ["11", "12"]
    assert "resourceVersion=10" in api.requests[0]


async def test_an_expired_watch_raises_the_status(api: TinyApi) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    api.tell("services", "ERROR", status)
    with pytest.raises(ApiError, match="too old") as caught:
        async for _ in reader(api).watch(SERVICE, resource_version="1"):
            pass
    assert caught.value.code == 410


async def test_refusals_and_absence(api: TinyApi, pki: Path) -> None:
    (pki / "wrong").write_text("wrong")
    with pytest.raises(ApiError) as caught:
        await reader(api, "wrong").list_json(SERVICE)
    assert caught.value.code == 401
    (pki / "wrong").unlink()
    gone = ApiReader(ApiAddress(HOST, 1, pki / "ca.crt", pki / "token"))
    with pytest.raises(OSError):
        await gone.list_json(SERVICE)


async def answered(table: AnswerTable, address: str) -> None:
    """Wait until the name has the address."""
    query = dns.message.make_query("web.default.svc.cluster.local", "A").to_wire()
    async with asyncio.timeout(5):
        while True:
            data = table.reply(query)
            assert data is not None
            answer = dns.message.from_wire(data).answer
            if answer and answer[0][0].to_text() == address:
                return
            await asyncio.sleep(0.001)


async def test_the_feed_follows_and_survives_a_restart_of_the_server(
    api: TinyApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.items["services"] = [service(3)]
    table = AnswerTable(Zone("cluster.local"))
    synced = asyncio.Event()
    client: Any = reader(api)
    feed = asyncio.create_task(
        ZoneFeed(SharedInformers(client, SystemClock()), table).run(synced.set)
    )
    try:
        async with asyncio.timeout(5):
            await synced.wait()
        await answered(table, "10.96.0.20")
        api.tell("services", "MODIFIED", service(11, "10.96.0.21"))
        await answered(table, "10.96.0.21")
        await api.stop()
        await asyncio.sleep(0)
        await answered(table, "10.96.0.21")  # from what it knows
        api.events.clear()
        api.tell("services", "MODIFIED", service(20, "10.96.0.22"))
        await api.start()
        await answered(table, "10.96.0.22")
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, id="no port"),
    ],
)
def test_outside_a_pod_it_says_so(environ: dict[str, str]) -> None:
    with pytest.raises(HostError, match="not in a pod"):
        ApiAddress.of_pod(environ)
