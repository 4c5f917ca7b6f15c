"""The monolith: tokens, health checks, flags."""

import base64
import json

import pytest

from tests.unit.images.conftest import load_app


@pytest.fixture(scope="module")
def modules():
    return load_app("example-monolith", "web", "tokens", "app", beside=("web",))


def ask(modules, handler, target, *headers):
    lines = [f"GET {target} HTTP/1.1", *headers]
    return handler(modules.web.Request("\r\n".join(lines), ("10.0.0.9", 5), ("10.0.0.1", 80)))


def basic(name, password):
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def app(modules):
    return modules.app.App("secret", "1.0.0", ["auth", "hello"])


PAGES = {
    "greeting": ("/", 200, b'{"message":"Hello"}\n'),
    "any other path": ("/x/y", 200, b'{"message":"Hello"}\n'),
    "version": ("/version", 200, b'{"version":"1.0.0"}\n'),
    "no token": ("/secure", 401, b"authorization failed\n"),
    "no password": ("/login", 401, b"authorization failed\n"),
}


@pytest.mark.parametrize(("path", "status", "body"), PAGES.values(), ids=PAGES.keys())
def test_pages(modules, app, path, status, body):
    answer = ask(modules, app.http, path)
    assert (answer.status, answer.body) == (status, body)


def test_a_token_opens_the_secure_page(modules, app):
    login = ask(modules, app.http, "/login", basic("user", "password"))
    token = json.loads(login.body)["token"]
    assert ask(modules, app.http, "/secure", f"Authorization: Bearer {token}").status == 200
    other = modules.app.App("other", "1.0.0", ["auth", "hello"])
    assert ask(modules, other.http, "/secure", f"Authorization: Bearer {token}").status == 401
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 72 * 3600
    assert (claims["sub"], claims["iss"]) == ("user", "auth.service")


@pytest.mark.parametrize(
    "header", [basic("user", "wrong"), basic("x", ""), "Authorization: Basic ="]
)
def test_wrong_logins(modules, app, header):
    assert ask(modules, app.http, "/login", header).status == 401


def test_tokens_are_what_every_library_understands(modules):
    # the example of https://jwt.io/introduction, signed anew
    token = modules.tokens.sign({"sub": "1"}, b"k")
    assert token.startswith("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.")
    assert modules.tokens.verify(token, b"k", 0) == {"sub": "1"}


WRONG_TOKENS = {
    "empty": "",
    "no dots": "abc",
    "not base64": "!!.!!.!!",
    "not ascii": "é.é.é",
    "none": "eyJhbGciOiJub25lIn0.e30.",
}


@pytest.mark.parametrize("token", WRONG_TOKENS.values(), ids=WRONG_TOKENS.keys())
def test_wrong_tokens(modules, token):
    assert modules.tokens.verify(token, b"k", 0) is None


def test_tokens_end(modules):
    token = modules.tokens.sign({"exp": 10}, b"k")
    assert modules.tokens.verify(token, b"k", 9.9) == {"exp": 10}
    assert modules.tokens.verify(token, b"k", 10) is None


def test_another_algorithm_is_refused(modules):
    tokens = modules.tokens
    text = ".".join(tokens._encode(part) for part in (b'{"alg":"HS512"}', b"{}"))
    signed = f"{text}.{tokens._encode(tokens._mac(text, b'k'))}"
    assert tokens.verify(signed, b"k", 0) is None


def test_health_checks_can_be_told_to_fail(modules, app):
    for check in ("/healthz", "/readiness"):
        found = []
        for _ in range(3):
            found.append(ask(modules, app.health, check).status)
            assert ask(modules, app.health, f"{check}/status").status == 200
        assert found == [200, 503, 200]
    assert ask(modules, app.health, "/x/status").status == 404
    assert ask(modules, app.health, "/").status == 404


def test_the_parts_have_their_own_pages(modules):
    auth = modules.app.App("s", "1.0.0", ["auth"])
    assert ask(modules, auth.http, "/").status == 404
    hello = modules.app.App("s", "1.0.0", ["hello"])
    assert ask(modules, hello.http, "/login", basic("user", "password")).body == (
        b'{"message":"Hello"}\n'
    )


FLAGS = {
    "none": ([], ("0.0.0.0:80", "0.0.0.0:81", "secret")),
    "one dash": (["-http=:8", "-secret=s"], (":8", "0.0.0.0:81", "s")),
    "two dashes": (["--health=1.2.3.4:9"], ("0.0.0.0:80", "1.2.3.4:9", "secret")),
    "apart": (["-secret", "a=b", "-http", "x:1"], ("x:1", "0.0.0.0:81", "a=b")),
}


@pytest.mark.parametrize(("words", "expected"), FLAGS.values(), ids=FLAGS.keys())
def test_flags(modules, words, expected):
    options = modules.app.Options(words)
    assert (options.http, options.health, options.secret) == expected


@pytest.mark.parametrize("words", [["-x=1"], ["http"], ["-http"]])
def test_wrong_flags(modules, words, capsys):
    with pytest.raises(SystemExit) as left:
        modules.app.Options(words)
    assert left.value.code == 2
    assert "usage: monolith" in capsys.readouterr().err


def test_requests_are_logged(modules, app, capsys):
    ask(modules, app.http, "/secure?x=1", "User-Agent: curl/8")
    line = capsys.readouterr().out
    assert line.startswith("10.0.0.9:5 - - [20")
    assert line.endswith(' UTC] "GET /secure HTTP/1.1" curl/8\n')
