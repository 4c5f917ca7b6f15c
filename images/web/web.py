"""A small HTTP/1.1 server for the programs of netlab's images, made to need little memory.

One process, one thread, one selector: a whole server with its interpreter stays below 6 MB, so it
fits in a pod with a limit of 10Mi. Only modules that Debian's interpreter has without OpenSSL are
imported. A program gives ``serve`` a handler for each address; a handler is a plain function from
``Request`` to ``Answer`` and never waits: what is to take time sets ``delay_s``.

Left out: chunked request bodies (411), several addresses per name, TLS.
"""

import heapq
import selectors
import signal
import socket
import sys
import time

_HEAD_MAX_BYTES = 32 * 1024
_BODY_MAX_BYTES = 8 * 1024 * 1024
_CONNECTIONS_MAX = 256
_IDLE_S = 60.0
_READ_BYTES = 65536
_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request:
    """A whole request. headers: (name, value) as sent; path without, query after the ``?``."""

    def __init__(self, head, client, local):
        lines = head.split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        if not self.version.startswith("HTTP/1.") or not self.method.isalpha():
            raise ValueError(lines[0])
        self.path, _, self.query = self.target.partition("?")
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip() or not name:
                raise ValueError(line)
            self.headers.append((name, value.strip()))
        self.client, self.local = client, local
        self.body = b""

    def header(self, name, default=""):
        """Return the first header of a name, whatever its case."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), default)

    @property
    def body_bytes(self):
        """How long the body is to be; -1 when that cannot be told."""
        if self.header("Transfer-Encoding"):
            return -1
        length = self.header("Content-Length", "0")
        return int(length) if length.isascii() and length.isdigit() else -1

    @property
    def keeps(self):
        """Whether the client may send another request on this connection."""
        wish = self.header("Connection").lower()
        return wish == "keep-alive" if self.version == "HTTP/1.0" else wish != "close"


class Answer:
    """What a handler says. body: text or bytes; delay_s: when to send it."""

    def __init__(self, body=b"", status=200, *, kind="text/plain; charset=utf-8", **more):
        self.body = body.encode() if isinstance(body, str) else body
        self.status, self.kind = status, kind
        self.delay_s = more.pop("delay_s", 0.0)
        self.headers = more.pop("headers", {})
        assert not more, more

    def encode(self, *, keep, head_only):
        """Return the answer as bytes; head_only leaves the body out, as HEAD asks."""
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head if head_only else head + self.body


class _Connection:
    def __init__(self, sock, handler):
        self.sock, self.handler = sock, handler
        self.client, self.local = sock.getpeername()[:2], sock.getsockname()[:2]
        self.incoming, self.outgoing = b"", b""
        self.request = None
        self.waiting = self.closing = False
        self.active_at = time.monotonic()


class Server:
    """Serves handlers at addresses until a signal asks it to stop."""

    def __init__(self, handlers):
        self._selector = selectors.DefaultSelector()
        self._listeners, self._connections = [], set()
        self._timers, self._timer_number = [], 0
        self.stopped_by = None
        for (host, port), handler in handlers.items():
            self._listen(host, port, handler)

    def _listen(self, host, port, handler):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(128)
        except OSError:
            sock.close()
            self._stop_listening()
            raise
        sock.setblocking(False)
        self._listeners.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, handler)

    @property
    def addresses(self):
        """Where the server listens: (host, port) in the order of the handlers."""
        return [sock.getsockname()[:2] for sock in self._listeners]

    def stop(self, number=0):
        """Take no more connections; ``run`` returns when what was asked is answered."""
        self.stopped_by = number

    def run(self):
        """Serve until ``stop``."""
        while self.stopped_by is None or any(c.waiting or c.outgoing for c in self._connections):
            if self.stopped_by is not None:
                self._stop_listening()
            for key, _events in self._selector.select(self._patience_s()):
                if isinstance(key.data, _Connection):
                    self._guard(key.data, self._move)
                elif callable(key.data):
                    self._accept(key.fileobj, key.data)
                else:
                    key.fileobj.recv(64)
            self._send_due()
            self._drop_idle()
        self._stop_listening()
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()

    def watch(self, sock):
        """Wake up when something comes on a socket; what comes is thrown away."""
        self._selector.register(sock, selectors.EVENT_READ, None)

    def _stop_listening(self):
        while self._listeners:
            sock = self._listeners.pop()
            self._selector.unregister(sock)
            sock.close()

    def _patience_s(self):
        due = self._timers[0][0] - time.monotonic() if self._timers else 5.0
        return max(0.0, min(due, 5.0))

    def _accept(self, listener, handler):
        try:
            sock, _address = listener.accept()
        except OSError:
            return
        if len(self._connections) >= _CONNECTIONS_MAX:
            sock.close()
            return
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(sock, handler)
        except OSError:
            sock.close()
            return
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _guard(self, connection, work):
        try:
            work(connection)
        except OSError:
            self._close(connection)

    def _move(self, connection):
        connection.active_at = time.monotonic()
        if connection.outgoing:
            self._send(connection)
            self._progress(connection)
            return
        try:
            piece = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not piece:
            self._close(connection)
            return
        connection.incoming += piece
        self._progress(connection)

    def _progress(self, connection):
        """Answer the requests that are there whole, one after the other."""
        while not (connection.waiting or connection.outgoing or connection.closing):
            request = connection.request or self._take_head(connection)
            if request is None:
                return
            connection.request, wanted = request, request.body_bytes
            if wanted < 0 or wanted > _BODY_MAX_BYTES:
                self._refuse(connection, 411 if wanted < 0 else 413)
            elif len(connection.incoming) < wanted:
                return
            else:
                request.body = connection.incoming[:wanted]
                connection.incoming, connection.request = connection.incoming[wanted:], None
                self._answer(connection, request)

    def _take_head(self, connection):
        head, end, rest = connection.incoming.partition(b"\r\n\r\n")
        if not end or len(head) > _HEAD_MAX_BYTES:
            if len(head) > _HEAD_MAX_BYTES:
                self._refuse(connection, 431)
            return None
        try:
            request = Request(head.decode("latin-1"), connection.client, connection.local)
        except ValueError:
            self._refuse(connection, 400)
            return None
        connection.incoming = rest
        if request.header("Expect").lower() == "100-continue":
            connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    def _refuse(self, connection, status):
        connection.closing = True
        answer = Answer(f"{status} {_REASONS[status]}\n", status)
        connection.outgoing = answer.encode(keep=False, head_only=False)
        self._send(connection)

    def _answer(self, connection, request):
        try:
            answer = connection.handler(request)
        except Exception as error:
            print(f"{request.method} {request.path}: {error!r}", file=sys.stderr, flush=True)
            answer = Answer("internal server error\n", 500)
        keep = request.keeps and self.stopped_by is None
        connection.closing = not keep
        connection.outgoing = answer.encode(keep=keep, head_only=request.method == "HEAD")
        if answer.delay_s <= 0:
            self._send(connection)
            return
        connection.waiting = True
        self._selector.unregister(connection.sock)
        self._timer_number += 1
        due = time.monotonic() + answer.delay_s
        heapq.heappush(self._timers, (due, self._timer_number, connection))

    def _send_due(self):
        while self._timers and self._timers[0][0] <= time.monotonic():
            connection = heapq.heappop(self._timers)[2]
            connection.waiting = False
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
            self._guard(connection, self._send)
            self._guard(connection, self._progress)

    def _send(self, connection):
        try:
            sent = connection.sock.send(connection.outgoing)
        except BlockingIOError:
            sent = 0
        connection.outgoing = connection.outgoing[sent:]
        if connection.outgoing:
            self._selector.modify(connection.sock, selectors.EVENT_WRITE, connection)
        elif connection.closing:
            self._close(connection)
        else:
            self._selector.modify(connection.sock, selectors.EVENT_READ, connection)

    def _close(self, connection):
        if connection in self._connections and not connection.waiting:
            connection.closing = True
            self._connections.remove(connection)
            self._selector.unregister(connection.sock)
            connection.sock.close()

    def _drop_idle(self):
        oldest = time.monotonic() - _IDLE_S
        for connection in [c for c in self._connections if c.active_at < oldest]:
            self._close(connection)


def serve(handlers):
    """Serve until SIGTERM or SIGINT; return the signal's number.

    handlers: {(host, port): handler}. Raises: SystemExit with one line when an address is taken.
    """
    try:
        server = Server(handlers)
    except OSError as error:
        places = ", ".join(f"{host}:{port}" for host, port in handlers)
        sys.exit(f"listen on {places}: {error.strerror}")
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: server.stop(caught))
    server.watch(ours)
    server.run()
    return server.stopped_by


def common_log(request, answer, *, file=None):
    """Print a request in the common log format, as web servers do."""
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    what = f'"{request.method} {request.target} {request.version}"'
    line = f"{request.client[0]} - - [{now}] {what} {answer.status} {len(answer.body)}"
    print(line, file=file, flush=True)


def logged(handler):
    """Return a handler that prints each request after it was handled."""

    def handle(request):
        answer = handler(request)
        common_log(request, answer)
        return answer

    return handle
