"""DNS messages as bytes: reading a question, writing an answer.

A message is a header of twelve bytes, then the question, then three lists of records (answer,
authority, additional). A name is a row of labels, each behind its length, ended by a zero byte;
two bytes that begin with the bits 11 stand for "as at that offset". This module knows that and
nothing about Kubernetes.

Names are handled in wire form. Two names are equal when their bytes in lower case are: labels
hold at most 63 characters, and the length bytes 1 to 63 are no capital letters (65 to 90), so
lowering a whole name at once is safe. Pure.

Source: RFC 1035 (messages), RFC 6891 (EDNS), RFC 2308 (negative answers), RFC 8482 (ANY).
netlab leaves out DNSSEC, dynamic updates, zone transfers and classes other than IN.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 13, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

HEADER = struct.Struct("!HHHHHH")
RECORD = struct.Struct("!HHIH")
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
HEADER_BYTES = 12
PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""What fits every path without fragments; see https://www.dnsflagday.net/2020/."""
MAX_MESSAGE_BYTES = 65535
"""Over TCP the length stands in two bytes."""
OPT_BYTES = 11
MAX_POINTER = 0x3FFF
MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63


class WireError(Exception):
    """The bytes are not a message we can read; ``answerable`` says whether FORMERR is due."""

    def __init__(self, message: str, *, answerable: bool) -> None:
        super().__init__(message)
        self.answerable = answerable


class Record(NamedTuple):
    """One resource record; owner and names inside ``data`` are in wire form, uncompressed."""

    owner: bytes
    type: int
    ttl_s: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it was asked.

    question: its bytes (name in the asker's spelling, type, class); name: in lower case;
    udp_bytes: how long an answer over UDP may be; edns: True when the asker sent OPT.
    """

    id: int
    opcode: int
    recursion_desired: bool
    question: bytes
    name: bytes
    type: int
    class_: int
    edns: bool = False
    edns_version: int = 0
    udp_bytes: int = PLAIN_UDP_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be said about a question. truncated: part of it could not be learnt."""

    rcode: int = NOERROR
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    authoritative: bool = True
    truncated: bool = False


def encode_name(name: str) -> bytes:
    """Return the wire form of a name such as ``web.default.svc.cluster.local`` (dot optional).

    Raises: ValueError when a label is empty or longer than 63 characters.
    """
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")] if name else []
    if any(not 0 < len(label) <= MAX_LABEL_BYTES for label in labels):
        raise ValueError(f"not a DNS name: {name!r}")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > MAX_NAME_BYTES:
        raise ValueError(f"DNS name too long: {name!r}")
    return wire


def decode_name(wire: bytes) -> str:
    """Return an uncompressed name as text, without the final dot."""
    labels = []
    position = 0
    while wire[position]:
        end = position + 1 + wire[position]
        labels.append(wire[position + 1 : end].decode("ascii", "backslashreplace"))
        position = end
    return ".".join(labels)


def parent(name: bytes) -> bytes:
    """Return the name without its first label."""
    return name[name[0] + 1 :]


def first_label(name: bytes) -> bytes:
    """Return the text of the first label."""
    return name[1 : name[0] + 1]


def parse_query(data: bytes) -> Query:
    """Return the question in a message.

    Raises: WireError when it is an answer, too short, or malformed.
    """
    if len(data) < HEADER_BYTES:
        raise WireError("shorter than a header", answerable=False)
    id_, flags, questions, answers, authority, additional = HEADER.unpack_from(data)
    if flags & QR:
        raise WireError("an answer, not a question", answerable=False)
    opcode = flags >> 11 & 0xF
    if questions != 1 or answers or authority:
        raise WireError("not exactly one question", answerable=True)
    end = _name_end(data, HEADER_BYTES) + 4
    if end > len(data):
        raise WireError("question cut off", answerable=True)
    question = data[HEADER_BYTES:end]
    type_, class_ = struct.unpack_from("!HH", data, end - 4)
    query = Query(
        id_, opcode, bool(flags & RD), question, question[:-4].lower(), type_, class_
    )  # fmt: skip
    return _with_edns(query, data, end, additional)


def _name_end(data: bytes, position: int) -> int:
    """Return the offset behind an uncompressed name (questions hold no pointers)."""
    start = position
    while True:
        if position >= len(data):
            raise WireError("name cut off", answerable=True)
        length = data[position]
        position += 1 + length
        if length > MAX_LABEL_BYTES or position - start > MAX_NAME_BYTES:
            raise WireError("bad label", answerable=True)
        if not length:
            return position


def _with_edns(query: Query, data: bytes, position: int, additional: int) -> Query:
    for _ in range(additional):
        # OPT belongs to the root; other records (TSIG …) are passed over
        root = position < len(data) and data[position] == 0
        position = _skip_name(data, position)
        if position + RECORD.size > len(data):
            raise WireError("record cut off", answerable=True)
        type_, class_, ttl, length = RECORD.unpack_from(data, position)
        position += RECORD.size + length
        if position > len(data):
            raise WireError("record cut off", answerable=True)
        if type_ == OPT:
            if query.edns or not root:
                raise WireError("bad OPT", answerable=True)
            size = min(max(class_, PLAIN_UDP_BYTES), MAX_UDP_BYTES)
            version = ttl >> 16 & 0xFF
            query = Query(
                query.id, query.opcode, query.recursion_desired, query.question, query.name,
                query.type, query.class_, True, version, size,
            )  # fmt: skip
    return query


def _skip_name(data: bytes, position: int) -> int:
    while position < len(data):
        length = data[position]
        if length >= 0xC0:
            return position + 2
        position += 1 + length
        if not length:
            return position
    raise WireError("name cut off", answerable=True)


def build_response(query: Query, answer: Answer, *, limit_bytes: int | None) -> bytes:
    """Return the message that answers, at most ``limit_bytes`` long; None means TCP's own limit.

    One that is too long loses its additional section, without TC: that is a kindness. If it still
    is, it holds as many records of the answer as fit, in their order, and TC is set.
    """
    limit_bytes = MAX_MESSAGE_BYTES if limit_bytes is None else limit_bytes
    for additional in (answer.additional, ()):
        writer = _Writer(query, limit_bytes)
        if writer.append_all(answer.answers, answer.authority, additional):
            return writer.message(answer, truncated=answer.truncated)
    writer = _Writer(query, limit_bytes)
    writer.append_all(answer.answers)
    return writer.message(answer, truncated=True)


class _Writer:
    """A message as it grows; ``room`` is left for the OPT record behind it."""

    def __init__(self, query: Query, limit_bytes: int) -> None:
        self._query = query
        self._room = limit_bytes - (OPT_BYTES if query.edns else 0)
        self._out = bytearray(HEADER_BYTES) + query.question
        self._offsets = {query.name: HEADER_BYTES}
        self._counts: list[int] = []
        _note_suffixes(self._offsets, query.name, HEADER_BYTES)

    def append_all(self, *sections: Sequence[Record]) -> bool:
        """Append records until one does not fit; return whether all did."""
        for section in sections:
            self._counts.append(0)
            for record in section:
                end = len(self._out)
                _append(self._out, self._offsets, record)
                if len(self._out) > self._room:
                    del self._out[end:]
                    return False
                self._counts[-1] += 1
        return True

    def message(self, answer: Answer, *, truncated: bool) -> bytes:
        """Return the whole message; nothing may be appended afterwards."""
        query, out = self._query, self._out
        flags = QR | RA | query.opcode << 11 | answer.rcode & 0xF
        flags |= AA if answer.authoritative else 0
        flags |= RD if query.recursion_desired else 0
        flags |= TC if truncated else 0
        answers, authority, additional = (*self._counts, 0, 0)[:3]
        HEADER.pack_into(out, 0, query.id, flags, 1, answers, authority, additional + query.edns)
        if query.edns:
            out += b"\0" + RECORD.pack(OPT, MAX_UDP_BYTES, answer.rcode >> 4 << 24, 0)
        return bytes(out)


def _note_suffixes(offsets: dict[bytes, int], name: bytes, position: int) -> None:
    # pointers have 14 bits; a name that starts behind them cannot be pointed at
    while name[0] and position <= MAX_POINTER:
        offsets.setdefault(name, position)
        position += name[0] + 1
        name = parent(name)


def _append(out: bytearray, offsets: dict[bytes, int], record: Record) -> None:
    owner = record.owner
    rest, prefix = owner, 0
    while rest[0] and rest not in offsets:
        prefix += rest[0] + 1
        rest = parent(rest)
    if prefix:
        _note_suffixes(offsets, owner, len(out))
    out += owner[:prefix]
    out += (0xC000 | offsets[rest]).to_bytes(2, "big") if rest[0] else b"\0"
    out += RECORD.pack(record.type, IN, record.ttl_s, len(record.data))
    out += record.data


def formerr(data: bytes) -> bytes:
    """Return the answer to a message that cannot be read; it repeats only its header."""
    id_, flags = struct.unpack_from("!HH", data)
    return HEADER.pack(id_, QR | flags & (0x7800 | RD) | FORMERR, 0, 0, 0, 0)


def a_data(address: IPv4Address) -> bytes:
    """Return the data of an A record."""
    return address.packed


def srv_data(priority: int, weight: int, port: int, target: bytes) -> bytes:
    """Return the data of an SRV record; RFC 2782 forbids compressing the target."""
    return struct.pack("!HHH", priority, weight, port) + target


def txt_data(text: str) -> bytes:
    """Return the data of a TXT record with one string of at most 255 bytes."""
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded


def soa_data(primary: bytes, mailbox: bytes, serial: int, negative_ttl_s: int) -> bytes:
    """Return the data of an SOA record."""
    return primary + mailbox + struct.pack("!IIIII", serial, 7200, 1800, 86400, negative_ttl_s)


def is_truncated(message: bytes) -> bool:
    """Return whether the sender says that the message does not hold everything."""
    return bool(int.from_bytes(message[2:4], "big") & TC)


def parse_answers(message: bytes) -> list[Record]:
    """Return the answer section of a response, names uncompressed; [] when it is malformed.

    Only types whose data holds no compressed name we do not know of are kept.
    """
    try:
        return _parse_answers(message)
    except (IndexError, struct.error, WireError):
        return []


def _parse_answers(message: bytes) -> list[Record]:
    _, flags, questions, answers, _, _ = HEADER.unpack_from(message)
    if flags & 0xF:
        return []
    position = HEADER_BYTES
    for _ in range(questions):
        position = _skip_name(message, position) + 4
    records = []
    for _ in range(answers):
        owner = _expand_name(message, position)
        position = _skip_name(message, position)
        type_, class_, ttl, length = RECORD.unpack_from(message, position)
        position += RECORD.size
        data = message[position : position + length]
        if type_ in (CNAME, NS, PTR):
            data = _expand_name(message, position)
        position += length
        if class_ == IN and type_ in (A, AAAA, CNAME, NS, PTR, TXT):
            records.append(Record(owner, type_, ttl, data))
    return records


def _expand_name(message: bytes, position: int) -> bytes:
    """Return a name without pointers; a circle of pointers ends at the longest legal name."""
    wire = bytearray()
    while len(wire) < MAX_NAME_BYTES:
        length = message[position]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | message[position + 1]
            if target >= position:
                break  # pointers lead backwards, or they could lead for ever
            position = target
            continue
        wire += message[position : position + 1 + length]
        if not length:
            return bytes(wire)
        position += 1 + length
    raise WireError("bad pointer", answerable=False)
