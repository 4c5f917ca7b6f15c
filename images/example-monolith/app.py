"""The course's monolith: a greeting, tokens, and health checks that can be told to fail.

    monolith -http=0.0.0.0:80 -health=0.0.0.0:81 -secret=secret

    /         {"message":"Hello"}
    /login    basic auth user:password -> {"token":"…"}, a JWT (HS256) that holds for 72 hours
    /secure   the greeting, for requests that carry such a token; else 401 authorization failed
    /version  {"version":"1.0.0"}
    health:   /healthz and /readiness answer 200 or 503; /healthz/status and /readiness/status
              change the answer from one to the other

One program for three images, as MONOLITH_PARTS says: the monolith, or only its auth or its hello.
"""

import json
import sys
import time

import tokens
from web import Answer, serve

_USERS = {"user": ("user@example.com", "password")}
_TOKEN_LIFE_S = 72 * 3600
_TITLES = {"auth": "Auth service", "hello": "Hello service"}


class Options:
    """What the command line says, in the way Go programs read flags."""

    def __init__(self, words):
        self.http, self.health, self.secret = "0.0.0.0:80", "0.0.0.0:81", "secret"
        words = list(words)
        while words:
            name, equals, value = words.pop(0).partition("=")
            name = name.lstrip("-") if name.startswith("-") else ""
            if name not in ("http", "health", "secret"):
                self._usage(f"flag provided but not defined: -{name}" if name else "not a flag")
            if not equals:
                if not words:
                    self._usage(f"flag needs an argument: -{name}")
                value = words.pop(0)
            setattr(self, name, value)

    @staticmethod
    def _usage(problem):
        print(problem, file=sys.stderr)
        print(
            "usage: monolith [-http host:port] [-health host:port] [-secret text]", file=sys.stderr
        )
        sys.exit(2)


class App:
    """The handlers, and what the health checks answer."""

    def __init__(self, secret, version, parts):
        self._secret, self._version = secret.encode(), version
        self.status = {"/healthz": 200, "/readiness": 200}
        self._paths = {"/version": self._tell_version}
        if "auth" in parts:
            self._paths["/login"] = self._login
        if "hello" in parts:
            self._paths["/"] = self._hello
            self._paths["/secure"] = self._secure

    def http(self, request):
        """Answer on the service's port."""
        _log_request(request)
        # What no longer path claims belongs to /, as Go's ServeMux has it.
        handler = self._paths.get(request.path) or self._paths.get("/")
        return handler(request) if handler else Answer("404 page not found\n", 404)

    def health(self, request):
        """Answer on the health port."""
        _log_request(request)
        if request.path in self.status:
            return Answer(status=self.status[request.path])
        check = request.path.removesuffix("/status")
        if check == request.path or check not in self.status:
            return Answer("404 page not found\n", 404)
        self.status[check] = 503 if self.status[check] == 200 else 200
        return Answer()

    def _hello(self, _request):
        return _json({"message": "Hello"})

    def _tell_version(self, _request):
        return _json({"version": self._version})

    def _login(self, request):
        name, password = tokens.basic_auth(request.header("Authorization"))
        email, expected = _USERS.get(name, ("", ""))
        if not email or not tokens.same(password, expected):
            return _refusal()
        now = int(time.time())
        claims = {"email": email, "exp": now + _TOKEN_LIFE_S, "iat": now, "iss": "auth.service"}
        return _json({"token": tokens.sign({**claims, "sub": name}, self._secret)})

    def _secure(self, request):
        scheme, _, token = request.header("Authorization").partition(" ")
        if scheme.lower() != "bearer" or tokens.verify(token, self._secret, time.time()) is None:
            return _refusal()
        return self._hello(request)


def _json(value):
    text = json.dumps(value, separators=(",", ":")) + "\n"
    return Answer(text, kind="application/json")


def _refusal():
    return Answer("authorization failed\n", 401)


def _log_request(request):
    now = time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime())
    host, port = request.client
    what = f'"{request.method} {request.path} {request.version}"'
    print(f"{host}:{port} - - [{now}] {what} {request.header('User-Agent')}", flush=True)


def _log(text):
    print(time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime()), text, file=sys.stderr, flush=True)


def _address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        _log(f"listen tcp: address {text}: missing port in address")
        sys.exit(1)
    return host.strip("[]") or "0.0.0.0", int(port)


def main(words, environ):
    """Serve until a signal; print what the original prints."""
    options = Options(words)
    parts = environ.get("MONOLITH_PARTS", "auth,hello").split(",")
    app = App(options.secret, environ.get("MONOLITH_VERSION", "1.0.0"), parts)
    title = _TITLES[parts[0]] if len(parts) == 1 else "server"
    _log(f"Starting {title}...")
    _log(f"Health service listening on {options.health}")
    _log(f"HTTP service listening on {options.http}")
    number = serve({_address(options.health): app.health, _address(options.http): app.http})
    _log(f"Captured {'interrupt' if number == 2 else 'terminated'}. Exiting...")
