"""The course's page: each version of the image greets in its own way.

v0.1.0 one line; v0.2.0 a greeting and a page about the server, where the original shows PHP's own
report; v0.3.0 a greeting and the pod's name.
"""

import html
import os
import socket

from web import Answer, logged, serve


def page(version, request, environ):
    """Return the page of a version."""
    if version == "v0.1.0":
        return "Hola Catamarca desde PHP7!"
    if version == "v0.2.0":
        return "¡Hola Catamarca!" + report(request, environ)
    return f"¡Hola Catamarca!{socket.gethostname()}"


def report(request, environ):
    """Return a page about the server and the request, in tables."""
    system = os.uname()
    server = {
        "System": f"{system.sysname} {socket.gethostname()} {system.release} {system.machine}",
        "Server": "netlab, in place of PHP 8 with Apache",
        "SERVER_ADDR": request.local[0],
        "SERVER_PORT": str(request.local[1]),
        "REMOTE_ADDR": request.client[0],
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": request.target,
    }
    parts = [_table("Server", server), _table("HTTP Headers", dict(request.headers))]
    parts.append(_table("Environment", dict(sorted(environ.items()))))
    return f"<html><head><title>Server info</title></head><body>{''.join(parts)}</body></html>\n"


def _table(title, rows):
    cells = (
        f"<tr><td>{html.escape(n)}</td><td>{html.escape(v)}</td></tr>" for n, v in rows.items()
    )
    return f"<h2>{title}</h2>\n<table>\n{chr(10).join(cells)}\n</table>\n"


def main(_words, environ, port=80):
    """Serve until a signal."""
    version, kind = environ.get("IMAGEN_VERSION", ""), "text/html; charset=UTF-8"

    def answer(request):
        if request.path not in ("/", "/index.php"):
            return Answer("Not Found\n", 404)
        return Answer(page(version, request, environ), kind=kind)

    serve({("0.0.0.0", port): logged(answer)})
