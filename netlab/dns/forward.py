"""Names outside the cluster: ask the resolvers that the node uses.

Mirrors CoreDNS's ``forward . /etc/resolv.conf``. Each question goes out from a socket and with an
id of its own, and only an answer from that address to that question is believed. When no resolver
answers within the time, or there is none, the answer is SERVFAIL: quickly, because programs wait
for it before they try the next name of their search list.

The same question asked twice is sent once; that saves work, and it ends the circle in which a
node's resolver forwards to this server. netlab leaves out a cache and health checks of upstreams.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from netlab.dns import wire
from netlab.dns.wire import Query

TIMEOUT_S = 1.8
"""For all resolvers together; clients give up after 5 s and must hear of SERVFAIL before."""
MAX_PENDING = 1000
DNS_PORT = 53


def resolvers(resolv_conf: str) -> list[IPv4Address]:
    """Return the IPv4 name servers of a resolv.conf, without loopback addresses.

    A loopback resolver of the node cannot be reached from a pod: there, loopback is the pod.
    """
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = IPv4Address(words[1])
        except ValueError:
            continue
        if not address.is_loopback and not address.is_unspecified:
            found.append(address)
    return found


def read_resolvers(path: Path) -> list[IPv4Address]:
    """Return the name servers that the file names; none when it cannot be read."""
    try:
        return resolvers(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


class _Exchange(asyncio.DatagramProtocol):
    """One question on its way; ``answer`` gets the datagram that fits it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done() and is_answer(self._request, data):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        # nobody listens there, or there is no route: no need to wait
        if not self.answer.done():
            self.answer.set_exception(exc)


def is_answer(request: bytes, data: bytes) -> bool:
    """Return whether ``data`` answers ``request``: its id, and the same question."""
    end = len(request)
    return (
        len(data) >= wire.HEADER_BYTES
        and data[:2] == request[:2]
        and bool(data[2] & 0x80)
        and data[wire.HEADER_BYTES : end].lower() == request[wire.HEADER_BYTES :].lower()
    )


class Forwarder:
    """Asks the resolvers in turn. ``resolve`` returns the answer without its id, or None."""

    def __init__(
        self,
        servers: Sequence[IPv4Address],
        *,
        port: int = DNS_PORT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._servers = tuple(servers)
        self._port = port
        self._timeout_s = timeout_s
        self._pending: dict[tuple[bytes, bool], asyncio.Future[bytes | None]] = {}

    async def resolve(self, query: Query, *, tcp: bool) -> bytes | None:
        """Return what an upstream says, from the flags on; None when nobody answers."""
        if not self._servers:
            return None
        key = (query.question, tcp)
        pending = self._pending.get(key)
        if pending is None:
            if len(self._pending) >= MAX_PENDING:
                return None
            pending = asyncio.ensure_future(self._ask_all(query.question, tcp=tcp))
            self._pending[key] = pending
            pending.add_done_callback(lambda _: self._pending.pop(key, None))
        return await asyncio.shield(pending)

    async def close(self) -> None:
        """Give up all questions on their way."""
        for pending in list(self._pending.values()):
            pending.cancel()
        await asyncio.gather(*self._pending.values(), return_exceptions=True)

    async def _ask_all(self, question: bytes, *, tcp: bool) -> bytes | None:
        share_s = self._timeout_s / len(self._servers)
        for server in self._servers:
            header = wire.HEADER.pack(secrets.randbits(16), wire.RD, 1, 0, 0, 0)
            try:
                async with asyncio.timeout(share_s):
                    ask = self._ask_tcp if tcp else self._ask_udp
                    return (await ask(str(server), header + question))[2:]
            except (OSError, TimeoutError, EOFError):
                continue
        return None

    async def _ask_udp(self, server: str, request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        transport, exchange = await loop.create_datagram_endpoint(
            lambda: _Exchange(request), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(request)
            return await exchange.answer
        finally:
            transport.close()

    async def _ask_tcp(self, server: str, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(len(request).to_bytes(2, "big") + request)
            length = int.from_bytes(await reader.readexactly(2), "big")
            data = await reader.readexactly(length)
        finally:
            writer.close()
        if not is_answer(request, data):
            raise OSError("an answer to another question")
        return data


def readdressed(query: Query, body: bytes) -> bytes:
    """Return an upstream's answer as the answer to ``query``: its id and its spelling."""
    end = len(query.question) + wire.HEADER_BYTES - 2
    return query.id.to_bytes(2, "big") + body[: wire.HEADER_BYTES - 2] + query.question + body[end:]
