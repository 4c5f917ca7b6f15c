"""Attaching to containers' own processes, and their logs' rotation, on the real conmon."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from netlab.errors import ContainerError
from netlab.runtime import attach as attach_module
from netlab.runtime.cri import ContainerPhase
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    start,
    state_of,
    until_exited,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ECHO = ("sh", "-c", 'while read x; do echo "got $x"; echo "err $x" >&2; done; exit 5')


async def until(process, wanted):
    """Read until wanted is in the output; return all of it by channel."""
    out = {1: b"", 2: b""}
    async with asyncio.timeout(10):
        while wanted not in out[1] + out[2]:
            piece = await process.read()
            assert piece is not None, out
            out[piece[0]] += piece[1]
    return out


async def to_end(process):
    out = {1: b"", 2: b""}
    async with asyncio.timeout(20):
        while piece := await process.read():
            out[piece[0]] += piece[1]
    return out


def descriptors():
    return sorted(Path("/proc/self/fd").iterdir())


@pytest.fixture(name="open_files", autouse=True)
def open_files_fixture():
    before = descriptors()
    yield
    assert len(descriptors()) <= len(before) + 2


async def test_all_clients_see_the_output_and_a_detached_container_goes_on(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container(*ECHO, stdin=True))
        first = await runtime.attach(container, stdin=True)
        second = await runtime.attach(container, stdin=False)
        await first.write_stdin(b"one\n")
        for client in (first, second):
            out = await until(client, b"err one")
            assert b"err one\n" in out[2]
        await second.write_stdin(b"not mine to write\n")
        await first.close_stdin()
        assert await first.read() is None
        assert await first.wait() == 0
        third = await runtime.attach(container, stdin=True)
        await third.write_stdin(b"two\n")
        assert b"got two" in (await until(second, b"got two"))[1]
        for client in (first, second, third):
            await client.close()
            await client.close()
        assert await second.wait() == 0
        assert (await state_of(runtime, container)).phase is ContainerPhase.RUNNING
        assert "not mine" not in lab.log()
        assert "stdout F got two" in lab.log()


async def test_the_input_ends_with_the_first_client_and_the_exit_code_comes(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container(*ECHO, stdin=True, stdin_once=True)
        container = await start(runtime, sandbox, config)
        looker = await runtime.attach(container, stdin=False)
        await looker.close()
        client = await runtime.attach(container, stdin=True)
        await client.write_stdin(b"one\ntwo\n")
        await client.close_stdin()
        out = await to_end(client)
        assert out == {1: b"got one\ngot two\n", 2: b"err one\nerr two\n"}
        assert await client.wait() == 5
        await client.close()
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.attach(container, stdin=False)


async def test_much_goes_through_unharmed_both_ways(lab):
    data = os.urandom(1 << 20) * 5
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("cat", stdin=True, stdin_once=True)
        client = await runtime.attach(await start(runtime, sandbox, config), stdin=True)

        async def send():
            await client.write_stdin(data)
            await client.close_stdin()

        sending = asyncio.create_task(send())
        received = bytearray()
        async with asyncio.timeout(20):
            while piece := await client.read():
                received += piece[1]
        await sending
        assert bytes(received) == data
        assert await client.wait() == 0
        await client.close()


async def test_a_terminal_is_resized_and_outlives_its_client(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", stdin=True, stdin_once=True, tty=True)
        container = await start(runtime, sandbox, config)
        client = await runtime.attach(container, stdin=True)
        await client.resize(99, 5000)
        await client.resize(101, 31)
        await client.write_stdin(b"stty size; echo do''ne\n")
        out = await until(client, b"done")
        assert b"31 101" in out[1]
        await client.close()
        again = await runtime.attach(container, stdin=True)
        await again.write_stdin(b"exit 3\n")
        await to_end(again)
        assert await again.wait() == 3
        await again.close()


async def test_a_client_that_does_not_read_is_cut_off_and_the_container_goes_on(lab, monkeypatch):
    monkeypatch.setattr(attach_module, "BEHIND_TIMEOUT_S", 0.3)
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        many = "head -c 8000000 /dev/zero | tr '\\0' x | fold -w 99; echo; echo end; sleep 99"
        container = await start(runtime, sandbox, lab.container("sh", "-c", f"sleep 0.2; {many}"))
        lazy = await runtime.attach(container, stdin=False)
        keen = await runtime.attach(container, stdin=False)
        seen = 0
        last = b""
        async with asyncio.timeout(15):
            while b"end\n" not in last:
                _, piece = await keen.read()
                seen += len(piece)
                last = last[-4:] + piece
        assert seen > 8_000_000
        assert len((await to_end(lazy))[1]) >= attach_module.BEHIND_BYTES_MAX
        with pytest.raises(ContainerError, match="reads too slowly"):
            await lazy.wait()
        await lazy.close()
        await keen.close()


async def test_the_end_of_a_container_ends_its_clients(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "99"))
        client = await runtime.attach(container, stdin=True)
        await runtime.stop_container(container, grace_period_s=0)
        assert await to_end(client) == {1: b"", 2: b""}
        assert await client.wait() == 137
        await client.close()


async def test_the_end_of_the_daemon_ends_clients_and_leaves_the_container(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container(*ECHO, stdin=True))
        client = await runtime.attach(container, stdin=True)
    assert await client.read() is None
    with pytest.raises(ContainerError, match="was closed"):
        await client.wait()
    async with lab.runtime() as runtime:
        again = await runtime.attach(container, stdin=True)
        await again.write_stdin(b"x\n")
        await until(again, b"got x")
        await again.close()


async def test_a_log_is_opened_anew_after_it_was_moved(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container(*ECHO, stdin=True))
        client = await runtime.attach(container, stdin=True)
        await client.write_stdin(b"one\n")
        await until(client, b"err one")
        log = Path((await state_of(runtime, container)).log_path)
        log.rename(log.with_name("moved"))
        await runtime.rotate_log(container)
        await client.write_stdin(b"two\n")
        await until(client, b"err two")
        assert "got one" in log.with_name("moved").read_text()
        deadline = time.monotonic() + 5
        while "got two" not in log.read_text() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert "got two" in log.read_text()
        assert "got one" not in log.read_text()
        await client.close()
        await runtime.stop_container(container, grace_period_s=0)
        await until_exited(runtime, container)
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.rotate_log(container)
