"""The small web server of the images, over real loopback connections."""

import socket
import threading
import time

import pytest

from tests.unit.images.conftest import load_app


@pytest.fixture(scope="module")
def web():
    return load_app("web", "web", beside=()).web


@pytest.fixture
def serve(web):
    """Return a function that serves a handler and gives the port."""
    running = []

    def start(handler):
        server = web.Server({("127.0.0.1", 0): handler})
        ours, theirs = socket.socketpair()
        server.watch(theirs)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread, ours, theirs))
        return server.addresses[0][1]

    yield start
    for server, thread, ours, theirs in running:
        server.stop(15)
        ours.send(b"x")
        thread.join(5)
        assert not thread.is_alive()
        ours.close()
        theirs.close()


def talk(port, data, *, until=b""):
    """Send bytes; return what comes until the server closes, or until it ends with a text."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(data)
        got = b""
        while piece := sock.recv(65536):
            got += piece
            if until and got.endswith(until):
                break
        return got


def echo(web):
    def handle(request):
        return web.Answer(f"{request.method} {request.path} {request.query} {len(request.body)}\n")

    return handle


def test_a_request_is_answered(web, serve):
    got = talk(serve(echo(web)), b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n")
    assert b"\r\nContent-Length: 13\r\n" in head
    assert body == b"GET /a b=c 0\n"


def test_many_requests_on_one_connection(web, serve):
    one = b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    last = b"GET /end HTTP/1.1\r\nConnection: close\r\n\r\n"
    got = talk(serve(echo(web)), one * 2000 + last)
    assert got.count(b"POST /p  3\n") == 2000
    assert got.endswith(b"GET /end  0\n")


def test_http_1_0_closes_and_head_has_no_body(web, serve):
    port = serve(echo(web))
    assert talk(port, b"GET / HTTP/1.0\r\n\r\n").endswith(b"Connection: close\r\n\r\nGET /  0\n")
    assert talk(port, b"HEAD / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")


BAD_REQUESTS = {
    "no request line": (b"hello\r\n\r\n", b"400 Bad Request"),
    "not http": (b"GET / SPDY/3\r\n\r\n", b"400 Bad Request"),
    "header without colon": (b"GET / HTTP/1.1\r\nfoo\r\n\r\n", b"400 Bad Request"),
    "space before colon": (b"GET / HTTP/1.1\r\nfoo : x\r\n\r\n", b"400 Bad Request"),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411 Length Required"),
    "chunked": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411 Length Required"),
    "huge": (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413 Content Too Large"),
    "endless head": (b"GET / HTTP/1.1\r\nx: " + b"x" * 40000, b"431 Request Header Fields"),
}


@pytest.mark.parametrize(("sent", "expected"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_requests_are_refused_and_the_server_lives(web, serve, sent, expected):
    port = serve(echo(web))
    assert talk(port, sent).startswith(b"HTTP/1.1 " + expected)
    assert b"200 OK" in talk(port, b"GET / HTTP/1.0\r\n\r\n")


def test_a_handler_that_fails_is_an_error_500(web, serve, capsys):
    def fail(_request):
        raise KeyError("x")

    assert b" 500 " in talk(serve(fail), b"GET /f HTTP/1.0\r\n\r\n")
    assert capsys.readouterr().err == "GET /f: KeyError('x')\n"


def test_delayed_answers_do_not_wait_for_each_other(web, serve):
    port = serve(lambda _request: web.Answer("late\n", delay_s=0.05))
    begin = time.monotonic()
    socks = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    for sock in socks:
        with sock:
            assert sock.makefile("rb").read().endswith(b"late\n")
    assert 0.05 <= time.monotonic() - begin < 0.5


def test_large_answers_arrive_whole(web, serve):
    content = bytes(range(256)) * 20000
    port = serve(lambda _request: web.Answer(content))
    assert talk(port, b"GET / HTTP/1.0\r\n\r\n").endswith(content)


def test_an_address_in_use_is_one_line(web):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"listen on 127.0.0.1:{port}: Address already in use"):
            web.serve({("127.0.0.1", port): echo(web)})
