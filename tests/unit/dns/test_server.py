"""The server on loopback: UDP, TCP, forwarding, a flood of rubbish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from typing import Any

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from netlab.dns.forward import Forwarder, resolvers
from netlab.dns.server import DnsServer
from netlab.dns.status_pages import metrics
from netlab.dns.table import AnswerTable
from netlab.dns.wire import A, encode_name

HOST = "127.0.0.1"
WEB = "web.default.svc.cluster.local"


class Upstream(asyncio.DatagramProtocol):
    """A resolver that knows one address for every name; ``silent`` makes it say nothing."""

    def __init__(self) -> None:
        self.asked = 0
        self.silent = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self.silent:
            return
        query = dns.message.from_wire(data)
        for address, id_ in (("192.0.2.66", query.id ^ 1), ("192.0.2.7", query.id)):
            # the first is somebody's guess, with a wrong id: it is not to be believed
            response = dns.message.make_response(query)
            response.id = id_
            name = query.question[0].name
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", address))
            self.transport.sendto(response.to_wire(), addr)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Upstream, local_addr=(HOST, 0)
    )
    yield protocol
    transport.close()


@pytest.fixture
async def server(table: AnswerTable, upstream: Upstream) -> AsyncIterator[DnsServer]:
    port = upstream.transport.get_extra_info("sockname")[1]
    forwarder = Forwarder([IPv4Address(HOST)], port=port, timeout_s=0.3)
    made = DnsServer(table, forwarder)
    await made.start(HOST, 0)
    yield made
    await made.close()


async def udp(server: DnsServer, name: str, **options: Any) -> dns.message.Message:
    query = dns.message.make_query(name, "A", **options)
    return await dns.asyncquery.udp(query, HOST, port=server.port, timeout=3)


async def tcp(server: DnsServer, name: str) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    return await dns.asyncquery.tcp(query, HOST, port=server.port, timeout=3)


async def test_udp_and_tcp(server: DnsServer) -> None:
    for answer in (await udp(server, WEB), await tcp(server, WEB)):
        assert answer.answer[0][0].to_text() == "10.96.0.20"
    assert (server.counters.udp, server.counters.tcp) == (1, 1)
    text = metrics(server.counters)
    assert 'coredns_dns_responses_total{rcode="NOERROR",zone="."} 2' in text


async def test_a_long_answer_comes_whole_over_tcp(server: DnsServer) -> None:
    addresses = tuple(bytes((10, 244, n // 250, n % 250)) for n in range(300))
    name = encode_name("many.default.svc.cluster.local")
    server.table.zone.replace("default/many", {name: {A: addresses}})
    cut = await udp(server, "many.default.svc.cluster.local")
    assert cut.flags & dns.flags.TC
    whole = await tcp(server, "many.default.svc.cluster.local")
    assert len(whole.answer[0]) == 300


async def test_other_names_are_forwarded(server: DnsServer, upstream: Upstream) -> None:
    answer = await udp(server, "WWW.Example.org")
    assert answer.answer[0][0].to_text() == "192.0.2.7"
    assert answer.question[0].name.to_text() == "WWW.Example.org."
    assert upstream.asked == 1


async def test_an_alias_is_followed_outside(server: DnsServer, upstream: Upstream) -> None:
    answer = await udp(server, "outside.default.svc.cluster.local")
    assert [rr[0].to_text() for rr in answer.answer] == ["www.example.org.", "192.0.2.7"]
    upstream.silent = True
    answer = await udp(server, "outside.default.svc.cluster.local")
    assert [rr[0].to_text() for rr in answer.answer] == ["www.example.org."]
    assert answer.rcode() == dns.rcode.NOERROR


async def test_the_same_question_is_forwarded_once(server: DnsServer, upstream: Upstream) -> None:
    upstream.silent = True
    answers = await asyncio.gather(*(udp(server, "www.example.org") for _ in range(20)))
    assert {answer.rcode() for answer in answers} == {dns.rcode.SERVFAIL}
    assert upstream.asked == 1


async def test_without_upstream_the_answer_is_servfail_at_once(table: AnswerTable) -> None:
    server = DnsServer(table, Forwarder(()))
    await server.start(HOST, 0)
    try:
        begin = asyncio.get_running_loop().time()
        for answer in (await udp(server, "www.example.org"), await tcp(server, "www.example.org")):
            assert answer.rcode() == dns.rcode.SERVFAIL
        assert asyncio.get_running_loop().time() - begin < 1
    finally:
        await server.close()


async def test_rubbish_does_not_stop_the_server(server: DnsServer) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(HOST, server.port)
    )
    good = dns.message.make_query(WEB, "A").to_wire()
    for n in range(200):
        transport.sendto(good[: n % len(good)] + bytes((n,)) * (n % 7))
    transport.close()
    assert (await udp(server, WEB)).answer


async def test_a_taken_port_is_refused_and_nothing_stays_open(table: AnswerTable) -> None:
    taken = await asyncio.start_server(lambda r, w: None, HOST, 0)
    port = taken.sockets[0].getsockname()[1]
    server = DnsServer(table, Forwarder(()))
    with pytest.raises(OSError, match="in use"):
        await server.start(HOST, port)
    taken.close()
    await taken.wait_closed()
    await server.start(HOST, port)
    await server.close()


async def test_a_free_port_is_looked_for_until_udp_and_tcp_have_it(
    table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refusals = asyncio.start_server, [OSError("in use")] * 3

    async def reluctant(*args: Any, **options: Any) -> asyncio.Server:
        if refusals:
            raise refusals.pop()
        return await start(*args, **options)

    monkeypatch.setattr(asyncio, "start_server", reluctant)
    server = DnsServer(table, Forwarder(()))
    await server.start(HOST, 0)
    await server.close()
    assert refusals == []


async def test_many_questions_on_one_connection(server: DnsServer) -> None:
    reader, writer = await asyncio.open_connection(HOST, server.port)
    question = dns.message.make_query(WEB, "A").to_wire()
    writer.write((len(question).to_bytes(2, "big") + question) * 3)
    for _ in range(3):
        length = int.from_bytes(await reader.readexactly(2), "big")
        assert dns.message.from_wire(await reader.readexactly(length)).answer
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", 2, id="two"),
        pytest.param("search x\n# nameserver 192.0.2.1\n", 0, id="none"),
        pytest.param("nameserver 127.0.0.53\noptions edns0\n", 0, id="the node's loopback"),
        pytest.param("nameserver fe80::1\nnameserver 192.0.2.1", 1, id="IPv6"),
    ],
)
def test_resolv_conf(text: str, expected: int) -> None:
    assert len(resolvers(text)) == expected
