"""The go-demo-2 image's app on loopback, with and without its database."""

import asyncio
from contextlib import asynccontextmanager

import pytest


@asynccontextmanager
async def running_app(demo, people):
    lines = []
    app = demo.app.App(people=people, version="2.0", hostname="pod-1", log=lines.append)
    http = demo.http1.HttpServer(app.handle, lines.append)
    server = await asyncio.start_server(http.serve_connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], lines, http
    finally:
        server.close()
        await http.drain(1)
        await people.close()


async def talk(port, *requests):
    """Send requests on one connection, wait for its end, return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


def get(path, *, method="GET", more="Connection: close\r\n"):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


class FakePeople:
    def __init__(self):
        self.known = []

    async def add(self, name):
        self.known.append(name)

    async def names(self):
        return self.known

    async def close(self):
        pass


async def test_hello_is_what_the_course_shows(demo):
    async with running_app(demo, FakePeople()) as (port, lines, _):
        answer = await talk(port, get("/demo/hello"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"hello, world!\n"
    names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:4]]
    assert names == [b"Date", b"Content-Length", b"Content-Type"]
    assert b"Content-Length: 14\r\n" in head
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in head
    assert b"X-Hostname: pod-1\r\nX-Version: 2.0" in head
    assert "GET /demo/hello 200" in lines[0]


ROUTES = {
    "unknown path": (get("/nope"), b"404", b"404 page not found\n"),
    "wrong method": (get("/demo/hello", method="POST"), b"405", b"method not allowed\n"),
    "version": (get("/version"), b"200", b"2.0\n"),
    "no name": (get("/demo/person", method="PUT"), b"400", b"name is missing\n"),
    "head has no body": (get("/demo/hello", method="HEAD"), b"200", b""),
    "bad delay": (get("/demo/hello?delay=x"), b"400", b"delay: not a number of milliseconds\n"),
    "not http": (b"hello\r\n\r\n", b"400", b"malformed request line\n"),
    "chunked": (
        get("/demo/hello", more="Transfer-Encoding: chunked\r\n"),
        b"411",
        b"a body needs a Content-Length\n",
    ),
    "huge body": (
        get("/", more="Content-Length: 99999999\r\n"),
        b"413",
        b"the body is too large\n",
    ),
    "huge header": (b"x" * 70000 + b"\r\n\r\n", b"400", b"the header is too large\n"),
}


@pytest.mark.parametrize(("request_", "status", "body"), ROUTES.values(), ids=ROUTES.keys())
async def test_routes(demo, request_, status, body):
    async with running_app(demo, FakePeople()) as (port, _, _http):
        answer = await talk(port, request_)
    assert answer.split(b" ")[1] == status
    assert answer.partition(b"\r\n\r\n")[2] == body


async def test_a_connection_serves_several_requests(demo):
    async with running_app(demo, FakePeople()) as (port, _, _http):
        answer = await talk(
            port,
            get("/demo/person?name=Ana%20Mari", method="PUT", more="Content-Length: 3\r\n")
            + b"abc",
            get("/demo/person"),
        )
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\nAna Mari\n")


async def test_without_a_database_only_people_fail(demo):
    people = demo.people.People("127.0.0.1", 1)
    async with running_app(demo, people) as (port, _, _http):
        assert b" 503 " in await talk(port, get("/demo/person"))
        assert b" 200 " in await talk(port, get("/demo/hello"))


async def test_people_live_in_the_database(demo, mongo, tmp_path):
    options = mongo.server.Options([f"--dbpath={tmp_path}"])
    server = mongo.server.Server(options, [])
    listening = await asyncio.start_server(server._serve_driver, "127.0.0.1", 0)
    people = demo.people.People("127.0.0.1", listening.sockets[0].getsockname()[1])
    try:
        for name in ("Ana", "Jon", "Ana"):
            await people.add(name)
        for index in range(120):
            await people.add(f"p{index}")
        names = await people.names()
        assert (names[:2], len(names)) == (["Ana", "Jon"], 122)
        for writer in list(server._connections):
            writer.close()
        await asyncio.sleep(0.01)
        assert len(await people.names()) == 122
    finally:
        await people.close()
        listening.close()
        await asyncio.sleep(0.01)
        server._storage.close()


async def test_requests_under_way_are_answered_before_the_end(demo):
    async with running_app(demo, FakePeople()) as (port, _, http):
        answer = asyncio.create_task(talk(port, get("/demo/hello?delay=50", more="")))
        while not http._busy:  # noqa: ASYNC110 the server has no reason to tell
            await asyncio.sleep(0.001)
        await http.drain(5)
        assert (await answer).endswith(b"hello, world!\n")
