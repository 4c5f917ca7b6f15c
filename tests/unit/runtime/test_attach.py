"""Attached clients without a conmon: packets, clients that are behind, ends and half ends."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from netlab.api.streams import STDERR, STDOUT
from netlab.errors import ContainerError
from netlab.runtime import attach as module
from netlab.runtime.attach import AttachTarget, attach


class Conmon:
    """The other side of an attach socket."""

    def __init__(self, folder):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(folder / "attach"))
        self.socket.listen(10)
        self.client = None

    def accept(self):
        self.client, _ = self.socket.accept()
        self.client.settimeout(1)
        return self.client

    def close(self):
        for one in (self.socket, self.client):
            if one is not None:
                one.close()


@pytest.fixture
def conmon(tmp_path, monkeypatch):
    # relative: the path of a socket may be 107 bytes long, and tmp_path is longer at times
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Conmon(Path())) as made:
        yield made


def target(*, stdin=True, stdin_once=False, tty=False, code=5):
    ended = asyncio.get_running_loop().create_future()
    return AttachTarget(
        id="c1",
        folder=Path(),
        stdin=stdin,
        stdin_once=stdin_once,
        tty=tty,
        ended=ended,
        exit_code=lambda: code,
    )


async def soon(waited):
    return await asyncio.wait_for(waited, 2)


async def test_packets_become_channels(conmon):
    process = await attach(target(), stdin=False)
    peer = conmon.accept()
    for packet in (b"\x02out", b"\x03err", b"\x09unknown", b"\x02more"):
        peer.send(packet)
    peer.close()
    found = [await soon(process.read()) for _ in range(4)]
    assert found == [(STDOUT, b"out"), (STDERR, b"err"), (STDOUT, b"more"), None]
    await process.close()


async def test_input_is_cut_into_packets_that_conmon_takes(conmon):
    process = await attach(target(), stdin=True)
    peer = conmon.accept()
    blob = os.urandom(20_000)
    await process.write_stdin(blob)
    pieces = [peer.recv(1 << 20) for _ in range(3)]
    assert b"".join(pieces) == blob
    assert max(map(len, pieces)) <= 8192
    await process.close()
    assert peer.recv(10) == b""


INPUTS = {
    "nobody types": ({"stdin": True}, False),
    "the container has no input": ({"stdin": False}, True),
}


@pytest.mark.parametrize(("container", "typing"), INPUTS.values(), ids=INPUTS.keys())
async def test_input_that_goes_nowhere(conmon, container, typing):
    process = await attach(target(**container), stdin=typing)
    peer = conmon.accept()
    await process.write_stdin(b"x")
    await process.close_stdin()
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(10)
    peer.send(b"\x02still attached")
    assert await soon(process.read()) == (STDOUT, b"still attached")
    await process.close()


ENDS = {
    "stdinOnce": ({"stdin_once": True}, True),
    "stdinOnce on a terminal": ({"stdin_once": True, "tty": True}, False),
    "an input that stays": ({}, False),
}


@pytest.mark.parametrize(("container", "goes_on"), ENDS.values(), ids=ENDS.keys())
async def test_the_end_of_input(conmon, container, goes_on):
    one = target(**container)
    process = await attach(one, stdin=True)
    peer = conmon.accept()
    await process.close_stdin()
    assert peer.recv(10) == b""
    if goes_on:
        peer.send(b"\x02bye")
        assert await soon(process.read()) == (STDOUT, b"bye")
        one.ended.set_result(None)
        assert await soon(process.wait()) == 5
    else:
        assert await soon(process.read()) is None
        assert await soon(process.wait()) == 0
    await process.close()


async def test_who_only_looked_stays_connected_until_the_end(conmon):
    one = target(stdin_once=True)
    process = await attach(one, stdin=False)
    peer = conmon.accept()
    await process.close()
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(10)
    with pytest.raises(BrokenPipeError):
        peer.send(b"\x02nobody reads")
    one.ended.set_result(None)
    await asyncio.sleep(0)
    assert peer.recv(10) == b""


async def test_a_runtime_that_closes(conmon):
    one = target()
    process = await attach(one, stdin=True)
    conmon.accept()
    one.ended.cancel()
    with pytest.raises(ContainerError, match="closed"):
        await soon(process.wait())
    assert await soon(process.read()) is None
    await process.close()


async def fill(peer):
    """Send until the client takes no more; return how many bytes of output that were."""
    peer.setblocking(False)
    sent = idle = 0
    while idle < 3 and sent < 4 * module.BEHIND_BYTES_MAX:
        try:
            sent += peer.send(b"\x02" + bytes(8192)) - 1
            idle = 0
        except BlockingIOError:
            idle += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    return sent


async def test_a_client_that_is_behind_is_waited_for(conmon):
    process = await attach(target(), stdin=False)
    peer = conmon.accept()
    sent = await fill(peer)
    assert module.BEHIND_BYTES_MAX <= sent < 2 * module.BEHIND_BYTES_MAX
    peer.close()
    read = 0
    while piece := await soon(process.read()):
        read += len(piece[1])
    assert read == sent
    await process.close()


async def test_a_client_that_stays_behind_is_cut_off(conmon, monkeypatch):
    monkeypatch.setattr(module, "BEHIND_TIMEOUT_S", 0.01)
    process = await attach(target(), stdin=True)
    peer = conmon.accept()
    await fill(peer)
    with pytest.raises(ContainerError, match="container c1: attach: the client reads too slowly"):
        await soon(process.wait())
    with pytest.raises(OSError, match=r"pipe|reset"):
        peer.send(b"\x02x")
    await process.write_stdin(b"ignored")
    read = 0
    while piece := await soon(process.read()):
        read += len(piece[1])
    # what had arrived is still told
    assert read >= module.BEHIND_BYTES_MAX
    await process.close()


NOBODY = {"no socket": False, "a socket that nobody listens on": True}


@pytest.mark.parametrize("bound", NOBODY.values(), ids=NOBODY.keys())
async def test_no_conmon(tmp_path, monkeypatch, bound):
    monkeypatch.chdir(tmp_path)
    if bound:
        Conmon(Path()).close()
    with pytest.raises(ContainerError, match="container c1: attach: conmon does not answer"):
        await attach(target(), stdin=False)


async def test_a_full_queue_is_waited_for_and_given_up(conmon, monkeypatch):
    monkeypatch.setattr(module, "_CONNECT_TIMEOUT_S", 0.02)
    # one more than the backlog is let in
    waiting = [await attach(target(), stdin=False) for _ in range(11)]
    with pytest.raises(ContainerError, match="does not answer"):
        await attach(target(), stdin=False)
    monkeypatch.setattr(module, "_CONNECT_TIMEOUT_S", 5)
    late = asyncio.ensure_future(attach(target(), stdin=False))
    await asyncio.sleep(0)
    conmon.accept()
    waiting.append(await late)
    for process in waiting:
        await process.close()
