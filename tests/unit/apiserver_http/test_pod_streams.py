"""Logs and exec through the server, against a fake node."""

import contextlib

import aiohttp
import msgspec
import pytest

from netlab.streaming.channels import V4, V5
from tests.support.api import api_lab

PODS = "/api/v1/namespaces/default/pods"


async def refused(response):
    return response.status, (await response.json())["message"]


async def test_logs(lab, http):
    await lab.make_pod("p")
    response = await http.get(f"{PODS}/p/log?tailLines=2")
    assert (response.status, response.content_type) == (200, "text/plain")
    assert await response.text() == "one\ntwo\n"
    namespace, pod, container, options = lab.node.asked[0]
    assert (namespace, pod, container, options.tail_lines) == ("default", "p", "c", 2)


async def test_an_error_before_the_first_line_is_a_status(lab, http):
    await lab.make_pod("p")
    response = await http.get(f"{PODS}/p/log?previous=true")
    assert await refused(response) == (400, 'previous terminated container "c" not found')


async def test_logs_of_a_pod_without_node_are_empty(lab, http):
    await lab.make_pod("p", node="")
    response = await http.get(f"{PODS}/p/log")
    assert (response.status, await response.text()) == (200, "")


REFUSED = {
    "no such pod": ("q", "log", 404, 'pods "q" not found'),
    "which container": (
        "two",
        "log",
        400,
        "a container name must be specified for pod two, choose one of: [a b]",
    ),
    "no node agent": (
        "lost",
        "log",
        404,
        'nodes "node9" not found',
    ),
    "no command": (
        "p",
        "exec?stdout=1",
        400,
        "you must specify at least one command for the container",
    ),
    "no stream": (
        "p",
        "exec?command=ls",
        400,
        "you must specify at least 1 of stdin, stdout, stderr",
    ),
    "not an upgrade": ("p", "exec?command=ls&stdout=1", 400, "Upgrade request required"),
    "not scheduled": (
        "new",
        "exec?command=ls&stdout=1",
        400,
        "pod new does not have a host assigned",
    ),
}


@pytest.mark.parametrize(("pod", "rest", "code", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_stream_is_refused(lab, http, pod, rest, code, message):
    await lab.make_pod("p")
    await lab.make_pod("two", "a", "b")
    await lab.make_pod("lost", node="node9")
    await lab.make_pod("new", node="")
    assert await refused(await http.get(f"{PODS}/{pod}/{rest}")) == (code, message)


async def frames(socket):
    found = []
    async for message in socket:
        assert message.type is aiohttp.WSMsgType.BINARY
        found.append(message.data)
    return found


def connect(http, query, protocol=V5):
    return http.ws_connect(f"{PODS}/p/exec?{query}", protocols=(protocol,))


@pytest.mark.parametrize("protocol", [V4, V5])
async def test_exec(lab, http, protocol):
    await lab.make_pod("p")
    async with connect(http, "command=echo&command=hi&stdout=true", protocol) as socket:
        assert socket.protocol == protocol
        greeting, output, status = await frames(socket)
    assert greeting == b"\x01"
    assert output == b"\x01echo hi\n"
    assert status == b'\x03{"metadata":{},"status":"Success"}'
    assert lab.node.asked == [("default", "p", "c", ("echo", "hi"), False, False)]
    assert lab.node.processes[0].closed


async def test_the_exit_code_comes_back(lab, http):
    await lab.make_pod("p")
    async with connect(http, "command=exit&command=3&stdout=true") as socket:
        *_, last = await frames(socket)
    status = msgspec.json.decode(last[1:])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_input_sizes_and_the_end_of_input(lab, http):
    await lab.make_pod("p")
    query = "command=cat&stdin=true&stdout=true&stderr=true&tty=true"
    async with connect(http, query) as socket:
        await socket.send_bytes(b'\x04{"Width":80,"Height":24}')
        await socket.send_bytes(b"\x00data")
        await socket.send_bytes(b"\xff\x00")
        output = await frames(socket)
    assert output[1:4] == [b"\x01cat\n", b"\x01data", b"\x02DATA"]
    assert lab.node.processes[0].sizes == [(80, 24)]


async def test_a_process_that_cannot_start_is_told_in_the_error_channel(lab, http):
    await lab.make_pod("p")
    async with connect(http, "command=missing&stdout=true") as socket:
        _, only = await frames(socket)
    status = msgspec.json.decode(only[1:])
    assert (only[0], status["message"]) == (3, "exec missing: no such file or directory")


async def test_a_caller_that_goes_away_kills_its_process(lab, http):
    await lab.make_pod("p")
    async with connect(http, "command=cat&stdin=true&stdout=true") as socket:
        await socket.receive()
        await socket.receive()
        await socket.close()
    process = lab.node.processes[0]
    assert process.closed


async def test_a_server_that_stops_kills_its_processes(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        lab = await stack.enter_async_context(api_lab(tmp_path))
        await lab.make_pod("p")
        async with (
            lab.session() as http,
            connect(http, "command=cat&stdin=true&stdout=true") as socket,
        ):
            await socket.receive()
            await socket.receive()
            await stack.aclose()
    assert lab.node.processes[0].closed
