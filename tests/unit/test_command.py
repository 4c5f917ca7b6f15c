from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from netlab import command
from netlab.errors import CommandError, CommandTimeoutError, HostError


async def test_run_returns_what_was_printed() -> None:
    done = await command.run(["sh", "-c", "cat; echo bad >&2"], timeout_s=5, stdin=b"in")
    assert (done.code, done.stdout, done.stderr) == (0, b"in", b"bad\n")


async def test_a_failure_tells_the_last_line() -> None:
    with pytest.raises(CommandError, match=r"^sh: exit code 3: second$"):
        await command.run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"], timeout_s=5)


async def test_a_missing_program_says_how_to_get_it() -> None:
    with pytest.raises(HostError, match="no-such-program: not installed"):
        await command.run(["no-such-program"], timeout_s=5)


async def test_a_late_program_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    begin = time.monotonic()
    with pytest.raises(CommandTimeoutError, match=r"did not end within 0\.2 s"):
        await command.run(["sh", "-c", f"echo $$ >{pid_file}; exec sleep 60"], timeout_s=0.2)
    assert time.monotonic() - begin < 5
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


async def test_a_cancelled_caller_kills_the_program(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(
        command.run(["sh", "-c", f"echo $$ >{pid_file}; exec sleep 60"], timeout_s=60)
    )
    while not (pid_file.exists() and pid_file.read_text()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


async def test_a_spawned_child_is_collected_without_anybody_waiting() -> None:
    child = command.spawn(["true"])
    while Path(f"/proc/{child.pid}").exists():
        await asyncio.sleep(0.01)
    assert child.returncode == 0
    assert await child.wait() == 0


async def test_a_spawned_child_tells_the_signal_that_ended_it() -> None:
    child = command.spawn(["sleep", "60"])
    assert child.returncode is None
    child.kill()
    assert await child.wait() == -9
    child.kill()


async def test_a_spawned_child_gets_descriptors_and_environment() -> None:
    read, write = os.pipe()
    child = command.spawn(
        ["sh", "-c", f"echo $WORD >/proc/self/fd/{write}"], pass_fds=[write], env={"WORD": "hello"}
    )
    os.close(write)
    assert await child.wait() == 0
    with os.fdopen(read) as pipe:
        assert pipe.read() == "hello\n"
