"""Answers are read alike, wherever the bytes are cut."""

from __future__ import annotations

import random

import pytest

from netlab.client.http1 import MAX_LINE_BYTES, Answer, MessageError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunks": (
        CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello", True,
    ),
    "trailers": (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", b"hello", True,
    ),
    "chunks win over a length": (
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"x", True,
    ),
    "until the end": (OK + b"\r\nhello", b"hello", False),
    "bare line feeds": (b"HTTP/1.0 200 OK\nContent-Length: 5\n\nhello", b"hello", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK + b"Content-Length: 1\r\n\r\nx", b"x", True,
    ),
    "switched": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"", True),
}  # fmt: skip


def read(data: bytes, sizes: list[int], *, to_head: bool = False) -> tuple[Answer, bytes]:
    answer, body = Answer(to_head=to_head), b""
    for size in sizes:
        piece, data = data[:size], data[size:]
        if piece:
            answer.feed(piece)
            body += answer.take()
    return answer, body


@pytest.mark.parametrize(("data", "body", "by_itself"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_however_it_is_cut(data: bytes, body: bytes, by_itself: bool) -> None:
    source = random.Random(3)
    cuts = [[len(data)], [1] * len(data)]
    cuts += [[source.randrange(1, 9) for _ in data] for _ in range(20)]
    for sizes in cuts:
        answer, seen = read(data, sizes)
        assert answer.head is not None
        assert answer.done is by_itself
        if not by_itself:
            answer.feed(b"")
            assert answer.done
        assert seen + answer.take() == body


def test_what_stands_behind_an_answer_is_kept() -> None:
    data = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello"
    answer, body = read(data, [len(data)])
    assert (answer.done, body, answer.rest) == (True, b"", b"\x81\x05hello")


def test_the_answer_to_a_head_has_no_body() -> None:
    answer, _ = read(OK + b"Content-Length: 5\r\n\r\n", [999], to_head=True)
    assert answer.done
    assert answer.keeps_connection


def test_headers_come_as_they_were_sent() -> None:
    raw = (
        OK + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\nX:  caf\xc3\xa9 \r\nContent-Length: 0\r\n\r\n"
    )
    answer, _ = read(raw, [7] * 99)
    assert answer.head is not None
    assert answer.head.all("set-cookie") == ("a=1", "b=2")
    assert answer.head.get("x") == "café"
    assert answer.head.get("nothing", "else") == "else"
    assert answer.head.raw == raw
    assert answer.head.fields[1] == ("set-cookie", "b=2")


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (b"Content-Length: 0\r\n", True),
        (b"Content-Length: 0\r\nConnection: Close\r\n", False),
        (b"Transfer-Encoding: chunked\r\n", True),
        (b"", False),
    ],
)
def test_whether_the_connection_can_be_used_again(fields: bytes, kept: bool) -> None:
    answer, _ = read(OK + fields + b"\r\n", [999])
    assert answer.keeps_connection is kept


BROKEN = {
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n", 'malformed HTTP response "SSH-2.0-OpenSSH"'),
    "no code": (b"HTTP/1.1 OK\r\n", "malformed HTTP response"),
    "no colon": (OK + b"nothing\r\n\r\n", "malformed MIME header line: nothing"),
    "a length that is none": (OK + b"Content-Length: -1\r\n\r\n", 'bad Content-Length "-1"'),
    "a chunk without size": (
        OK + b"Transfer-Encoding: chunked\r\n\r\nxx\r\n", "invalid byte in chunk length",
    ),
    "a chunk of less than nothing": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "invalid byte in chunk length",
    ),
    "a chunk that is longer than told": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", "malformed chunked encoding",
    ),
    "headers without end": (OK + b"A: b\r\n" * 300, "exceeded limit"),
    "a line without end": (OK + b"A" * MAX_LINE_BYTES, "exceeded limit"),
    "interim answers without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "too many 1xx"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_answer(data: bytes, message: str) -> None:
    for sizes in ([len(data)], [5] * len(data)):
        with pytest.raises(MessageError) as caught:
            read(data, sizes)
        assert message in str(caught.value)


CUT = {
    "at once": (b"", "EOF"),
    "in the head": (b"HTTP/1.1 200 OK\r\nConte", "unexpected EOF"),
    "in the body": (OK + b"Content-Length: 5\r\n\r\nhel", "unexpected EOF"),
    "in a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "unexpected EOF"),
    "before the last chunk": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "unexpected EOF",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), CUT.values(), ids=CUT.keys())
def test_an_answer_that_stops(data: bytes, message: str) -> None:
    answer, _ = read(data, [len(data)])
    with pytest.raises(MessageError) as caught:
        answer.feed(b"")
    assert str(caught.value) == message
