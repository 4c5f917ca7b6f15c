"""A client of SPDY over TLS, as old kubectl is one: for tests of the server's side."""

import asyncio
from contextlib import asynccontextmanager

from netlab.streaming import spdy_frames as spdy
from netlab.streaming.spdy_frames import Data, FrameReader, FrameWriter, SynReply


class SpdyClient:
    """Streams by number; what the server sends on each is collected."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._frames, self.make = FrameReader(), FrameWriter()
        self.head = b""
        self.received, self.ended, self.replied, self.others = {}, set(), set(), []
        self._next = 1

    def send(self, frame):
        self._writer.write(frame)

    def open(self, *, fin=False, **headers):
        number, self._next = self._next, self._next + 2
        self.received[number] = b""
        self.send(self.make.syn_stream(number, headers, fin=fin))
        return number

    def data(self, number, data=b"", *, fin=False):
        self.send(spdy.data_frame(number, data, fin=fin))

    async def until(self, condition):
        """Read until ``condition()``; False when the connection ended before."""
        async with asyncio.timeout(5):
            while not condition():
                data = await self._reader.read(65536)
                if not data:
                    return False
                for frame in self._frames.feed(data):
                    self._take(frame)
        return True

    async def body(self):
        """Return the beginning of an answer's body."""
        return await self._reader.readuntil(b'"reason"')

    def _take(self, frame):
        if isinstance(frame, Data):
            self.received[frame.stream] += frame.data
            if frame.fin:
                self.ended.add(frame.stream)
        elif isinstance(frame, SynReply):
            self.replied.add(frame.stream)
        else:
            self.others.append(frame)


@asynccontextmanager
async def spdy_connection(lab, path, *, protocols="v4.channel.k8s.io", method="POST"):
    """Upgrade a request to SPDY; ``head`` holds the answer when it is refused."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", lab.port, ssl=lab.admin.context(), server_hostname="127.0.0.1"
    )
    client = SpdyClient(reader, writer)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
    if protocols:
        lines.append(f"X-Stream-Protocol-Version: {protocols}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    client.head = await reader.readuntil(b"\r\n\r\n")
    try:
        yield client
    finally:
        writer.close()
