"""Asks a gRPC server in a pod for its health, over HTTP/2 without TLS, from the node.

Mirrors ``pkg/probe/grpc``: SERVING is success, anything else failure. As grpc-go with WithBlock,
a connection that is refused is tried again until the time is over, and counts as made when the
server has sent its HTTP/2 settings.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from netlab.api.containers import GrpcAction
from netlab.kubelet.probes.dialing import DialError, cause, dial_tcp, join_host_port
from netlab.kubelet.probes.health_message import (
    SERVING,
    RpcStatus,
    decode_response,
    encode_request,
    failure_text,
    request_headers,
    rpc_status,
)
from netlab.kubelet.probes.results import Outcome, ProbeResult

STREAM_ID = 1
READ_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 64 * 1024
FIRST_RETRY_S = 1.0
RETRY_GROWTH = 1.6  # grpc's connection backoff


class _BrokenError(Exception):
    """The connection ended, or the other side does not speak HTTP/2."""


async def probe_grpc(
    netns: Path | None, host: str, action: GrpcAction, timeout_s: float
) -> ProbeResult:
    """Return what the server at host says of its health."""
    timeout = f"{timeout_s:g}s"
    call: _Call | None = None
    try:
        async with asyncio.timeout(timeout_s):
            call = await _connect(netns, host, action.port)
            status, answer = await call.check(host, action)
    except TimeoutError:
        if call is None:
            where = join_host_port(host, action.port)
            return ProbeResult(
                Outcome.FAILURE,
                f'timeout: failed to connect service "{where}" within {timeout}: '
                "context deadline exceeded",
            )
        status, answer = RpcStatus("DeadlineExceeded"), b""
    finally:
        if call is not None:
            await call.close()
    return _judge(status, answer, timeout)


def _judge(status: RpcStatus, answer: bytes, timeout: str) -> ProbeResult:
    if status.code == "OK":
        try:
            health = decode_response(answer)
        except ValueError as error:
            status = RpcStatus("Internal", str(error))
        else:
            if health == SERVING:
                return ProbeResult(Outcome.SUCCESS, "service healthy")
            text = f'service unhealthy (responded with "{health}")'
            return ProbeResult(Outcome.FAILURE, text)
    return ProbeResult(Outcome.FAILURE, failure_text(status, timeout))


async def _connect(netns: Path | None, host: str, port: int) -> _Call:
    """Return a connection whose other side has sent its settings; try until cancelled."""
    delay_s = FIRST_RETRY_S
    while True:
        try:
            connection = await dial_tcp(netns, host, port)
            call = _Call(*await asyncio.open_connection(sock=connection))
            try:
                await call.shake_hands()
            except BaseException:
                await call.close()
                raise
        except (DialError, _BrokenError, OSError):
            await asyncio.sleep(delay_s)
            delay_s *= RETRY_GROWTH
        else:
            return call


class _Call:
    """One connection for one call."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._headers: dict[str, str] = {}
        self._answer = bytearray()
        self._ended = False
        self._settled = False

    async def shake_hands(self) -> None:
        """Wait for the server's settings.

        Raises: _BrokenError.
        """
        self._http.initiate_connection()
        await self._send()
        while not self._settled:
            await self._receive()

    async def check(self, host: str, action: GrpcAction) -> tuple[RpcStatus, bytes]:
        """Return how the call ended and the answer's bytes."""
        try:
            self._http.send_headers(STREAM_ID, request_headers(host, action.port))
            self._http.send_data(STREAM_ID, encode_request(action.service), end_stream=True)
            await self._send()
            while not self._ended:
                await self._receive()
        except _BrokenError as error:
            return RpcStatus("Unavailable", str(error)), b""
        except OSError as error:
            return RpcStatus("Unavailable", f"error reading from server: {cause(error)}"), b""
        return rpc_status(self._headers), bytes(self._answer)

    async def _send(self) -> None:
        self._writer.write(self._http.data_to_send())
        await self._writer.drain()

    async def _receive(self) -> None:
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise _BrokenError("error reading from server: EOF")
        try:
            events = self._http.receive_data(data)
        except ProtocolError as error:
            raise _BrokenError(f"connection error: {error}") from error
        for event in events:
            self._take(event)
        await self._send()

    def _take(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._settled = True
            case ResponseReceived(headers=headers) | TrailersReceived(headers=headers):
                self._headers |= _text(headers or ())
            case DataReceived(data=data):
                self._answer += data or b""
                if len(self._answer) > MAX_ANSWER_BYTES:
                    raise _BrokenError("received message larger than max")
                length = event.flow_controlled_length or 0
                self._http.acknowledge_received_data(length, STREAM_ID)
            case StreamEnded():
                self._ended = True
            case StreamReset() | ConnectionTerminated():
                raise _BrokenError("stream terminated by the server")

    async def close(self) -> None:
        """End the connection."""
        self._writer.transport.abort()
        with contextlib.suppress(Exception):
            await self._writer.wait_closed()


def _text(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    def text(word: str | bytes) -> str:
        return word if isinstance(word, str) else word.decode(errors="replace")

    return {text(name): text(value) for name, value in headers}
