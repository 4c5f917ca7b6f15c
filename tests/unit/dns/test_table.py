"""Ready answers: as right as fresh ones, in turn, and gone when the zone changes."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from netlab.dns import table as table_module
from netlab.dns.table import AnswerTable

WEB = "web.default.svc.cluster.local"


def test_the_spelling_of_the_question_is_kept(table: AnswerTable) -> None:
    for name in ("wEb.DeFault.SVC.cluster.local", WEB, "wEb.DeFault.SVC.cluster.local"):
        query = dns.message.make_query(name, "A")
        data = table.reply(query.to_wire())
        assert data is not None
        assert data[12:].startswith(query.to_wire()[12:])
        assert dns.message.from_wire(data).answer[0][0].to_text() == "10.96.0.20"


@pytest.mark.parametrize("edns", [pytest.param(-1, id="plain"), pytest.param(0, id="EDNS")])
def test_the_second_answer_equals_the_first(ask: Any, edns: int) -> None:
    first = ask(WEB, use_edns=edns)
    second = ask(WEB, use_edns=edns)
    assert first.id != second.id or first == second
    assert first.answer == second.answer
    assert (first.edns, second.edns) == (edns, edns)


def test_the_rd_bit_comes_back(table: AnswerTable) -> None:
    for flags in (0, dns.flags.RD):
        query = dns.message.make_query(WEB, "A", flags=flags)
        data = table.reply(query.to_wire())
        assert data is not None
        assert dns.message.from_wire(data).flags & dns.flags.RD == flags


def test_addresses_are_given_out_in_turn(ask: Any) -> None:
    firsts = [ask("db.default.svc.cluster.local").answer[0][0].to_text() for _ in range(5)]
    assert set(firsts[1:]) == {"10.244.0.5", "10.244.0.6"}


def test_random_names_do_not_fill_the_memory(
    ask: Any, table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_module, "MAX_READY", 10)
    for n in range(35):
        ask(f"no-{n}.default.svc.cluster.local")
    assert len(table._ready) <= 10


def test_before_the_names_are_known_the_answer_is_servfail(ask: Any, table: AnswerTable) -> None:
    table.synced = False
    assert ask(WEB).rcode() == dns.rcode.SERVFAIL
    table.synced = True
    assert ask(WEB).rcode() == dns.rcode.NOERROR


def test_what_is_not_asked_for_addresses(table: AnswerTable) -> None:
    status = dns.message.make_query(WEB, "A")
    status.set_opcode(2)
    version = dns.message.make_query(WEB, "A", use_edns=1)
    chaos = dns.message.make_query("version.bind", "TXT", "CH")
    rcodes = []
    for query in (status, version, chaos):
        data = table.reply(query.to_wire())
        assert data is not None
        rcodes.append(dns.message.from_wire(data).rcode())
    assert rcodes == [dns.rcode.NOTIMP, dns.rcode.BADVERS, dns.rcode.REFUSED]


def test_malformed_questions(table: AnswerTable) -> None:
    assert table.reply(b"\0\1\x80\0" + b"\0" * 8) == b""
    assert table.reply(b"x") == b""
    answer = table.reply(b"\0\1\1\0\0\2" + b"\0" * 6)
    assert answer is not None
    assert dns.message.from_wire(answer).rcode() == dns.rcode.FORMERR
