"""The server: datagrams and TCP connections on port 53.

UDP is read straight from the socket, many datagrams for each wake-up of the event loop: a Python
callback and a transport per datagram would halve the rate. What is not answered from the table
(names outside the cluster) becomes a task.

Over TCP each message stands behind its length in two bytes; a connection may ask many times.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from netlab.dns import wire
from netlab.dns.forward import Forwarder, readdressed
from netlab.dns.table import AnswerTable
from netlab.dns.wire import Answer, Query, Record, WireError

BATCH = 64
"""Datagrams answered before the event loop gets its turn again: a millisecond at most."""
MAX_DATAGRAM_BYTES = 4096
MAX_TASKS = 2000
SOCKET_BUFFER_BYTES = 4 << 20
"""Room for bursts: a datagram that finds the buffer full is lost, and its asker waits 5 s."""
TCP_IDLE_S = 30.0
PORT_ATTEMPTS = 10

_Peer = tuple[str, int]


@dataclass
class Counters:
    """What the metrics tell: answers by transport, and by rcode."""

    udp: int = 0
    tcp: int = 0
    forwarded: int = 0
    dropped: int = 0
    rcodes: list[int] = field(default_factory=lambda: [0] * 16)


class DnsServer:
    """Answers on one address. ``start`` and ``close`` belong together.

    clients: from which addresses' questions are taken; all of them, as the pod network is
    nobody else's.
    """

    def __init__(self, table: AnswerTable, forwarder: Forwarder) -> None:
        self.table = table
        self.forwarder = forwarder
        self.counters = Counters()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, address: str, port: int) -> None:
        """Bind UDP and TCP and begin to answer.

        Raises: OSError when the port is taken.
        """
        # with port 0 the kernel finds one that is free for UDP, but perhaps not for TCP
        for _ in range(0 if port else PORT_ATTEMPTS - 1):
            with contextlib.suppress(OSError):
                await self._listen(address, port)
                return
        await self._listen(address, port)

    async def _listen(self, address: str, port: int) -> None:
        udp = _bound(address, port)
        try:
            number = udp.getsockname()[1]
            self._tcp = await asyncio.start_server(self._serve_tcp, address, number)
        except BaseException:
            udp.close()
            raise
        self._socket = udp
        asyncio.get_running_loop().add_reader(udp.fileno(), self._readable)

    @property
    def port(self) -> int:
        """The port bound, for those who asked for port 0."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Stop answering and release the port."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._tcp is not None:
            self._tcp.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.forwarder.close()

    def _readable(self) -> None:
        udp = self._socket
        if udp is None:
            return
        receive, send, reply = udp.recvfrom, udp.sendto, self.table.reply
        counters = self.counters
        for _ in range(BATCH):
            try:
                data, peer = receive(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error about an earlier answer
            answer = reply(data)
            if answer:
                counters.udp += 1
                counters.rcodes[answer[3] & 15] += 1
                try:
                    send(answer, peer)
                except OSError:
                    counters.dropped += 1  # the asker will ask again
            elif answer is None:
                self._spawn(self._forward_udp(data, peer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MAX_TASKS:
            self.counters.dropped += 1
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward_udp(self, data: bytes, peer: _Peer) -> None:
        query = wire.parse_query(data)
        answer = await self._outside(query, tcp=False)
        self.counters.udp += 1
        self.counters.rcodes[answer[3] & 15] += 1
        if self._socket is not None:
            try:
                self._socket.sendto(answer, peer)
            except OSError:
                self.counters.dropped += 1

    async def _outside(self, query: Query, *, tcp: bool) -> bytes:
        """Return the answer to a question that the zone alone cannot answer."""
        self.counters.forwarded += 1
        limit = None if tcp else query.udp_bytes
        if self.table.zone.knows(query):
            return await self._follow_alias(query, tcp=tcp)
        body = await self.forwarder.resolve(query, tcp=tcp)
        if body is None:
            refusal = Answer(wire.SERVFAIL, authoritative=False)
            return wire.build_response(query, refusal, limit_bytes=limit)
        return readdressed(query, body)

    async def _follow_alias(self, query: Query, *, tcp: bool) -> bytes:
        """Return the CNAME of an ExternalName Service with the addresses behind it.

        When nobody can tell the addresses, the CNAME alone is still the truth.
        """
        answer = self.table.zone.answer(query)
        target = self.table.zone.external_alias(query, answer)
        found: list[Record] = []
        truncated = False
        if target is not None:
            question = target + query.question[-4:]
            outside = Query(query.id, 0, True, question, target, query.type, query.class_)
            body = await self.forwarder.resolve(outside, tcp=tcp)
            if body is not None:
                found = wire.parse_answers(b"\0\0" + body)
                truncated = wire.is_truncated(b"\0\0" + body)
        whole = Answer(wire.NOERROR, (*answer.answers, *found), truncated=truncated)
        return wire.build_response(query, whole, limit_bytes=None if tcp else query.udp_bytes)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                answer = await self._tcp_answer(data)
                if not answer:
                    return
                self.counters.tcp += 1
                self.counters.rcodes[answer[3] & 15] += 1
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(TCP_IDLE_S):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _tcp_answer(self, data: bytes) -> bytes:
        try:
            query = wire.parse_query(data)
        except WireError as error:
            return wire.formerr(data) if error.answerable else b""
        refusal = self.table.refusal(query)
        if refusal is not None:
            return wire.build_response(query, refusal, limit_bytes=None)
        zone = self.table.zone
        if not zone.knows(query):
            return await self._outside(query, tcp=True)
        answer = zone.answer(query)
        if zone.external_alias(query, answer) is not None:
            return await self._outside(query, tcp=True)
        return wire.build_response(query, answer, limit_bytes=None)


def _bound(address: str, port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        udp.bind((address, port))
    except BaseException:
        udp.close()
        raise
    return udp
