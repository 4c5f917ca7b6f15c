"""The local terminal of ``exec -it``."""

import os
import pty

import pytest

from netlab.kubectl import remote_streams


@pytest.fixture
def terminal(monkeypatch):
    master, slave = pty.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(slave, "r", closefd=False))
    yield master, slave
    os.close(master)
    os.close(slave)


def test_what_was_pasted_before_the_connection_stood_is_not_lost(terminal):
    master, slave = terminal
    os.write(master, b"one\ntwo\n")
    with remote_streams.raw_terminal(enabled=True):
        got = b""
        while got.count(b"\n") < 2:
            got += os.read(slave, 100)
        os.write(master, b"three\r")
        got += os.read(slave, 100)
    assert got == b"one\ntwo\nthree\r"


def test_the_terminal_is_put_back(terminal):
    import termios

    _, slave = terminal
    before = termios.tcgetattr(slave)
    with remote_streams.raw_terminal(enabled=True):
        assert termios.tcgetattr(slave) != before
    assert termios.tcgetattr(slave) == before
