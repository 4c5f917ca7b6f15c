"""DNS messages: read, written, and compared with what dnspython thinks of them."""

from __future__ import annotations

import random

import dns.flags
import dns.message
import dns.rcode
import pytest

from netlab.dns import wire
from netlab.dns.wire import Answer, Record


def ask(name: str, type_: str = "A", **options: object) -> bytes:
    return dns.message.make_query(name, type_, **options).to_wire()


def test_a_question_is_read() -> None:
    query = wire.parse_query(ask("WeB.Default.svc.cluster.local", "SRV"))
    assert wire.decode_name(query.name) == "web.default.svc.cluster.local"
    assert query.question.startswith(b"\x03WeB\x07Default")
    assert (query.type, query.class_, query.recursion_desired) == (wire.SRV, wire.IN, True)
    assert (query.edns, query.udp_bytes) == (False, 512)


@pytest.mark.parametrize(
    ("payload", "allowed"),
    [
        pytest.param(400, 512, id="never less than 512"),
        pytest.param(1000, 1000, id="as asked"),
        pytest.param(4096, 1232, id="never more than goes unfragmented"),
    ],
)
def test_edns_size(payload: int, allowed: int) -> None:
    query = wire.parse_query(ask("x.y", use_edns=0, payload=payload))
    assert query.edns
    assert query.udp_bytes == allowed


@pytest.mark.parametrize(
    ("data", "answerable"),
    [
        pytest.param(b"", False, id="empty"),
        pytest.param(b"\0" * 11, False, id="shorter than a header"),
        pytest.param(b"\0\1\x80\0" + b"\0" * 8, False, id="an answer"),
        pytest.param(b"\0\1\1\0\0\0" + b"\0" * 6, True, id="no question"),
        pytest.param(b"\0\1\1\0\0\2" + b"\0" * 6, True, id="two questions"),
        pytest.param(b"\0\1\1\0\0\1" + b"\0" * 6 + b"\3we", True, id="name cut off"),
        pytest.param(b"\0\1\1\0\0\1" + b"\0" * 6 + b"\3web\0\0", True, id="type cut off"),
        pytest.param(b"\0\1\1\0\0\1" + b"\0" * 6 + b"\xc0\x0c\0\1\0\1", True, id="pointer"),
        pytest.param(
            b"\0\1\1\0\0\1" + b"\0" * 6 + b"\x3f" + b"a" * 63 + b"\x3f" * 256, True, id="long name"
        ),
        pytest.param(
            b"\0\1\1\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\x09",
            True,
            id="OPT cut off",
        ),
    ],
)
def test_malformed_messages(data: bytes, answerable: bool) -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.parse_query(data)
    assert caught.value.answerable is answerable


def test_random_bytes_never_raise_anything_else() -> None:
    source = random.Random(7)
    good = ask("web.default.svc.cluster.local", use_edns=0)
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        piece = bytes(data[: source.randrange(len(data) + 1)])
        try:
            wire.parse_query(piece)
        except wire.WireError as error:
            if error.answerable:
                assert len(wire.formerr(piece)) == 12
        wire.parse_answers(piece)


def test_an_answer_as_dnspython_reads_it() -> None:
    data = ask("_http._tcp.web.default.svc.cluster.local", "SRV", use_edns=0)
    query = wire.parse_query(data)
    target = wire.encode_name("web.default.svc.cluster.local")
    answer = Answer(
        answers=(Record(query.name, wire.SRV, 30, wire.srv_data(0, 100, 80, target)),),
        additional=(Record(target, wire.A, 30, bytes((10, 96, 0, 20))),),
    )
    message = dns.message.from_wire(wire.build_response(query, answer, limit_bytes=512))
    assert message.flags & dns.flags.AA
    assert message.edns == 0
    assert str(message.answer[0][0]) == "0 100 80 web.default.svc.cluster.local."
    assert str(message.additional[0]) == "web.default.svc.cluster.local. 30 IN A 10.96.0.20"


def test_a_long_answer_is_cut_over_udp_only() -> None:
    query = wire.parse_query(ask("many.default.svc.cluster.local"))
    records = [Record(query.name, wire.A, 30, bytes((10, 244, 0, n))) for n in range(100)]
    cut = wire.build_response(query, Answer(answers=records), limit_bytes=512)
    assert len(cut) <= 512
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    whole = dns.message.from_wire(
        wire.build_response(query, Answer(answers=records), limit_bytes=None)
    )
    assert len(whole.answer[0]) == 100
    assert not whole.flags & dns.flags.TC


def test_additional_records_are_dropped_before_anything_is_cut() -> None:
    query = wire.parse_query(ask("x.y"))
    extra = [Record(query.name, wire.A, 30, bytes((10, 0, 0, n))) for n in range(60)]
    message = wire.build_response(
        query, Answer(answers=extra[:1], additional=extra), limit_bytes=512
    )
    parsed = dns.message.from_wire(message)
    assert not parsed.flags & dns.flags.TC
    assert not parsed.additional


def test_upstream_answers_are_read_without_their_compression() -> None:
    response = dns.message.from_text(
        "id 1\nopcode QUERY\nrcode NOERROR\nflags QR RD RA\n;QUESTION\nwww.example.org. IN A\n"
        ";ANSWER\nwww.example.org. 60 IN CNAME host.example.org.\n"
        "host.example.org. 60 IN A 192.0.2.1\n"
    )
    records = wire.parse_answers(response.to_wire())
    assert [(wire.decode_name(r.owner), r.type) for r in records] == [
        ("www.example.org", wire.CNAME),
        ("host.example.org", wire.A),
    ]
    assert wire.decode_name(records[0].data) == "host.example.org"


@pytest.mark.parametrize(
    "pointer",
    [pytest.param(b"\xc0\x0c", id="at itself"), pytest.param(b"\xc0\x40", id="ahead")],
)
def test_pointers_lead_backwards_or_nowhere(pointer: bytes) -> None:
    record = pointer + b"\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"
    assert wire.parse_answers(b"\0\1\x81\x80\0\0\0\1\0\0\0\0" + record) == []


@pytest.mark.parametrize(
    "name", [pytest.param("a..b", id="empty label"), pytest.param("a" * 64, id="long label"),
             pytest.param(".".join(["a" * 60] * 5), id="long name")],
)  # fmt: skip
def test_names_that_dns_cannot_carry(name: str) -> None:
    with pytest.raises(ValueError, match="DNS name"):
        wire.encode_name(name)
