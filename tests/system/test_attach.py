"""Attached clients, log rotation and many execs, on real conmons: who gets what, what is left."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from netlab.api.streams import STDERR, STDOUT
from netlab.errors import ContainerError
from netlab.runtime import attach as attach_module
from netlab.runtime.cgroups import host_hierarchies, process_ids
from netlab.runtime.cri import ContainerPhase
from tests.system.runtime_lab import (
    lab_fixture,  # noqa: F401
    run_in,
    start,
    state_of,
    until_exited,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ECHO = "while read line; do echo out $line; echo err $line >&2; done; echo end; exit 3"


async def until(client, wanted, *, channel=STDOUT):
    """Return what a client reads on a channel up to the wanted text."""
    found = b""
    async with asyncio.timeout(5):
        while wanted not in found:
            piece = await client.read()
            assert piece is not None, found
            found += piece[1] if piece[0] == channel else b""
    return found


async def rest(client):
    """Return what a client reads until its end, by channel."""
    found = {STDOUT: b"", STDERR: b""}
    async with asyncio.timeout(10):
        while piece := await client.read():
            found[piece[0]] += piece[1]
    return found


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_two_clients_see_both_streams_and_the_exit_code(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", ECHO, stdin=True, stdin_once=True)
        container = await start(runtime, sandbox, config)
        typing = await runtime.attach(container, stdin=True)
        looking = await runtime.attach(container, stdin=False)
        # who only looks cannot type
        await looking.write_stdin(b"not heard\n")
        await looking.close_stdin()
        await typing.write_stdin(b"one\n")
        assert await until(looking, b"one\n") == b"out one\n"
        await typing.close_stdin()
        assert await rest(typing) == {STDOUT: b"out one\nend\n", STDERR: b"err one\n"}
        assert (await rest(looking))[STDOUT] == b"end\n"
        assert [await typing.wait(), await looking.wait()] == [3, 3]
        assert (await until_exited(runtime, container)).exit_code == 3
        await typing.close()
        await looking.close()
        await typing.close()
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.attach(container, stdin=False)


async def test_detaching_leaves_the_container_and_its_input(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sh", "-c", ECHO, stdin=True))
        for word, leave in ((b"one", "close"), (b"two", "close_stdin"), (b"three", "close")):
            client = await runtime.attach(container, stdin=True)
            await client.write_stdin(word + b"\n")
            await until(client, b"out " + word)
            await getattr(client, leave)()
            # without stdinOnce the end of a client's input is the end of its session
            assert await client.wait() == 0
            await rest(client)
            await client.close()
        assert (await state_of(runtime, container)).phase is ContainerPhase.RUNNING


async def test_who_only_looked_does_not_end_the_input(lab):
    before = open_files()
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", ECHO, stdin=True, stdin_once=True)
        container = await start(runtime, sandbox, config)
        for _ in range(3):
            looking = await runtime.attach(container, stdin=False)
            await looking.close()
        typing = await runtime.attach(container, stdin=True)
        await typing.write_stdin(b"still here\n")
        await until(typing, b"out still here\n")
        # the client vanishes, and with it the container's input
        await typing.close()
        assert (await until_exited(runtime, container)).exit_code == 3
    assert open_files() == before


async def test_a_terminal_is_typed_into_and_resized(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", stdin=True, stdin_once=True, tty=True)
        container = await start(runtime, sandbox, config)
        client = await runtime.attach(container, stdin=True)
        await client.resize(123, 45)
        await client.write_stdin(b"until stty size | grep '45 123'; do :; done; echo d'o'ne\n")
        assert b"45 123\r\n" in await until(client, b"done\r\n")
        # kubectl sends two sizes at once, so that the program draws anew
        for columns, rows in ((81, 25), (80, 24)):
            await client.resize(columns, rows)
        # conmon sets a size when it comes to it
        await client.write_stdin(b"until stty size | grep '24 80'; do :; done; echo d'o'ne\n")
        assert b"24 80\r\n" in await until(client, b"done\r\n")
        await client.write_stdin(b"exit 7\n")
        await rest(client)
        assert await client.wait() == 7
        await client.resize(90, 30)
        await client.close()


async def test_a_large_input_arrives_whole(lab):
    blob = os.urandom(3 << 20)
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", "sleep 0.3; cat", stdin=True, stdin_once=True)
        container = await start(runtime, sandbox, config)
        client = await runtime.attach(container, stdin=True)

        async def type_it():
            await client.write_stdin(blob)
            await client.close_stdin()

        async with asyncio.TaskGroup() as group:
            group.create_task(type_it())
            read = group.create_task(rest(client))
        assert read.result()[STDOUT] == blob
        assert await client.wait() == 0
        await client.close()


async def test_a_client_that_does_not_read_is_cut_off(lab, monkeypatch):
    monkeypatch.setattr(attach_module, "BEHIND_TIMEOUT_S", 0.3)
    lines = "yes 0123456789012345678901234567890123456789 | head -c 8000000; echo; echo end"
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", f"read go; {lines}", stdin=True)
        container = await start(runtime, sandbox, config)
        stuck = await runtime.attach(container, stdin=False)
        reading = await runtime.attach(container, stdin=True)
        await reading.write_stdin(b"\n")
        found = await rest(reading)
        assert len(found[STDOUT]) == 8_000_000 + len("\nend\n")
        assert found[STDOUT].endswith(b"\nend\n")
        with pytest.raises(ContainerError, match="reads too slowly"):
            await stuck.wait()
        assert len((await rest(stuck))[STDOUT]) < 2 << 20
        await stuck.close()
        await reading.close()


async def test_a_slow_client_gets_everything(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        config = lab.container("sh", "-c", "read go; yes | head -c 6000000", stdin=True)
        container = await start(runtime, sandbox, config)
        client = await runtime.attach(container, stdin=True)
        await client.write_stdin(b"\n")
        total = number = 0
        async with asyncio.timeout(15):
            while piece := await client.read():
                total += len(piece[1])
                number += 1
                if number % 50 == 0:
                    await asyncio.sleep(0.02)
        assert total == 6_000_000
        assert await client.wait() == 0
        await client.close()


async def test_clients_outlive_neither_the_runtime_nor_the_container(lab):
    before = open_files()
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "60", stdin=True))
        gone = await start(runtime, sandbox, lab.container("sleep", "60", name="gone"))
        left, ended = (
            await runtime.attach(container, stdin=True),
            await runtime.attach(gone, stdin=True),
        )
        await runtime.remove_container(gone)
        assert await rest(ended) == {STDOUT: b"", STDERR: b""}
        assert await ended.wait() == 137
        await ended.close()
    assert await left.read() is None
    with pytest.raises(ContainerError, match="closed"):
        await left.wait()
    await left.close()
    assert open_files() == before
    # the next daemon's clients come to the same container
    async with lab.runtime() as runtime:
        client = await runtime.attach(container, stdin=True)
        await runtime.stop_container(container, grace_period_s=0)
        assert await client.wait() == 137
        await client.close()


async def test_a_rotated_log_goes_on_in_a_new_file(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sh", "-c", ECHO, stdin=True))
        client = await runtime.attach(container, stdin=True)
        await client.write_stdin(b"one\n")
        await until(client, b"err one\n", channel=STDERR)
        log = lab.state_dir / "log" / "c.log"
        log.rename(log.with_suffix(".log.1"))
        await runtime.rotate_log(container)
        assert log.exists()
        await client.write_stdin(b"two\n")
        await until(client, b"err two\n", channel=STDERR)
        await client.close()
        assert "one" in log.with_suffix(".log.1").read_text()
        assert "two" not in log.with_suffix(".log.1").read_text()
        assert "two" in log.read_text()
        await runtime.stop_container(container, grace_period_s=0)
        with pytest.raises(ContainerError, match="is not running"):
            await runtime.rotate_log(container)


async def test_a_hundred_execs_leave_nothing(lab):
    async with lab.runtime() as runtime:
        sandbox = await runtime.run_sandbox(lab.sandbox())
        container = await start(runtime, sandbox, lab.container("sleep", "60"))
        folder = lab.run_dir / "runtime" / "containers" / container
        group = f"/netlab/{lab.name}"
        await run_in(runtime, container, "true")

        def seen():
            return open_files(), process_ids(host_hierarchies(), group), sorted(folder.iterdir())

        before = seen()
        began = time.monotonic()
        for number in range(100):
            code, said, errors = await run_in(
                runtime, container, "echo", str(number), tty=number % 4 == 3
            )
            assert (code, said.strip(), errors) == (0, str(number), "")
        assert time.monotonic() - began < 30
        assert seen() == before
