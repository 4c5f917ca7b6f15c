"""Connections: a client that goes away."""

import asyncio
import logging

import pytest
from aiohttp import web

from netlab.streaming.front import Front


async def test_a_client_that_goes_away_in_an_answer_leaves_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    raised: asyncio.Future[type] = asyncio.get_running_loop().create_future()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        request.transport.close()  # what the client's end does, before the server is told of it
        try:
            await response.write(b"x")
        except ConnectionError as error:
            raised.set_result(type(error))
            raise
        return response

    front = Front(answer, handler_cancellation=True, access_log=None)
    server = await asyncio.get_running_loop().create_server(front, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.read()
    assert issubclass(await raised, ConnectionError)
    writer.close()
    server.close()
    await front.shutdown(1)
    assert caplog.records == []
