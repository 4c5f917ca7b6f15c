"""echoserver: answers every request on port 8080 with what it saw of it.

The layout of the answer is that of version 1.4 when ECHO_LAYOUT is old, else that of 1.10, which
also tells the pod's name.
"""

import socket

from web import Answer, logged, serve

_SERVER = "netlab echoserver"


def facts(request):
    """Return (name, value) of what both layouts tell of a request, in order."""
    host = request.header("Host").partition(":")[0] or request.local[0]
    return [
        ("client_address", request.client[0]),
        ("method", request.method),
        ("real path", request.target),
        ("query", request.query),
        ("request_version", request.version.removeprefix("HTTP/")),
        ("request_scheme", "http"),
        ("request_uri", f"http://{host}:{request.local[1]}{request.target}"),
    ]


def headers(request):
    """Return name=value of the headers, sorted, the names in lower case."""
    return [f"{name}={value}" for name, value in sorted((n.lower(), v) for n, v in request.headers)]


def old_answer(request):
    """Return the text of version 1.4."""
    found = dict(facts(request))
    found["query"] = found["query"] or "nil"
    names = {"method": "command"}
    told = [f"{names.get(n, n)}={v}" for n, v in found.items() if n != "request_scheme"]
    return _join(
        ["CLIENT VALUES:", *told, "", "SERVER VALUES:", f"server_version={_SERVER}", ""],
        ["HEADERS RECEIVED:", *headers(request), "BODY:", _body(request)],
    )


def new_answer(request):
    """Return the text of version 1.10."""
    told = [f"\t{name}={value}" for name, value in facts(request)]
    return _join(
        ["", "", f"Hostname: {socket.gethostname()}", ""],
        ["Pod Information:", "\t-no pod information available-", ""],
        ["Server values:", f"\tserver_version={_SERVER}", ""],
        ["Request Information:", *told, ""],
        ["Request Headers:", *(f"\t{line}  " for line in headers(request)), ""],
        ["Request Body:", f"\t{_body(request)}", ""],
    )


def _body(request):
    return request.body.decode(errors="replace") or "-no body in request-"


def _join(*parts):
    return "\n".join(line for part in parts for line in part) + "\n"


def main(_words, environ, port=8080):
    """Serve until a signal."""
    write = old_answer if environ.get("ECHO_LAYOUT") == "old" else new_answer
    serve({("0.0.0.0", port): logged(lambda request: Answer(write(request), kind="text/plain"))})
