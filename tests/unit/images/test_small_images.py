"""The course's small servers: DockerCoins, httpenv, echoserver, imagen."""

import hashlib
import io
import json

import pytest

from tests.unit.images.conftest import load_app


def load(folder, *names, beside=("web",)):
    return load_app(folder, *names, "app", beside=beside)


def request(modules, line, *headers, body=b""):
    made = modules.web.Request("\r\n".join([line, *headers]), ("10.0.0.9", 5), ("10.0.0.1", 8080))
    made.body = body
    return made


def test_rng():
    rng = load("dockercoins-rng", "web")
    answer = rng.app.answer(request(rng, "GET /32 HTTP/1.1"))
    assert (len(answer.body), answer.delay_s) == (32, 0.1)
    assert rng.app.answer(request(rng, "GET / HTTP/1.1")).body.startswith(b"RNG running on ")
    for path in ("/x", "/-1", "/99999999999", "/²"):
        assert rng.app.answer(request(rng, f"GET {path} HTTP/1.1")).status == 404


def test_hasher():
    hasher = load("dockercoins-hasher", "web")
    answer = hasher.app.answer(request(hasher, "POST / HTTP/1.1", body=b"abc"))
    assert answer.body.decode() == hashlib.sha256(b"abc").hexdigest()
    assert hasher.app.answer(request(hasher, "GET / HTTP/1.1")).body.startswith(b"HASHER running")


class FakeRedis:
    def __init__(self, answers=None):
        self.calls, self.answers = [], answers or {}

    def call(self, *words):
        self.calls.append(words)
        answer = self.answers.get(words[0], 1)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_worker_counts_and_keeps_coins(capsys):
    worker = load("dockercoins-worker", "redis", beside=())
    redis, now = FakeRedis(), [100.0]
    digests = iter([b"abc", b"0123456789", b"def", b"fff"])

    def fetch(host, _method, _path, body=None):
        return b"random" if host == "rng" else next(digests)

    def sleep(seconds):
        now[0] += seconds * 5

    made = worker.app.Worker(redis, fetch, sleep=sleep, clock=lambda: now[0])
    for _ in range(4):
        made.step()
    assert redis.calls == [
        ("INCRBY", "hashes", 0),
        ("HSET", "wallet", "0123456789", b"random"),
        ("INCRBY", "hashes", 3),
    ]
    assert capsys.readouterr().err.splitlines() == [
        "INFO:__main__:0 units of work done, updating hash counter",
        "INFO:__main__:Coin found: 01234567...",
        "INFO:__main__:3 units of work done, updating hash counter",
    ]


def test_the_worker_waits_for_what_is_missing(capsys):
    worker = load("dockercoins-worker", "redis", beside=())
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    redis = FakeRedis({"INCRBY": OSError("redis: Name or service not known")})
    with pytest.raises(KeyboardInterrupt):
        worker.app.Worker(redis, None, sleep=sleep, clock=lambda: 1.0).run()
    assert waits == [10.0, 10.0]
    assert "ERROR:__main__:In work loop: redis: Name or service" in capsys.readouterr().err


def test_the_worker_names_the_service_that_is_missing():
    worker = load("dockercoins-worker", "redis", beside=())
    with pytest.raises(OSError, match=r"http://127.0.0.1:1/32: .*refused"):
        worker.app.fetch("127.0.0.1:1", "GET", "/32")


def test_webui():
    webui = load("dockercoins-webui", "web", beside=("web", "dockercoins-worker"))
    redis = FakeRedis({"HLEN": 3, "GET": b"40"})
    app = webui.app.App(redis, "<p>page", clock=lambda: 12.5)
    found = app.answer(request(webui, "GET /json HTTP/1.1"))
    assert json.loads(found.body) == {"coins": 3, "hashes": "40", "now": 12.5}
    assert app.answer(request(webui, "GET / HTTP/1.1")).headers == {"Location": "/index.html"}
    assert app.answer(request(webui, "GET /index.html HTTP/1.1")).body == b"<p>page"
    redis.answers = {"HLEN": OSError("down")}
    assert app.answer(request(webui, "GET /json HTTP/1.1")).status == 503
    redis.answers = {"HLEN": 0, "GET": None}
    assert b'"hashes":null' in app.answer(request(webui, "GET /json HTTP/1.1")).body


REDIS_ANSWERS = {
    "status": (b"+OK\r\n", "OK"),
    "number": (b":12\r\n", 12),
    "text": (b"$3\r\na\r\n\r\n", b"a\r\n"),
    "nothing": (b"$-1\r\n", None),
    "list": (b"*2\r\n:1\r\n$1\r\nx\r\n", [1, b"x"]),
}
REDIS_ERRORS = {
    "refused": (b"-ERR no\r\n", "ERR no"),
    "closed": (b"", "ended"),
    "cut": (b"$10\r\nabc", "ended"),
    "not redis": (b"HTTP/1.1 400\r\n", "not a Redis answer"),
    "not a number": (b":x\r\n", "not a Redis answer"),
}


class Pipe:
    """Stands for the connection's file."""

    def __init__(self, answer):
        self.sent, self._incoming = io.BytesIO(), io.BytesIO(answer)
        self.write, self.read, self.readline = self.sent.write, self._incoming.read, None
        self.readline = self._incoming.readline

    def flush(self):
        pass

    def close(self):
        pass


@pytest.fixture
def redis():
    return load_app("dockercoins-worker", "redis", beside=()).redis


@pytest.mark.parametrize(("sent", "value"), REDIS_ANSWERS.values(), ids=REDIS_ANSWERS.keys())
def test_redis_answers(redis, sent, value):
    client = redis.Redis("x")
    client._stream = pipe = Pipe(sent)
    assert client.call("SET", "k", 5) == value
    assert pipe.sent.getvalue() == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n5\r\n"


@pytest.mark.parametrize(("sent", "cause"), REDIS_ERRORS.values(), ids=REDIS_ERRORS.keys())
def test_redis_errors(redis, sent, cause):
    client = redis.Redis("x")
    client._stream = Pipe(sent)
    with pytest.raises(redis.RedisError, match=cause):
        client.call("GET", "k")


def test_httpenv_tells_the_environment_it_was_given():
    httpenv = load("httpenv", "web")
    assert httpenv.app.environment(b"A=1\0B=x=y\0C=\0") == {"A": "1", "B": "x=y", "C": ""}


def test_echoserver_1_4():
    echo = load("echoserver", "web")
    text = echo.app.old_answer(request(echo, "GET /a?b=c HTTP/1.1", "Host: h:3", "Accept: */*"))
    assert text == (
        "CLIENT VALUES:\nclient_address=10.0.0.9\ncommand=GET\nreal path=/a?b=c\nquery=b=c\n"
        "request_version=1.1\nrequest_uri=http://h:8080/a?b=c\n\n"
        "SERVER VALUES:\nserver_version=netlab echoserver\n\n"
        "HEADERS RECEIVED:\naccept=*/*\nhost=h:3\nBODY:\n-no body in request-\n"
    )


def test_echoserver_1_10_tells_the_pod_and_the_body():
    echo = load("echoserver", "web")
    text = echo.app.new_answer(request(echo, "POST / HTTP/1.1", body=b"hi"))
    assert "\nHostname: " in text
    assert "\tmethod=POST\n" in text
    assert text.endswith("Request Body:\n\thi\n\n")


def test_imagen_has_three_versions():
    imagen = load("imagen", "web")
    asked = request(imagen, "GET / HTTP/1.1", "Host: <b>")
    first, second, third = (
        imagen.app.page(version, asked, {"A": "<1>"}) for version in ("v0.1.0", "v0.2.0", "v0.3.0")
    )
    assert first == "Hola Catamarca desde PHP7!"
    assert "<tr><td>A</td><td>&lt;1&gt;</td></tr>" in second
    assert third.startswith("¡Hola Catamarca!")
    assert "<b>" not in second
