"""Records, exits and descriptors: what a crash, a restart or a slow reader does to them."""

import asyncio
import contextlib
import os
import pty
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netlab.runtime.cgroups import Hierarchy
from netlab.runtime.descriptors import InputWriter, OutputReader
from netlab.runtime.exits import ExitWatcher
from netlab.runtime.process import has_ended, open_command, read_pid
from netlab.runtime.records import (
    Outcome,
    RuntimePaths,
    Started,
    judge_outcome,
    read_outcome,
    read_record,
    record_folders,
    write_record,
)
from netlab.runtime.teardown import forget_previous_boot, remove_orphans

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_record_is_whole_or_not_there(tmp_path):
    path = tmp_path / "started.json"
    assert read_record(path, Started) is None
    write_record(path, Started(NOW))
    assert read_record(path, Started) == Started(NOW)
    path.write_bytes(path.read_bytes()[:10])
    assert read_record(path, Started) is None


OUTCOMES = {
    "nothing yet": ({}, None),
    "exit 0": ({"exits/c": "0"}, (0, "Completed")),
    "exit 3": ({"exits/c": "3"}, (3, "Error")),
    "half-written": ({"exits/c": ""}, None),
    "out of memory": ({"exits/c": "137", "oom": ""}, (137, "OOMKilled")),
}


@pytest.mark.parametrize(("files", "expected"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_outcomes(tmp_path, files, expected):
    (tmp_path / "exits").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = read_outcome(tmp_path, "c")
    assert (found and (found.exit_code, found.reason)) == expected


def test_a_written_outcome_wins(tmp_path):
    lost = Outcome(exit_code=137, reason="Error", finished_at=NOW, message="lost")
    write_record(tmp_path / "outcome.json", lost)
    assert read_outcome(tmp_path, "c") == lost


def test_a_reboot_forgets_everything_and_a_restart_nothing(tmp_path):
    paths = RuntimePaths(tmp_path / "run", tmp_path / "state")
    forget_previous_boot(paths, "boot-1")
    (paths.sandboxes / "s").mkdir()
    (paths.writable / "c").mkdir()
    forget_previous_boot(paths, "boot-1")
    assert [f.name for f in record_folders(paths.sandboxes)] == ["s"]
    forget_previous_boot(paths, "boot-2")
    assert list(record_folders(paths.sandboxes)) == list(record_folders(paths.writable)) == []


def test_orphans_of_a_crash_are_removed(tmp_path):
    paths = RuntimePaths(tmp_path / "run", tmp_path / "state")
    forget_previous_boot(paths, "b")
    for made in (paths.containers / "c1", paths.writable / "c1", paths.writable / "c2"):
        made.mkdir()
    (paths.oci_root / "c3").mkdir()
    groups = tmp_path / "cgroup"
    for name in ("c1", "c4"):
        (groups / "netlab/lab/podu" / name).mkdir(parents=True)
    (groups / "netlab/lab/conmon").mkdir()
    hierarchies = [Hierarchy(groups, frozenset())]
    remove_orphans(paths, hierarchies, {"/netlab/lab/podu/c1"}, "lab")
    assert [f.name for f in record_folders(paths.writable)] == ["c1"]
    assert list(record_folders(paths.oci_root)) == []
    assert [f.name for f in record_folders(groups / "netlab/lab/podu")] == ["c1"]
    assert (groups / "netlab/lab/conmon").is_dir()


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        # The command line is there a moment after the new program is.
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().endswith(b"60\0"):
            pass
        yield process
        process.kill()


def test_a_pid_is_trusted_only_with_a_witness(sleeper, tmp_path):
    assert open_command(sleeper.pid, "other") is None
    assert open_command(0, "60") is None
    pidfd = open_command(sleeper.pid, "60")
    assert not has_ended(pidfd)
    sleeper.kill()
    sleeper.wait()
    assert has_ended(pidfd)
    os.close(pidfd)
    assert open_command(sleeper.pid, "60") is None
    (tmp_path / "pid").write_text("x")
    assert read_pid(tmp_path / "pid") == read_pid(tmp_path / "none") == 0


async def test_exits_are_level_triggered(sleeper):
    watcher, heard = ExitWatcher(), []
    watcher.watch("c", os.pidfd_open(sleeper.pid), lambda: heard.append("c"))
    assert watcher.is_running("c")
    assert not await watcher.wait("c", 0.01)
    early = watcher.exits()
    waiting = asyncio.ensure_future(anext(early))
    sleeper.kill()
    assert await asyncio.wait_for(waiting, 5) == "c"
    assert (heard, watcher.is_running("c")) == (["c"], False)
    late = watcher.exits()
    assert await asyncio.wait_for(anext(late), 5) == "c"
    watcher.forget("c")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watcher.exits()), 0.01)
    assert await watcher.wait("c", 1)
    await early.aclose()
    await late.aclose()
    watcher.close()


async def test_a_process_that_ended_before_it_is_watched_is_reported(sleeper):
    watcher = ExitWatcher()
    pidfd = os.pidfd_open(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    watcher.watch("c", pidfd, lambda: None)
    exits = watcher.exits()
    assert await asyncio.wait_for(anext(exits), 5) == "c"
    await exits.aclose()


async def test_output_of_several_descriptors_ends_with_the_last():
    (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe()
    reader = OutputReader({out_read: 1, err_read: 2})
    os.write(out_write, b"a")
    assert await reader.read() == (1, b"a")
    os.close(out_write)
    os.write(err_write, b"b")
    os.close(err_write)
    assert await reader.read() == (2, b"b")
    assert await reader.read() is None
    assert await reader.read() is None


async def test_a_slow_consumer_slows_the_producer():
    read, write = os.pipe()
    os.set_blocking(write, False)
    reader, sent = OutputReader({read: 1}), 0
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            sent += os.write(write, b"x" * 65536)
        await asyncio.sleep(0)
    # the buffer, one piece more, and what a pipe holds
    assert sent <= (256 << 10) + (32 << 10) + (1 << 20)
    os.close(write)
    received = 0
    while piece := await reader.read():
        received += len(piece[1])
    assert received == sent


async def test_closing_wakes_the_reader():
    read, write = os.pipe()
    reader = OutputReader({read: 1})
    waiting = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reader.close()
    assert await waiting is None
    os.close(write)


async def test_a_writer_waits_for_a_slow_reader_and_forgives_a_gone_one():
    read, write = os.pipe()
    os.set_blocking(read, False)
    writer = InputWriter(write)
    data = os.urandom(300_000)
    writing = asyncio.ensure_future(writer.write(data))
    received = b""
    while len(received) < len(data):
        await asyncio.sleep(0)
        with contextlib.suppress(BlockingIOError):
            received += os.read(read, 65536)
    await writing
    assert received == data
    os.close(read)
    await writer.write(b"x")
    await writer.write(b"y")
    writer.close()


async def test_a_terminal_that_hangs_up_is_the_end():
    master, slave = pty.openpty()
    reader = OutputReader({master: 1})
    os.write(slave, b"hi")
    assert await reader.read() == (1, b"hi")
    os.close(slave)
    assert await reader.read() is None


KILLS = {
    "nothing": (0, 0, (0, "Completed")),
    "an error": (3, 0, (3, "Error")),
    "killed, not for memory": (137, 0, (137, "Error")),
    "killed for memory": (137, 1, (137, "OOMKilled")),
    "a child killed, the first ended in peace": (0, 1, (137, "OOMKilled")),
    "a child killed, the first told it": (9, 2, (9, "OOMKilled")),
}


@pytest.mark.parametrize(("code", "kills", "told"), KILLS.values(), ids=KILLS.keys())
def test_who_was_killed_for_memory_did_not_end_in_peace(code, kills, told):
    outcome = Outcome(exit_code=code, reason="", finished_at=datetime(2026, 1, 1, tzinfo=UTC))
    judged = judge_outcome(outcome, kills)
    assert (judged.exit_code, judged.reason) == told
