"""Terminals: sizes of processes' terminals, and ends of lines that are there once."""

import fcntl
import os
import struct
import termios

import pytest

from netlab.runtime.terminals import make_raw, set_size, set_size_of, with_carriage_returns

PIECES = {
    "bare": ([b"a\nb\n"], b"a\r\nb\r\n"),
    "there already": ([b"a\r\nb"], b"a\r\nb"),
    "cut between": ([b"a\r", b"\nb\n"], b"a\r\nb\r\n"),
    "cut before a bare one": ([b"a", b"\n\n"], b"a\r\n\r\n"),
    "a return alone": ([b"50%\r", b"60%"], b"50%\r60%"),
    "nothing": ([b""], b""),
}


@pytest.mark.parametrize("case", PIECES)
def test_each_line_ends_once(case):
    pieces, whole = PIECES[case]
    out, after_return = b"", False
    for piece in pieces:
        out += with_carriage_returns(piece, after_return=after_return)
        after_return = piece.endswith(b"\r")
    assert out == whole


def size_of(terminal):
    return struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))[:2]


def test_a_terminal_of_ones_own():
    master, slave = os.openpty()
    try:
        assert set_size(slave, 101, 31)
        assert size_of(master) == (31, 101)
        make_raw(slave)
        os.write(slave, b"a\n")
        assert os.read(master, 9) == b"a\n"
    finally:
        os.close(master)
        os.close(slave)


def test_a_process_without_a_terminal_has_no_size(tmp_path):
    read, write = os.pipe()
    try:
        assert not set_size(read, 80, 24)
    finally:
        os.close(read)
        os.close(write)
    assert not set_size_of(2**22 + 1, 80, 24)
