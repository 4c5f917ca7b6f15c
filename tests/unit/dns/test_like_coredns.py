"""Answers that CoreDNS gives in corners: cut answers, odd ExternalNames, weights, spelling."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from netlab.dns import wire
from netlab.dns.records import service_names
from netlab.dns.table import AnswerTable
from netlab.dns.wire import Answer, Record
from tests.unit.dns.conftest import service, slice_of

Z = "cluster.local"


def texts(section: Any) -> list[str]:
    return sorted(f"{rr.name} {item.to_text()}" for rr in section for item in rr)


def put(table: AnswerTable, name: str, *slices: Any, **spec: Any) -> None:
    obj = service(name, **spec)
    table.zone.replace(f"default/{name}", service_names(obj, slices, Z))
    table.clear()


def alias(table: AnswerTable, name: str, target: str) -> None:
    put(table, name, type="ExternalName", externalName=target)


# cut answers -------------------------------------------------------------------------------------


def many(count: int, **options: Any) -> tuple[wire.Query, Answer]:
    asked = dns.message.make_query(f"many.default.svc.{Z}", "A", **options)
    query = wire.parse_query(asked.to_wire())
    records = [Record(query.name, wire.A, 30, n.to_bytes(4, "big")) for n in range(count)]
    return query, Answer(answers=records)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        pytest.param({}, 512, id="plain"),
        pytest.param({"use_edns": 0, "payload": 512}, 512, id="EDNS 512"),
        pytest.param({"use_edns": 0, "payload": 1232}, 1232, id="EDNS 1232"),
        pytest.param({"use_edns": 0, "payload": 100}, 512, id="EDNS less than allowed"),
    ],
)
def test_a_cut_answer_holds_as_many_records_as_fit(options: dict[str, Any], limit: int) -> None:
    query, answer = many(200, **options)
    assert query.udp_bytes == limit
    data = wire.build_response(query, answer, limit_bytes=query.udp_bytes)
    message = dns.message.from_wire(data)
    assert message.flags & dns.flags.TC
    header = wire.HEADER_BYTES + len(query.question) + (wire.OPT_BYTES if query.edns else 0)
    assert len(message.answer[0]) == (limit - header) // 16
    assert limit - 16 < len(data) <= limit
    assert [item.address for item in message.answer[0]][:2] == ["0.0.0.0", "0.0.0.1"]
    assert (message.edns == 0) is query.edns


@pytest.mark.parametrize("count", [29, 30])
def test_the_last_record_that_fits_is_not_cut(count: int) -> None:
    query, answer = many(count)
    fits = wire.HEADER_BYTES + len(query.question) + count * 16 <= 512
    message = dns.message.from_wire(wire.build_response(query, answer, limit_bytes=512))
    assert bool(message.flags & dns.flags.TC) is not fits
    assert len(message.answer[0]) == min(count, 29)


def test_over_tcp_only_what_its_length_cannot_tell_is_cut() -> None:
    query, answer = many(4000)
    message = dns.message.from_wire(wire.build_response(query, answer, limit_bytes=None))
    assert len(message.answer[0]) == 4000
    assert not message.flags & dns.flags.TC
    query, answer = many(5000)
    data = wire.build_response(query, answer, limit_bytes=None)
    assert 65535 - 16 < len(data) <= 65535
    assert dns.message.from_wire(data).flags & dns.flags.TC


def test_names_too_far_behind_are_not_pointed_at() -> None:
    query, answer = many(1200)
    far = wire.encode_name("far.away.example.org")
    glue = [Record(far, wire.A, 30, bytes((10, 0, 0, n))) for n in range(3)]
    whole = Answer(answers=answer.answers, additional=glue)
    message = dns.message.from_wire(wire.build_response(query, whole, limit_bytes=None))
    assert [str(rr.name) for rr in message.additional] == ["far.away.example.org."]
    assert len(message.additional[0]) == 3


def test_names_are_written_once(ask: Any) -> None:
    data = ask(f"_http._tcp.db.default.svc.{Z}", "SRV").to_wire()
    assert len(data) < 300


# ExternalNames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("type_", ["A", "AAAA", "CNAME", "SRV", "TXT"])
def test_an_external_name_that_is_an_address_does_not_exist(
    table: AnswerTable, ask: Any, address: str, type_: str
) -> None:
    alias(table, "odd", address)
    message = ask(f"odd.default.svc.{Z}", type_)
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert not message.answer
    assert message.authority


LOOPS = {
    "itself": {"a": "a"},
    "two": {"a": "b", "b": "a"},
    "three": {"a": "b", "b": "c", "c": "a"},
    "into a circle": {"a": "b", "b": "c", "c": "b"},
    "nowhere": {"a": "missing"},
    "longer than CoreDNS follows": {f"{chr(97 + n)}": f"{chr(98 + n)}" for n in range(12)},
}


@pytest.mark.parametrize("links", LOOPS.values(), ids=LOOPS.keys())
@pytest.mark.parametrize("type_", ["A", "AAAA", "TXT"])
def test_aliases_that_lead_nowhere_are_an_empty_answer(
    table: AnswerTable, ask: Any, links: dict[str, str], type_: str
) -> None:
    for name, target in links.items():
        alias(table, name, f"{target}.default.svc.{Z}")
    message = ask(f"a.default.svc.{Z}", type_)
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])
    assert message.authority
    asked = ask(f"a.default.svc.{Z}", "CNAME")
    assert texts(asked.answer) == [f"a.default.svc.{Z}. {links['a']}.default.svc.{Z}."]


def test_a_chain_of_aliases_is_followed(table: AnswerTable, ask: Any) -> None:
    alias(table, "a", f"b.default.svc.{Z}")
    alias(table, "b", f"web.default.svc.{Z}")
    assert texts(ask(f"a.default.svc.{Z}").answer) == [
        f"a.default.svc.{Z}. b.default.svc.{Z}.",
        f"b.default.svc.{Z}. web.default.svc.{Z}.",
        f"web.default.svc.{Z}. 10.96.0.20",
    ]
    empty = ask(f"a.default.svc.{Z}", "AAAA")
    assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize("type_", ["MX", "HTTPS", "CAA"])
def test_an_alias_has_no_data_of_other_types(ask: Any, type_: str) -> None:
    for name in ("inside", "outside"):
        message = ask(f"{name}.default.svc.{Z}", type_)
        assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


def test_the_alias_itself_is_told_without_asking_outside(ask: Any) -> None:
    message = ask(f"outside.default.svc.{Z}", "CNAME")
    assert texts(message.answer) == [f"outside.default.svc.{Z}. www.example.org."]


def test_a_service_record_leads_to_an_alias(ask: Any) -> None:
    message = ask(f"outside.default.svc.{Z}", "SRV")
    assert texts(message.answer) == [f"outside.default.svc.{Z}. 0 100 0 www.example.org."]


# weights and endpoints ---------------------------------------------------------------------------


def endpoint(address: str, **more: Any) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": True}, **more}


def weights(message: Any) -> list[tuple[int, int]]:
    return sorted((item.port, item.weight) for rr in message.answer for item in rr)


def test_weights_are_shared_by_the_records_of_one_answer(table: AnswerTable, ask: Any) -> None:
    http = {"name": "http", "port": 80, "protocol": "TCP"}
    admin = {"name": "admin", "port": 81, "protocol": "TCP"}
    first = slice_of("mixed", [endpoint("10.244.0.1"), endpoint("10.244.0.2")], [http, admin])
    second = slice_of("mixed", [endpoint("10.244.0.3")], [http])
    put(table, "mixed", first, second, clusterIP="None", ports=[])
    # only endpoints that serve the port share its weight
    assert weights(ask(f"_http._tcp.mixed.default.svc.{Z}", "SRV")) == [(80, 33)] * 3
    assert weights(ask(f"_admin._tcp.mixed.default.svc.{Z}", "SRV")) == [(81, 50)] * 2
    assert weights(ask(f"mixed.default.svc.{Z}", "SRV")) == [(80, 20)] * 3 + [(81, 20)] * 2
    assert weights(ask(f"10-244-0-1.mixed.default.svc.{Z}", "SRV")) == [(80, 50), (81, 50)]


def test_ports_of_one_address_share_too(table: AnswerTable, ask: Any) -> None:
    ports = [{"name": f"p{n}", "port": 80 + n, "protocol": "TCP"} for n in range(3)]
    put(table, "three", clusterIP="10.96.0.33", ports=ports)
    assert weights(ask(f"three.default.svc.{Z}", "SRV")) == [(80, 33), (81, 33), (82, 33)]
    assert weights(ask(f"_p1._tcp.three.default.svc.{Z}", "SRV")) == [(81, 100)]


def test_no_weight_is_less_than_one(table: AnswerTable, ask: Any) -> None:
    http = {"name": "http", "port": 80, "protocol": "TCP"}
    piece = slice_of("crowd", [endpoint(f"10.244.1.{n}") for n in range(150)], [http])
    put(table, "crowd", piece, clusterIP="None", ports=[])
    query = wire.parse_query(
        dns.message.make_query(f"_http._tcp.crowd.default.svc.{Z}", "SRV").to_wire()
    )
    answer = table.zone.answer(query)
    message = dns.message.from_wire(wire.build_response(query, answer, limit_bytes=None))
    assert weights(message) == [(80, 1)] * 150


def test_endpoints_without_ports_have_addresses_and_take_a_share(
    table: AnswerTable, ask: Any
) -> None:
    http = {"name": "http", "port": 80, "protocol": "TCP"}
    bare = slice_of("half", [endpoint("10.244.0.1")], [])
    put(table, "half", bare, slice_of("half", [endpoint("10.244.0.2")], [http]), clusterIP="None")
    assert len(ask(f"half.default.svc.{Z}").answer[0]) == 2
    assert weights(ask(f"half.default.svc.{Z}", "SRV")) == [(80, 50)]
    assert weights(ask(f"_http._tcp.half.default.svc.{Z}", "SRV")) == [(80, 100)]


def test_a_pod_behind_a_cluster_ip_has_a_reverse_name(table: AnswerTable, ask: Any) -> None:
    http = {"name": "http", "port": 8080, "protocol": "TCP"}
    piece = slice_of("front", [endpoint("10.244.0.40")], [http])
    put(table, "front", piece, clusterIP="10.96.0.40", ports=[{"port": 80}])
    name = f"10-244-0-40.front.default.svc.{Z}."
    assert texts(ask("40.0.244.10.in-addr.arpa", "PTR").answer) == [
        f"40.0.244.10.in-addr.arpa. {name}"
    ]
    assert texts(ask(name).answer) == [f"{name} 10.244.0.40"]
    assert texts(ask(f"front.default.svc.{Z}").answer) == [f"front.default.svc.{Z}. 10.96.0.40"]


@pytest.mark.parametrize("ready", [None, True, False])
def test_a_headless_service_has_the_names_of_its_ready_endpoints(
    table: AnswerTable, ask: Any, ready: bool | None
) -> None:
    """publishNotReadyAddresses makes the controller call them ready."""
    conditions = {} if ready is None else {"ready": ready, "serving": True}
    piece = slice_of("lone", [endpoint("10.244.0.50") | {"conditions": conditions}], [])
    put(table, "lone", piece, clusterIP="None")
    message = ask(f"lone.default.svc.{Z}")
    if ready is False:
        assert message.rcode() == dns.rcode.NXDOMAIN
        assert message.authority
    else:
        assert texts(message.answer) == [f"lone.default.svc.{Z}. 10.244.0.50"]


# spelling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"WeB.Default.SVC.{Z}", f"web.default.svc.{Z.upper()}"])
def test_answers_keep_the_spelling_of_the_question(ask: Any, name: str) -> None:
    message = ask(name)
    assert str(message.question[0].name) == f"{name}."
    assert str(message.answer[0].name) == f"{name}."
    assert message.answer[0][0].address == "10.96.0.20"
