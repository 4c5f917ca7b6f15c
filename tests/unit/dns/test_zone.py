"""What the cluster's names are answered with: the DNS specification, row by row."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
import pytest

from netlab.api.core import Service
from netlab.dns.records import service_names
from netlab.dns.table import AnswerTable

Z = "cluster.local"


def texts(section: Any) -> list[str]:
    return sorted(f"{rr.name} {item.to_text()}" for rr in section for item in rr)


ROWS = [
    ("ClusterIP", f"web.default.svc.{Z}", "A", [f"web.default.svc.{Z}. 10.96.0.20"]),
    ("headless", f"db.default.svc.{Z}", "A",
     [f"db.default.svc.{Z}. 10.244.0.5", f"db.default.svc.{Z}. 10.244.0.6"]),
    ("endpoint by hostname", f"db-0.db.default.svc.{Z}", "A",
     [f"db-0.db.default.svc.{Z}. 10.244.0.5"]),
    ("endpoint by address", f"10-244-0-6.db.default.svc.{Z}", "A",
     [f"10-244-0-6.db.default.svc.{Z}. 10.244.0.6"]),
    ("SRV", f"_http._tcp.web.default.svc.{Z}", "SRV",
     [f"_http._tcp.web.default.svc.{Z}. 0 100 80 web.default.svc.{Z}."]),
    ("headless SRV", f"_http._tcp.db.default.svc.{Z}", "SRV",
     [f"_http._tcp.db.default.svc.{Z}. 0 50 8080 10-244-0-6.db.default.svc.{Z}.",
      f"_http._tcp.db.default.svc.{Z}. 0 50 8080 db-0.db.default.svc.{Z}."]),
    ("PTR of a ClusterIP", "20.0.96.10.in-addr.arpa", "PTR",
     [f"20.0.96.10.in-addr.arpa. web.default.svc.{Z}."]),
    ("PTR of an endpoint", "5.0.244.10.in-addr.arpa", "PTR",
     [f"5.0.244.10.in-addr.arpa. db-0.db.default.svc.{Z}."]),
    ("ExternalName inside", f"inside.default.svc.{Z}", "A",
     [f"inside.default.svc.{Z}. web.default.svc.{Z}.", f"web.default.svc.{Z}. 10.96.0.20"]),
    ("ExternalName, CNAME asked", f"inside.default.svc.{Z}", "CNAME",
     [f"inside.default.svc.{Z}. web.default.svc.{Z}."]),
    ("pod", f"10-244-0-9.default.pod.{Z}", "A", [f"10-244-0-9.default.pod.{Z}. 10.244.0.9"]),
    ("version", f"dns-version.{Z}", "TXT", [f'dns-version.{Z}. "1.1.0"']),
    ("name servers", Z, "NS", [f"{Z}. kube-dns.kube-system.svc.{Z}."]),
    ("ANY", f"web.default.svc.{Z}", "ANY", [f'web.default.svc.{Z}. "RFC8482" ""']),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "type_", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS]
)
def test_records(ask: Any, name: str, type_: str, expected: list[str]) -> None:
    message = ask(name, type_)
    assert message.rcode() == dns.rcode.NOERROR
    assert texts(message.answer) == expected
    assert all(rr.ttl == 30 for rr in message.answer)


NEGATIVE = [
    ("AAAA of an IPv4 Service", f"web.default.svc.{Z}", "AAAA", dns.rcode.NOERROR),
    ("MX", f"web.default.svc.{Z}", "MX", dns.rcode.NOERROR),
    ("type nobody knows", f"web.default.svc.{Z}", "TYPE4711", dns.rcode.NOERROR),
    ("no such Service", f"nope.default.svc.{Z}", "A", dns.rcode.NXDOMAIN),
    ("no such namespace", f"web.nope.svc.{Z}", "A", dns.rcode.NXDOMAIN),
    ("search list's own doubling", f"web.default.svc.{Z}.svc.{Z}", "A", dns.rcode.NXDOMAIN),
    ("namespace of Services", f"default.svc.{Z}", "A", dns.rcode.NOERROR),
    ("svc itself", f"svc.{Z}", "A", dns.rcode.NOERROR),
    ("apex", Z, "A", dns.rcode.NOERROR),
    ("not ready endpoint", f"10-244-0-7.db.default.svc.{Z}", "A", dns.rcode.NXDOMAIN),
    ("pod in no namespace", f"10-244-0-9.nope.pod.{Z}", "A", dns.rcode.NXDOMAIN),
    ("pod that is no address", f"10-244-0.default.pod.{Z}", "A", dns.rcode.NXDOMAIN),
    ("AAAA of a pod", f"10-244-0-9.default.pod.{Z}", "AAAA", dns.rcode.NOERROR),
    ("pods of a namespace", f"default.pod.{Z}", "A", dns.rcode.NOERROR),
]


@pytest.mark.parametrize(
    ("name", "type_", "rcode"), [pytest.param(*row[1:], id=row[0]) for row in NEGATIVE]
)
def test_negative_answers_carry_the_soa(ask: Any, name: str, type_: str, rcode: int) -> None:
    message = ask(name, type_)
    assert message.rcode() == rcode
    assert not message.answer
    (soa,) = message.authority
    assert str(soa.name) == f"{Z}."
    assert soa[0].minimum == 30


def test_srv_brings_the_addresses(ask: Any) -> None:
    assert texts(ask(f"_http._tcp.db.default.svc.{Z}", "SRV").additional) == [
        f"10-244-0-6.db.default.svc.{Z}. 10.244.0.6",
        f"db-0.db.default.svc.{Z}. 10.244.0.5",
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("www.example.org", id="elsewhere"),
        pytest.param("1.2.0.192.in-addr.arpa", id="reverse of no Service"),
        pytest.param("xcluster.local", id="only looks like the zone"),
        pytest.param(f"outside.default.svc.{Z}", id="ExternalName outside"),
    ],
)
def test_others_are_forwarded(table: AnswerTable, name: str) -> None:
    assert table.reply(dns.message.make_query(name, "A").to_wire()) is None


def test_labels_that_hold_the_zones_bytes_are_not_the_zone(table: AnswerTable) -> None:
    # one label whose text happens to end in the wire form of pod.cluster.local
    hidden = b"\x18" + b"1.d\x03pod\x07cluster\x05local\x00\x00\x00"[:24] + b"\0"
    data = b"\0\1\1\0\0\1\0\0\0\0\0\0" + hidden + b"\0\1\0\1"
    assert table.reply(data) is None


def test_replacing_a_service_takes_its_old_names_away(table: AnswerTable, ask: Any) -> None:
    assert ask(f"web.default.svc.{Z}").answer
    changed = Service.parse(
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.21", "ports": []},
        }
    )
    assert table.zone.replace("default/web", service_names(changed, (), Z))
    assert not table.zone.replace("default/web", service_names(changed, (), Z))
    table.clear()
    assert texts(ask(f"web.default.svc.{Z}").answer) == [f"web.default.svc.{Z}. 10.96.0.21"]
    assert ask(f"_http._tcp.web.default.svc.{Z}", "SRV").rcode() == dns.rcode.NXDOMAIN
    for owner in list(table.zone.owners()):
        table.zone.replace(owner, {})
    table.clear()
    assert ask(f"svc.{Z}").rcode() == dns.rcode.NXDOMAIN


def test_two_services_may_share_a_name(table: AnswerTable, ask: Any) -> None:
    """The pod of two headless Services has two reverse names."""
    names = {b"\x015\x010\x03244\x0210\x07in-addr\x04arpa\0": {12: (b"\x05other\0",)}}
    table.zone.replace("default/other", names)
    assert len(ask("5.0.244.10.in-addr.arpa", "PTR").answer[0]) == 2
    table.zone.replace("default/other", {})
    table.clear()
    assert len(ask("5.0.244.10.in-addr.arpa", "PTR").answer[0]) == 1
