"""The hot path: ready answers by the bytes of the question.

A client asks the same question in the same bytes again and again; only the two bytes of the id
differ. So the answer to a datagram is kept under all its bytes but the id, and repeated with the
new id in front: one look-up, no parsing. The key holds the spelling of the name, the RD bit and
the EDNS size, hence whatever the answer depends on apart from the zone; ``clear`` after every
change of the zone keeps that true.

An answer with several addresses is kept in several orders, given out in turn, as CoreDNS's
``loadbalance`` does. Pure.
"""

from __future__ import annotations

from itertools import cycle
from typing import TypeAlias

from netlab.dns import wire
from netlab.dns.wire import Answer, Query, Record
from netlab.dns.zone import Zone

MAX_READY = 20_000
"""Ready answers kept, about 150 bytes each; random names must not fill the memory."""
MAX_ORDERS = 8

_Ready: TypeAlias = bytes | cycle  # type: ignore[type-arg]


class AnswerTable:
    """Answers from the zone. ``reply`` returns None for what is to be forwarded.

    synced False: the records are not known yet, and every name of the cluster is SERVFAIL.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.synced = False
        self._ready: dict[bytes, _Ready] = {}

    def clear(self) -> None:
        """Forget all ready answers: the zone has changed."""
        self._ready.clear()

    def reply(self, data: bytes) -> bytes | None:
        """Return the answer to a datagram, b"" when none is due, None when to be forwarded."""
        ready = self._ready.get(data[2:])
        if ready is not None:
            return data[:2] + (ready if isinstance(ready, bytes) else next(ready))
        try:
            query = wire.parse_query(data)
        except wire.WireError as error:
            return wire.formerr(data) if error.answerable else b""
        refusal = self.refusal(query)
        if refusal is not None:
            return wire.build_response(query, refusal, limit_bytes=query.udp_bytes)
        if not self.zone.knows(query):
            return None
        answer = self.zone.answer(query)
        if self.zone.external_alias(query, answer) is not None:
            return None  # the rest of the answer is outside
        return self._keep(data, query, answer)

    def refusal(self, query: Query) -> Answer | None:
        """Return the answer to a question that nobody here can be asked, else None."""
        if query.opcode != 0:
            return Answer(wire.NOTIMP, authoritative=False)
        if query.edns_version > 0:
            return Answer(wire.BADVERS, authoritative=False)
        if query.class_ != wire.IN:
            return Answer(wire.REFUSED, authoritative=False)
        if not self.synced and self.zone.contains(query.name):
            return Answer(wire.SERVFAIL, authoritative=False)
        return None

    def _keep(self, data: bytes, query: Query, answer: Answer) -> bytes:
        orders = [
            wire.build_response(query, turned, limit_bytes=query.udp_bytes)
            for turned in turns(answer)
        ]
        if len(self._ready) >= MAX_READY:
            self._ready.clear()
        self._ready[data[2:]] = orders[0][2:] if len(orders) == 1 else cycle(o[2:] for o in orders)
        return orders[0]


def turns(answer: Answer) -> list[Answer]:
    """Return the answer in each order in which its addresses are given out."""
    count = sum(1 for record in answer.answers if record.type == wire.A)
    if count < 2:
        return [answer]
    aliases = [record for record in answer.answers if record.type != wire.A]
    addresses: list[Record] = [record for record in answer.answers if record.type == wire.A]
    return [
        Answer(
            answer.rcode,
            (*aliases, *addresses[n:], *addresses[:n]),
            answer.authority,
            answer.additional,
            answer.authoritative,
        )
        for n in range(min(count, MAX_ORDERS))
    ]
