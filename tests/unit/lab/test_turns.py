"""One command at a time changes a lab; the next one waits, and gives up in the end."""

import os
import subprocess
import sys
import threading
import time

import pytest

from netlab.errors import HostError
from netlab.lab import turns
from netlab.lab.turns import turn


@pytest.fixture(autouse=True)
def run_root(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "RUN_ROOT", tmp_path / "run")
    return tmp_path / "run"


def nobody(pid):
    raise AssertionError("there is nobody to wait for")


def test_nothing_is_left_behind(run_root):
    with turn("x", waiting=nobody):
        assert (run_root / "x.turn").read_text() == str(os.getpid())
    assert not run_root.exists()


def test_two_labs_do_not_wait_for_each_other():
    with turn("x", waiting=nobody), turn("y", waiting=nobody):
        pass


def test_the_next_one_waits_and_is_told_for_whom():
    told, order = [], []

    def second():
        with turn("x", waiting=told.append):
            order.append("second")

    thread = threading.Thread(target=second)
    with turn("x", waiting=nobody):
        thread.start()
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        order.append("first")
    thread.join(10)
    assert (told, order) == ([os.getpid()], ["first", "second"])


def test_many_at_once_never_meet(run_root):
    inside, met = [], []

    def one():
        for _ in range(10):
            with turn("x", waiting=lambda pid: None):
                inside.append(1)
                met.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert met == [1] * 40
    assert not run_root.exists()


def test_one_that_was_killed_holds_nothing_up(run_root):
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from netlab.lab import turns\n"
        f"turns.RUN_ROOT = Path({str(run_root)!r})\n"
        "with turns.turn('x', waiting=print):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (run_root / "x.turn").exists()
    with turn("x", waiting=nobody):
        pass
    assert not run_root.exists()


def test_one_that_never_ends_is_named():
    second = turn("x", waiting=lambda pid: None, give_up_after_s=0.05)
    with turn("x", waiting=nobody), pytest.raises(HostError) as caught, second:
        pass
    assert str(caught.value) == (
        f"lab x: another netlab command (process {os.getpid()}) has been changing it for 0 s; "
        "end it and try again"
    )
