"""What the drivers make of bytes and of the tools' words."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from netlab.net.conntrack import Direction, Flow, _parse_flow, _tuple
from netlab.net.iptables import explain_refusal
from netlab.net.netlink_messages import nested, parse_attributes, split_messages, text, u32
from netlab.net.sysctl import sysctl_path


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        pytest.param(
            "iptables-restore v1.8.9 (nf_tables): Chain 'NOPE' does not exist\n"
            "Error occurred at line: 2\nTry `iptables-restore -h' or 'iptables-restore --help'\n",
            "write iptables rules: line 2: -A OUTPUT -j NOPE: Chain 'NOPE' does not exist",
            id="nft, unknown chain",
        ),
        pytest.param(
            "iptables-restore: line 2 failed\n",
            "write iptables rules: line 2: -A OUTPUT -j NOPE: line 2 failed",
            id="legacy",
        ),
        pytest.param(
            "iptables-restore v1.8.9 (nf_tables): \nline 3: CHAIN_DEL failed (in use)",
            "write iptables rules: line 3: COMMIT: line 3: CHAIN_DEL failed (in use)",
            id="nft, at commit",
        ),
        pytest.param("", "write iptables rules: no message", id="silent"),
        pytest.param(
            "line 99 of nothing", "write iptables rules: line 99 of nothing", id="no such line"
        ),
    ],
)
def test_refusals_name_the_line(stderr: str, message: str) -> None:
    assert str(explain_refusal("*nat\n-A OUTPUT -j NOPE\nCOMMIT\n", stderr)) == message


def test_attributes_are_padded_and_read_back() -> None:
    packed = text(3, "eth0") + u32(4, 1500) + nested(18, text(1, "veth"))
    assert len(packed) % 4 == 0
    found = parse_attributes(packed)
    assert found[3] == b"eth0\0"
    assert struct.unpack("=I", found[4]) == (1500,)
    assert parse_attributes(found[18]) == {1: b"veth\0"}


@pytest.mark.parametrize("cut", range(12))
def test_cut_off_attributes_do_not_loop(cut: int) -> None:
    packed = text(3, "eth0")
    parse_attributes(packed[:cut])
    parse_attributes(b"\0" * cut)


def test_messages_in_one_packet_are_split() -> None:
    def message(sequence: int, body: bytes) -> bytes:
        return struct.pack("=IHHII", 16 + len(body), 2, 0, sequence, 0) + body

    packet = message(1, b"abcd") + message(2, b"")
    assert [(seq, body) for _, _, seq, body in split_messages(packet)] == [(1, b"abcd"), (2, b"")]
    assert list(split_messages(b"\0" * 16)) == []


def test_flow_is_read_as_it_was_written() -> None:
    client, vip, pod = IPv4Address("10.0.0.1"), IPv4Address("10.96.0.10"), IPv4Address("10.1.0.2")
    original = Direction(client, 4000, vip, 53)
    reply = Direction(pod, 5353, client, 4000)
    body = bytes(4) + _tuple(1, "udp", original) + _tuple(2, "udp", reply)
    assert _parse_flow(body) == Flow("udp", original, reply)
    assert _parse_flow(bytes(4)) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
    ],
)
def test_sysctl_names(name: str, path: str) -> None:
    assert sysctl_path(name) == Path(path)
