"""Frames of RFC 6455."""

import pytest

from netlab.client.websocket import BINARY, PING, PONG, Frames, accept_for, encode_frame
from netlab.errors import NetworkError


def server_frame(opcode, payload, final=True):
    size = len(payload)
    if size < 126:
        head = bytes([size])
    elif size < 65536:
        head = bytes([126]) + size.to_bytes(2, "big")
    else:
        head = bytes([127]) + size.to_bytes(8, "big")
    return bytes([(0x80 if final else 0) | opcode]) + head + payload


def test_accept_of_the_rfc():
    assert accept_for("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_masking_of_the_rfc():
    assert encode_frame(1, b"Hello", mask=bytes.fromhex("37fa213d")) == bytes.fromhex(
        "818537fa213d7f9f4d5158"
    )


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_sizes(size):
    payload = b"x" * size
    assert Frames().feed(server_frame(BINARY, payload)) == [payload]
    head = encode_frame(BINARY, payload, mask=b"\0\0\0\0")
    assert head.endswith(payload)


def test_one_byte_at_a_time_and_fragments():
    frames = Frames()
    wire = server_frame(BINARY, b"ab", final=False) + server_frame(PING, b"p")
    wire += server_frame(0, b"cd") + server_frame(BINARY, b"ef")
    found = [message for byte in wire for message in frames.feed(bytes([byte]))]
    assert found == [b"abcd", b"ef"]
    assert frames.outgoing[0] == 0x80 | PONG


def test_close_is_answered():
    frames = Frames()
    assert frames.feed(bytes.fromhex("880203e8") + server_frame(BINARY, b"late")) == []
    assert frames.closed
    assert frames.outgoing[0] == 0x88


@pytest.mark.parametrize("wire", [b"\x82\x85" + bytes(9), b"\x83\x00", b"\x82\x7f" + b"\xff" * 8])
def test_nonsense(wire):
    with pytest.raises(NetworkError, match="websocket"):
        Frames().feed(wire)
