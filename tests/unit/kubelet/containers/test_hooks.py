"""Hooks of a container's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from netlab.api.containers import LifecycleHandler
from netlab.errors import ContainerError
from netlab.kubelet.containers.hooks import HookError, run_hook
from tests.unit.kubelet.probes.fakes import FakeNode, make_pod

WHERE = 'for Container "web" in Pod "web_shop(uid-1)"'


async def run(node: FakeNode, handler: dict[str, Any]) -> None:
    pod = make_pod({"ports": [{"name": "http", "containerPort": 80}]})
    await run_hook(
        LifecycleHandler.parse(handler),
        parts=node.parts,
        pod=pod,
        container=pod.spec.containers[0],
        container_id="c1",
        pod_ip="127.0.0.1",
    )


async def failure(node: FakeNode, handler: dict[str, Any]) -> str:
    with pytest.raises(HookError) as caught:
        await run(node, handler)
    return str(caught.value)


COMMAND = {"exec": {"command": ["sh", "-c", "exit 3"]}}


async def test_a_command_that_succeeds() -> None:
    node = FakeNode()
    await run(node, COMMAND)
    assert node.runtime.commands == [("c1", ("sh", "-c", "exit 3"))]
    assert node.runtime.processes[0].closed


async def test_a_command_that_fails() -> None:
    node = FakeNode()
    node.runtime.answer = lambda _: (3, b'said "this"\n', b"bad\n")
    assert await failure(node, COMMAND) == (
        f"Exec lifecycle hook ([sh -c exit 3]) {WHERE} failed - error: "
        "command 'sh -c exit 3' exited with 3: bad\n, message: "
        '"said \\"this\\"\\nbad\\n"'
    )


async def test_a_command_that_cannot_start() -> None:
    node = FakeNode()
    node.runtime.answer = lambda _: ContainerError("container c1: not running")
    assert "failed - error: container c1: not running" in await failure(node, COMMAND)


async def test_cancelling_kills_the_command() -> None:
    node = FakeNode()
    node.runtime.answer = lambda _: None
    task = asyncio.create_task(run(node, COMMAND))
    while not node.runtime.processes:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert node.runtime.processes[0].closed


async def test_output_is_cut() -> None:
    node = FakeNode()
    node.runtime.answer = lambda _: (1, b"x" * 50_000, b"")
    assert len(await failure(node, COMMAND)) < 11_000


async def test_sleep() -> None:
    node = FakeNode()
    task = asyncio.create_task(run(node, {"sleep": {"seconds": 5}}))
    await node.clock.advance(0)
    await node.clock.advance(4.9)
    assert not task.done()
    await node.clock.advance(0.1)
    await task


@asynccontextmanager
async def answering(answer: bytes, requests: list[bytes]) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readline())
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_any_http_answer_is_good() -> None:
    requests: list[bytes] = []
    async with answering(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", requests) as port:
        await run(FakeNode(), {"httpGet": {"port": port, "path": "/bye"}})
    assert requests == [b"GET /bye HTTP/1.1\r\n"]


async def test_https_falls_back_to_http_and_tells() -> None:
    node = FakeNode()
    requests: list[bytes] = []
    async with answering(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", requests) as port:
        await run(node, {"httpGet": {"port": port, "scheme": "HTTPS"}})
    assert requests[-1] == b"GET / HTTP/1.1\r\n"
    assert node.events.told == [
        (
            "LifecycleHTTPFallback",
            f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, "
            "retry with HTTP succeeded",
            "",
        )
    ]


async def test_http_failures() -> None:
    async with answering(b"", []) as port:
        pass
    assert await failure(FakeNode(), {"httpGet": {"port": port, "path": "/bye"}}) == (
        f'HTTP lifecycle hook (/bye) {WHERE} failed - error: Get "http://127.0.0.1:{port}/bye": '
        f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )
    assert "invalid syntax" in await failure(FakeNode(), {"httpGet": {"port": "web"}})


async def test_tcp_socket_is_no_handler() -> None:
    text = await failure(FakeNode(), {"tcpSocket": {"port": 80}})
    assert text.startswith("Cannot run handler: invalid handler: ")
