"""Exec, attach and port-forward over SPDY and WebSocket, through the whole server."""

import asyncio
import struct

import msgspec
import pytest

from netlab.streaming.channels import V1_BASE64, V4
from netlab.streaming.portforward import TUNNEL_PROTOCOL
from netlab.streaming.spdy_frames import Data, FrameReader, FrameWriter, data_frame
from tests.support.spdy import spdy_connection

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
async def echo():
    """A server on loopback that sends back what it gets, in upper case, and ends when it ends."""

    async def serve(reader, writer):
        while data := await reader.read(65536):
            writer.write(data.upper())
        writer.write(b"<end>")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "protocols", ["v4.channel.k8s.io, v3.channel.k8s.io", "", "channel.k8s.io"]
)
async def test_exec(lab, protocols):
    await lab.make_pod("p")
    path = f"{PODS}/p/exec?command=exit&command=3&stdout=1"
    async with spdy_connection(lab, path, protocols=protocols) as client:
        assert client.head.startswith(b"HTTP/1.1 101 ")
        errors = client.open(streamtype="error")
        output = client.open(streamtype="stdout")
        assert await client.until(lambda: client.ended == {errors, output})
    assert client.replied == {errors, output}
    assert client.received[output] == b"exit 3\n"
    told = client.received[errors]
    if protocols.startswith("v4"):
        assert msgspec.json.decode(told)["details"]["causes"][0]["message"] == "3"
    else:
        assert told.endswith(b"exit code 3")
    assert lab.node.processes[0].closed


async def test_input_its_end_and_sizes(lab):
    await lab.make_pod("p")
    path = f"{PODS}/p/exec?command=cat&stdin=1&stdout=1&tty=1"
    async with spdy_connection(lab, path) as client:
        errors, stdin, output, sizes = (
            client.open(streamtype=kind) for kind in ("error", "stdin", "stdout", "resize")
        )
        client.data(sizes, b'{"Width":80,"Height":24}\n{"Width":90,')
        client.data(sizes, b'"Height":30}\n')
        client.data(stdin, b"hello")
        assert await client.until(lambda: client.received[output].endswith(b"hello"))
        client.data(stdin, fin=True)
        assert await client.until(lambda: errors in client.ended)
    assert lab.node.processes[0].sizes == [(80, 24), (90, 30)]


async def test_a_caller_that_goes_away_kills_its_process(lab):
    await lab.make_pod("p")
    path = f"{PODS}/p/exec?command=cat&stdin=1&stdout=1"
    async with spdy_connection(lab, path) as client:
        for kind in ("error", "stdin", "stdout"):
            client.open(streamtype=kind)
        await client.until(lambda: client.received[5])
    async with asyncio.timeout(5):
        while not lab.node.processes[0].closed:
            await asyncio.sleep(0)


async def test_attach_tells_success_whatever_the_exit_code(lab):
    await lab.make_pod("p")
    async with spdy_connection(lab, f"{PODS}/p/attach?stdout=1") as client:
        errors, output = client.open(streamtype="error"), client.open(streamtype="stdout")
        assert await client.until(lambda: client.ended == {errors, output})
    assert client.received == {
        errors: b'{"metadata":{},"status":"Success"}',
        output: b"attached 7\n",
    }


REFUSED = {
    "unknown protocol": ("exec?command=a&stdout=1", "v9.channel.k8s.io", b"403", b"server accepts"),
    "no command": ("exec?stdout=1", V4, b"400", b"at least one command"),
    "no such container": ("exec?command=a&stdout=1&container=z", V4, b"400", b"z is not valid"),
    "cannot start": ("exec?command=missing&stdout=1", V4, b"500", b"no such file"),
    "bad port": ("portforward?ports=70000", "portforward.k8s.io", b"400", b"as a port"),
}


@pytest.mark.parametrize(("rest", "protocols", "code", "said"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_a_status(lab, rest, protocols, code, said):
    await lab.make_pod("p")
    async with spdy_connection(lab, f"{PODS}/p/{rest}", protocols=protocols) as client:
        assert client.head.split()[1] == code
        assert said in await client.body()


def forward(client, port, request):
    errors = client.open(streamtype="error", port=str(port), requestid=str(request))
    client.data(errors, fin=True)
    return errors, client.open(streamtype="data", port=str(port), requestid=str(request))


async def test_port_forward(lab, echo):
    await lab.make_pod("p")
    path = f"{PODS}/p/portforward"
    async with spdy_connection(lab, path, protocols="portforward.k8s.io") as client:
        pairs = [forward(client, echo, request) for request in range(3)]
        for number, (_, data) in enumerate(pairs):
            client.data(data, b"request %d" % number)
        assert await client.until(lambda: all(client.received[data] for _, data in pairs))
        for _, data in pairs:
            client.data(data, fin=True)
        wanted = {stream for pair in pairs for stream in pair}
        assert await client.until(lambda: client.ended == wanted)
    assert [client.received[data] for _, data in pairs] == [
        b"REQUEST %d<end>" % number for number in range(3)
    ]
    assert not any(client.received[errors] for errors, _ in pairs)


async def test_a_refused_port_is_told_and_the_others_go_on(lab, echo):
    await lab.make_pod("p")
    path = f"{PODS}/p/portforward"
    async with spdy_connection(lab, path, protocols="portforward.k8s.io") as client:
        errors, data = forward(client, 1, 0)
        assert await client.until(lambda: {errors, data} <= client.ended)
        assert client.received[errors] == b"error forwarding port 1"
        _, other = forward(client, echo, 1)
        client.data(other, b"x", fin=True)
        assert await client.until(lambda: other in client.ended)
        assert client.received[other] == b"X<end>"


async def test_a_stream_without_a_port_is_refused(lab):
    await lab.make_pod("p")
    path = f"{PODS}/p/portforward"
    async with spdy_connection(lab, path, protocols="portforward.k8s.io") as client:
        client.open(streamtype="data", requestid="0")
        client.open(streamtype="data", port="0", requestid="1")
        client.open(streamtype="shout", port="80", requestid="2")
        assert await client.until(lambda: len(client.others) == 3)


async def test_spdy_in_a_websocket(lab, http, echo):
    await lab.make_pod("p")
    make, read = FrameWriter(), FrameReader()
    async with http.ws_connect(f"{PODS}/p/portforward", protocols=(TUNNEL_PROTOCOL,)) as socket:
        assert socket.protocol == TUNNEL_PROTOCOL
        for number, kind in ((1, "error"), (3, "data")):
            headers = {"streamtype": kind, "port": str(echo), "requestid": "0"}
            await socket.send_bytes(make.syn_stream(number, headers))
        wire = data_frame(3, b"tunnelled", fin=True)
        await socket.send_bytes(wire[:5])
        await socket.send_bytes(wire[5:])
        received, done = b"", set()
        while done != {1, 3}:
            for frame in read.feed(await socket.receive_bytes(timeout=5)):
                if isinstance(frame, Data):
                    received += frame.data
                    done |= {frame.stream} if frame.fin else set()
    assert received == b"TUNNELLED<end>"


async def test_port_forward_over_channels(lab, http, echo):
    await lab.make_pod("p")
    url = f"{PODS}/p/portforward?ports={echo},1"
    async with http.ws_connect(url, protocols=(V4,)) as socket:
        heads = [await socket.receive_bytes() for _ in range(4)]
        port, refused = struct.pack("<H", echo), struct.pack("<H", 1)
        assert heads == [b"\0" + port, b"\1" + port, b"\2" + refused, b"\3" + refused]
        await socket.send_bytes(b"\0hello")
        said = {await socket.receive_bytes(timeout=5) for _ in range(2)}
        assert said == {b"\0HELLO", b"\3error forwarding port 1"}


async def test_a_websocket_forward_needs_ports(lab, http):
    await lab.make_pod("p")
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": V4,
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    response = await http.get(f"{PODS}/p/portforward", headers=headers)
    assert (response.status, (await response.json())["message"]) == (
        400, 'query parameter "port" is required',
    )  # fmt: skip


async def test_base64(lab, http):
    await lab.make_pod("p")
    url = f"{PODS}/p/exec?command=echo&command=hi&stdout=1"
    async with http.ws_connect(url, protocols=(V1_BASE64,)) as socket:
        assert [message.data async for message in socket] == ["1", "1ZWNobyBoaQo="]
