"""gRPC health calls: the bytes, and whole calls against a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from netlab.api.containers import GrpcAction
from netlab.kubelet.probes.health_call import probe_grpc
from netlab.kubelet.probes.health_message import (
    RpcStatus,
    decode_response,
    encode_request,
    request_headers,
    rpc_status,
)
from netlab.kubelet.probes.results import Outcome, ProbeResult


def frame(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4, "big") + body


def test_requests() -> None:
    assert encode_request("") == b"\0\0\0\0\0"
    assert encode_request("web") == frame(b"\x0a\x03web")
    assert encode_request("x" * 200) == frame(b"\x0a\xc8\x01" + b"x" * 200)
    assert (":authority", "10.244.0.5:50051") in request_headers("10.244.0.5", 50051)


RESPONSES = {
    "serving": (frame(b"\x08\x01"), "SERVING"),
    "not serving": (frame(b"\x08\x02"), "NOT_SERVING"),
    "default": (frame(b""), "UNKNOWN"),
    "from the future": (frame(b"\x08\x07"), "7"),
    "with fields nobody knows": (
        frame(b"\x12\x02ab\x1d\x01\x02\x03\x04\x21" + bytes(8) + b"\x08\x01"),
        "SERVING",
    ),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_responses(name: str) -> None:
    data, expected = RESPONSES[name]
    assert decode_response(data) == expected


BROKEN = {
    "nothing": b"",
    "half a frame": b"\0\0",
    "compressed": b"\1" + frame(b"\x08\x01")[1:],
    "cut short": frame(b"\x08\x01")[:-1],
    "no number": frame(b"\x08"),
    "endless number": frame(b"\x08" + b"\xff" * 20),
    "text beyond the end": frame(b"\x12\x7fab"),
    "group": frame(b"\x0b"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_responses_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_response(BROKEN[name])


STATUSES = {
    "ok": ({":status": "200", "grpc-status": "0"}, RpcStatus("OK")),
    "message": (
        {"grpc-status": "5", "grpc-message": "unknown%20service"},
        RpcStatus("NotFound", "unknown service"),
    ),
    "new code": ({"grpc-status": "99"}, RpcStatus("Code(99)")),
    "plain HTTP": (
        {":status": "404"},
        RpcStatus("Unimplemented", "unexpected HTTP status code received from server: 404"),
    ),
    "nothing": (
        {":status": "200"},
        RpcStatus("Internal", "server closed the stream without sending trailers"),
    ),
}


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(name: str) -> None:
    headers, expected = STATUSES[name]
    assert rpc_status(headers) == expected


@dataclass
class HealthServer:
    """A gRPC server with one answer; status None hangs after the request."""

    body: bytes = frame(b"\x08\x01")
    trailers: Sequence[tuple[str, str]] = (("grpc-status", "0"),)
    status: str | None = "200"
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        http.initiate_connection()
        headers: dict[str, str] = {}
        sent = b""
        writer.write(http.data_to_send())
        while data := await reader.read(65536):
            for event in http.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {str(k): str(v) for k, v in event.headers or ()}
                elif isinstance(event, DataReceived):
                    sent += event.data or b""
                elif isinstance(event, StreamEnded):
                    self.requests.append((headers, sent))
                    self._answer(http)
            writer.write(http.data_to_send())
        writer.close()

    def _answer(self, http: H2Connection) -> None:
        if self.status is None:
            return
        http.send_headers(1, [(":status", self.status), ("content-type", "application/grpc")])
        if self.body:
            http.send_data(1, self.body)
        http.send_headers(1, list(self.trailers), end_stream=True)


@asynccontextmanager
async def serving(server: HealthServer) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


CALLS: dict[str, tuple[HealthServer, ProbeResult]] = {
    "serving": (HealthServer(), ProbeResult(Outcome.SUCCESS, "service healthy")),
    "not serving": (
        HealthServer(frame(b"\x08\x02")),
        ProbeResult(Outcome.FAILURE, 'service unhealthy (responded with "NOT_SERVING")'),
    ),
    "unknown service": (
        HealthServer(b"", (("grpc-status", "5"), ("grpc-message", "unknown service"))),
        ProbeResult(
            Outcome.FAILURE,
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        ),
    ),
    "no health service": (
        HealthServer(b"", (("grpc-status", "12"), ("grpc-message", "unknown method Check"))),
        ProbeResult(
            Outcome.FAILURE,
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): unknown method Check",
        ),
    ),
    "broken answer": (
        HealthServer(b"x"),
        ProbeResult(
            Outcome.FAILURE,
            "error: health rpc probe failed: rpc error: code = Internal desc = "
            "the answer holds no message",
        ),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_calls(name: str) -> None:
    server, expected = CALLS[name]
    async with serving(server) as port:
        result = await probe_grpc(None, "127.0.0.1", GrpcAction(port=port, service="web"), 2.0)
    assert result == expected
    headers, body = server.requests[0]
    assert headers[":path"] == "/grpc.health.v1.Health/Check"
    assert headers["user-agent"] == "kube-probe/1.36"
    assert body == encode_request("web")


async def test_no_answer_in_time() -> None:
    async with serving(HealthServer(status=None)) as port:
        result = await probe_grpc(None, "127.0.0.1", GrpcAction(port=port), 0.1)
    assert result.output == "timeout: health rpc did not complete within 0.1s"


async def test_a_refused_connection_counts_as_too_late() -> None:
    async with serving(HealthServer()) as port:
        pass
    result = await probe_grpc(None, "127.0.0.1", GrpcAction(port=port), 0.05)
    assert result.output == (
        f'timeout: failed to connect service "127.0.0.1:{port}" within 0.05s: '
        "context deadline exceeded"
    )


async def test_a_server_that_speaks_something_else_is_never_connected() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        result = await probe_grpc(None, "127.0.0.1", GrpcAction(port=port), 0.1)
    assert result.output.startswith("timeout: failed to connect service")
