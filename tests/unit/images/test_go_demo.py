"""The go-demo-2 image's app on loopback, with and without its database."""

import asyncio
import logging
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

from tests.unit.images.conftest import IMAGES


@asynccontextmanager
async def running_app(demo, people, **options):
    api = demo.app.Api(people=people, version="2.0", hostname="pod-1")
    try:
        async with demo.app.serving(api.application(), "127.0.0.1", 0, **options) as listening:
            yield listening.getsockname()[1]
    finally:
        await people.close()


async def talk(port, *requests, ends_first=False):
    """Send requests on one connection, wait for its end, return all that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
    if ends_first:
        writer.write_eof()
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


class SlowPeople(FakePeople):
    """Says when it is asked, and answers when it is let."""

    def __init__(self):
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def names(self):
        self.asked.set()
        await self.let.wait()
        return ["Ana"]


async def test_hello_is_what_the_course_shows(demo, caplog):
    caplog.set_level(logging.INFO, "go-demo-2")
    async with running_app(demo, FakePeople()) as port:
        answer = await talk(port, get("/demo/hello"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"hello, world!\n"
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    named = dict(header.split(": ", 1) for header in headers)
    del named["Date"]
    assert named == {
        "Content-Length": "14",
        "Content-Type": "text/plain; charset=utf-8",
        "X-Hostname": "pod-1",
        "X-Version": "2.0",
        "Connection": "close",
    }
    assert caplog.messages[0].startswith("127.0.0.1 GET /demo/hello 200 ")


NOT_A_DELAY = b"delay: not a number of milliseconds\n"
ROUTES = {
    "unknown path": (get("/nope"), b"404", b"404 page not found\n"),
    "wrong method": (get("/demo/hello", method="POST"), b"405", b"method not allowed\n"),
    "version": (get("/version"), b"200", b"2.0\n"),
    "no name": (get("/demo/person", method="PUT"), b"400", b"name is missing\n"),
    "head has no body": (get("/demo/hello", method="HEAD"), b"200", b""),
    "delay of words": (get("/demo/hello?delay=x"), b"400", NOT_A_DELAY),
    "delay below zero": (get("/demo/hello?delay=-1"), b"400", NOT_A_DELAY),
    "delay in superscript": (get("/demo/hello?delay=%C2%B2"), b"400", NOT_A_DELAY),
    "delay of an age": (get("/demo/hello?delay=600001"), b"400", NOT_A_DELAY),
    "delay beyond int": (get("/demo/hello?delay=" + "9" * 5000), b"400", NOT_A_DELAY),
    "a short delay": (get("/demo/hello?delay=1"), b"200", b"hello, world!\n"),
    "chunked body": (
        get("/demo/hello", more="Transfer-Encoding: chunked\r\nConnection: close\r\n")
        + b"1\r\nx\r\n0\r\n\r\n",
        b"200",
        b"hello, world!\n",
    ),
}


@pytest.mark.parametrize(("request_", "status", "body"), ROUTES.values(), ids=ROUTES.keys())
async def test_routes(demo, request_, status, body):
    async with running_app(demo, FakePeople()) as port:
        answer = await talk(port, request_)
    assert answer.split(b" ")[1] == status
    head, _, got = answer.partition(b"\r\n\r\n")
    assert got == body
    assert b"X-Hostname: pod-1\r\nX-Version: 2.0" in head


REFUSED = {"no http": b"hello\r\n\r\n", "huge header": b"GET /" + b"x" * 70000 + b"\r\n\r\n"}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_not_http_is_refused_and_logged(demo, caplog, request_):
    caplog.set_level(logging.INFO, "go-demo-2")
    async with running_app(demo, FakePeople()) as port:
        assert (await talk(port, request_)).split(b" ")[1] == b"400"
    assert any(" 400 " in line for line in caplog.messages)


METHODS = {"/demo/hello": b"GET, HEAD", "/demo/person": b"GET, HEAD, PUT"}


@pytest.mark.parametrize("path", METHODS)
async def test_a_wrong_method_is_told_the_right_ones(demo, path):
    async with running_app(demo, FakePeople()) as port:
        assert b"Allow: " + METHODS[path] + b"\r\n" in await talk(port, get(path, method="POST"))


async def test_a_connection_serves_several_requests(demo):
    async with running_app(demo, FakePeople()) as port:
        answer = await talk(
            port,
            get("/demo/person?name=Ana%20Mari", method="PUT", more="Content-Length: 3\r\n")
            + b"abc",
            get("/demo/person"),
        )
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\r\n\r\nAna Mari\n")


async def test_without_a_database_only_people_fail(demo, caplog):
    people = demo.people.People("127.0.0.1", 1)
    async with running_app(demo, people) as port:
        answer = await talk(port, get("/demo/person"))
        assert b" 503 " in answer
        assert b"\r\n\r\ndatabase 127.0.0.1:1: " in answer
        assert b" 503 " in await talk(port, get("/demo/person?name=Ana", method="PUT"))
        assert b" 200 " in await talk(port, get("/demo/hello"))
    assert caplog.messages[0].startswith("database 127.0.0.1:1: ")


async def test_a_client_that_ends_its_side_first_is_answered(demo):
    people = SlowPeople()
    async with running_app(demo, people) as port:
        asking = asyncio.create_task(talk(port, get("/demo/person", more=""), ends_first=True))
        await people.asked.wait()
        # Another connection's whole talk: by then the end has been read.
        assert await talk(port, ends_first=True) == b""
        people.let.set()
        assert (await asking).endswith(b"\r\n\r\nAna\n")


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
    people = SlowPeople()
    async with running_app(demo, people) as port:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(talk(port, get("/demo/person", more="")))
        await people.asked.wait()
        asyncio.get_running_loop().call_later(0.02, people.let.set)
    assert (await asking).endswith(b"\r\n\r\nAna\n")
    assert await idle.read() == b""
    idle_writer.close()
    with pytest.raises(ConnectionRefusedError):
        await talk(port)


async def test_the_end_does_not_wait_for_ever(demo, caplog):
    people = SlowPeople()
    async with running_app(demo, people, drain_timeout_s=0.02) as port:
        asking = asyncio.create_task(talk(port, get("/demo/person", more="")))
        await people.asked.wait()
    assert caplog.messages == ["not every request was finished"]
    people.let.set()
    await asking


def test_a_pod_starts_without_tls(tmp_path):
    """Loading the certificate authorities would cost each pod a third of its start."""
    shutil.copy(IMAGES / "go-demo-2" / "__main__.py", tmp_path)
    (tmp_path / "app.py").write_text(
        "import sys, aiohttp.web\n"
        "def main(): print('_ssl' in sys.modules, 'aiohttp.web' in sys.modules)\n"
    )
    argv = [sys.executable, "-I", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("False True\n", "")
