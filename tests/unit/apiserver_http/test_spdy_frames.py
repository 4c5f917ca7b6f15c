"""SPDY frames and sessions, without a network."""

import asyncio
import struct
import zlib

import pytest

from netlab.streaming import spdy_frames as spdy
from netlab.streaming.spdy_frames import (
    Data,
    FrameReader,
    FrameWriter,
    GoAway,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)
from netlab.streaming.spdy_session import SpdySession, StreamResetError


def test_the_dictionary_is_that_of_the_specification():
    # zlib names the dictionary it wants by its checksum
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def settings(pairs):
    body = struct.pack(">I", len(pairs))
    body += b"".join(struct.pack(">II", key, value) for key, value in pairs.items())
    return struct.pack(">II", 0x80030000 | spdy.SETTINGS, len(body)) + body


FRAMES = {
    "data": (spdy.data_frame(1, b"abc"), Data(1, b"abc", fin=False)),
    "last data": (spdy.data_frame(5, b"abc", fin=True), Data(5, b"abc", fin=True)),
    "only the end": (spdy.data_frame(5, b"", fin=True), Data(5, b"", fin=True)),
    "reset": (spdy.rst_stream(3, spdy.CANCEL), RstStream(3, 5)),
    "ping": (spdy.ping(7), Ping(7)),
    "go away": (spdy.go_away(9, 1), GoAway(9, 1)),
    "window": (spdy.window_update(3, 4096), WindowUpdate(3, 4096)),
    "settings": (settings({7: 65536}), Settings({7: 65536})),
}


@pytest.mark.parametrize(("wire", "frame"), FRAMES.values(), ids=FRAMES)
def test_a_frame_is_read_as_it_was_made(wire, frame):
    assert FrameReader().feed(wire) == [frame]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
def test_frames_come_in_any_pieces(size):
    writer, reader = FrameWriter(), FrameReader()
    wire = (
        writer.syn_stream(1, {"streamType": "data", "port": "80"})
        + spdy.data_frame(1, b"x" * 300)
        + writer.syn_reply(1, {"a": "b"})
        + spdy.data_frame(1, b"", fin=True)
        + spdy.ping(1)
    )
    frames = []
    for start in range(0, len(wire), size):
        frames += reader.feed(wire[start : start + size])
    data = b"".join(frame.data for frame in frames if isinstance(frame, Data))
    assert data == b"x" * 300
    assert frames[0] == SynStream(1, {"streamtype": "data", "port": "80"}, fin=False)
    assert [frame for frame in frames if not isinstance(frame, Data)][1:] == [
        SynReply(1, {"a": "b"}, fin=False),
        Ping(1),
    ]
    assert frames[-2] == Data(1, b"", fin=True)


def bomb():
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    block = packer.compress(struct.pack(">II", 1, 1 << 30) + b"a" * (1 << 20))
    block += packer.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack(">IIH", 1, 0, 0) + block
    return struct.pack(">II", 0x80030001, len(body)) + body


BROKEN = {
    "another version": struct.pack(">II", 0x80020006, 4) + b"\0\0\0\1",
    "a control frame without end": struct.pack(">II", 0x80030001, 1 << 20),
    "a short ping": struct.pack(">II", 0x80030006, 2) + b"\0\0",
    "headers that are no zlib": struct.pack(">II", 0x80030001, 14) + b"\0" * 14,
    "headers that fill the memory": bomb(),
    "settings that do not fit": struct.pack(">II", 0x80030004, 4) + b"\0\0\0\7",
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN)
def test_what_is_no_spdy_is_refused(wire):
    with pytest.raises(SpdyError):
        FrameReader().feed(wire)


def test_an_unknown_frame_is_passed_over():
    wire = struct.pack(">II", 0x8003000A, 3) + b"abc" + spdy.ping(1)
    assert FrameReader().feed(wire) == [Ping(1)]


class Pipe:
    """A wire whose peer is the test."""

    def __init__(self):
        self.queue, self.sent = asyncio.Queue(), b""

    async def read(self):
        return await self.queue.get()

    async def write(self, data):
        self.sent += data

    def frames(self):
        data, self.sent = self.sent, b""
        return FrameReader().feed(data)


class Peer:
    """A session, its wire, and the streams that it has accepted."""

    def __init__(self):
        self.pipe, self.make, self.streams = Pipe(), FrameWriter(), []
        self.session = SpdySession(self.pipe, self.accept)
        self.task = asyncio.ensure_future(self.session.run())

    def accept(self, stream):
        self.streams.append(stream)
        return stream.headers.get("streamtype") != "refused"

    async def feed(self, *frames):
        for frame in frames:
            self.pipe.queue.put_nowait(frame)
        for _ in range(5 * len(frames)):
            await asyncio.sleep(0)

    async def open(self, number=1, **headers):
        await self.feed(self.make.syn_stream(number, headers))
        return self.streams[-1]


@pytest.fixture
async def peer():
    made = Peer()
    yield made
    made.task.cancel()
    await asyncio.wait({made.task})


async def test_a_stream_is_answered_read_and_written(peer):
    stream = await peer.open(streamtype="data")
    await peer.feed(spdy.data_frame(1, b"ab"), spdy.data_frame(1, b"cd", fin=True))
    assert (await stream.read(), await stream.read()) == (b"abcd", b"")
    await stream.write(b"back")
    await stream.finish()
    reply, data, end = peer.pipe.frames()
    assert (type(reply), data.data, end.fin) == (SynReply, b"back", True)


async def test_a_refused_stream_is_reset(peer):
    await peer.open(streamtype="refused")
    assert peer.pipe.frames() == [RstStream(1, spdy.REFUSED_STREAM)]


async def test_a_reset_cuts_readers_off(peer):
    stream = await peer.open()
    await peer.feed(spdy.data_frame(1, b"ab"), spdy.rst_stream(1, spdy.CANCEL))
    assert await stream.read() == b"ab"
    with pytest.raises(StreamResetError):
        await stream.read()
    with pytest.raises(StreamResetError):
        await stream.write(b"x")


async def test_pings_are_answered(peer):
    await peer.feed(spdy.ping(1), spdy.ping(2))
    assert peer.pipe.frames() == [Ping(1)]


async def test_data_on_a_stream_that_was_never_opened_ends_the_session(peer):
    await peer.feed(spdy.data_frame(3, b"x"))
    assert peer.session.closed.is_set()
    assert peer.pipe.frames() == [GoAway(0, spdy.PROTOCOL_ERROR)]


async def test_stream_numbers_only_grow(peer):
    await peer.open(5)
    await peer.feed(peer.make.syn_stream(3, {}))
    assert peer.session.closed.is_set()


async def test_windows_are_opened_as_data_is_consumed(peer):
    stream = await peer.open()
    peer.pipe.frames()
    await peer.feed(spdy.data_frame(1, bytes(spdy.FIRST_WINDOW_BYTES)))
    assert peer.pipe.frames() == []
    assert len(await stream.read()) == spdy.FIRST_WINDOW_BYTES
    assert peer.pipe.frames() == [
        WindowUpdate(1, spdy.FIRST_WINDOW_BYTES),
        WindowUpdate(0, spdy.FIRST_WINDOW_BYTES),
    ]


async def test_a_peer_without_windows_is_sent_everything(peer):
    stream = await peer.open()
    await stream.write(bytes(1 << 20))
    assert len(peer.pipe.sent) > 1 << 20


async def test_a_peer_with_windows_is_not_sent_more_than_it_takes(peer):
    stream = await peer.open()
    await peer.feed(settings({spdy.INITIAL_WINDOW_SIZE: 1000}))
    peer.pipe.sent = b""
    writing = asyncio.ensure_future(stream.write(bytes(1500)))
    await peer.feed(spdy.ping(1))
    sent = [frame for frame in peer.pipe.frames() if isinstance(frame, Data)]
    assert [len(frame.data) for frame in sent] == [1000]
    await peer.feed(spdy.window_update(1, 5000), spdy.window_update(0, 5000))
    await writing
    assert [len(frame.data) for frame in peer.pipe.frames()] == [500]


async def test_a_stream_nobody_reads_stops_the_reading(peer):
    stream = await peer.open()
    peer.pipe.frames()
    await peer.feed(spdy.data_frame(1, bytes(1 << 20)), spdy.data_frame(1, b"x"), spdy.ping(1))
    assert peer.pipe.frames() == []
    assert len(await stream.read()) == 1 << 20
    assert await stream.read() == b"x"
    await peer.feed(spdy.ping(3))
    assert Ping(1) in peer.pipe.frames()
