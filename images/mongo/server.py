"""mongod: listens on 27017 for drivers and, when asked, on 28017 for browsers.

Understands the options a lesson uses: --port, --dbpath, --bind_ip, --rest, --httpinterface. Others
are named on standard error and left without effect.
"""

import asyncio
import signal
import socket
import sys
import time

import status_page
import wire
from commands import VERSION, Commands
from storage import Storage

_READ_TIMEOUT_S = 30.0


class Options:
    """What the command line says."""

    def __init__(self, arguments):
        self.port = 27017
        self.data_folder = "/data/db"
        self.address = "0.0.0.0"
        self.http = False
        self._parse(list(arguments))

    def _parse(self, words):
        while words:
            name, _, value = words.pop(0).partition("=")
            if name in ("--rest", "--httpinterface"):
                self.http = True
            elif name in ("--port", "--dbpath", "--bind_ip"):
                if not value and not words:
                    sys.exit(f"mongod: option {name} needs a value")
                self._set(name, value or words.pop(0))
            elif name == "--bind_ip_all":
                self.address = "0.0.0.0"
            else:
                print(f"mongod: option {name} has no effect here", file=sys.stderr)

    def _set(self, name, value):
        if name == "--dbpath":
            self.data_folder = value
        elif name == "--bind_ip":
            self.address = value.split(",")[0]
        elif value.isdigit() and 0 < int(value) < 65536:
            self.port = int(value)
        else:
            sys.exit(f"mongod: --port {value}: not a port")


class Server:
    """Serves one data folder."""

    def __init__(self, options, arguments):
        self._options = options
        self._arguments = list(arguments)
        self._hostname = socket.gethostname()
        self._storage = Storage(options.data_folder)
        self._commands = Commands(self._storage, options=arguments, hostname=self._hostname)
        self._connections = set()
        self._accepted = 0
        self._started = time.monotonic()

    async def run(self):
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        options = self._options
        servers = [await asyncio.start_server(self._serve_driver, options.address, options.port)]
        if options.http:
            port = options.port + 1000
            servers.append(await asyncio.start_server(self._serve_page, options.address, port))
            log("NETWORK", f"admin web console waiting for connections on port {port}")
        log("NETWORK", f"waiting for connections on port {options.port}")
        await stop.wait()
        log("CONTROL", "got signal, will terminate after current commands end")
        for server in servers:
            server.close()
        for writer in list(self._connections):
            writer.close()
        self._storage.close()

    async def _serve_driver(self, reader, writer):
        self._connections.add(writer)
        self._accepted += 1
        number = self._accepted
        peer = writer.get_extra_info("peername")
        log("NETWORK", f"connection accepted from {peer[0]}:{peer[1]} #{number}")
        try:
            while True:
                await self._serve_one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except wire.WireError as error:
            log("NETWORK", f"connection #{number}: {error}")
        finally:
            self._connections.discard(writer)
            writer.close()
            log("NETWORK", f"end connection {peer[0]}:{peer[1]}")

    async def _serve_one(self, reader, writer):
        header = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
        if not wire.HEADER.size <= header[0] <= wire.MESSAGE_BYTES_MAX:
            raise wire.WireError(f"a message of {header[0]} bytes")
        body = await reader.readexactly(header[0] - wire.HEADER.size)
        request = wire.parse_request(header, body)
        reply = self._commands.run(request.database, request.command)
        if request.wants_reply:
            writer.write(wire.reply_to(request, reply, reply_id=0))
            await writer.drain()

    async def _serve_page(self, reader, writer):
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
            method = request.split(b" ", 1)[0]
            body = self._page().encode() if method in (b"GET", b"HEAD") else b""
            status = b"200 OK" if body else b"405 Method Not Allowed"
            head = (
                b"HTTP/1.0 %s\r\nContent-Type: text/html;charset=utf-8\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
            )
            writer.write(head + (b"" if method == b"HEAD" else body))
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, TimeoutError):
            pass
        finally:
            writer.close()

    def _page(self):
        names = self._storage.databases()
        return status_page.render(
            hostname=self._hostname,
            version=VERSION,
            uptime_s=time.monotonic() - self._started,
            options=self._arguments,
            databases={name: self._storage.collections(name) for name in names},
            connections=len(self._connections),
        )


def log(component, message):
    """Write a line to standard output, as mongod's log."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    print(f"{stamp}.{int(now % 1 * 1000):03d}+0000 I {component:<8} {message}", flush=True)


def main(arguments):
    """Run mongod."""
    options = Options(arguments)
    try:
        asyncio.run(Server(options, arguments).run())
    except OSError as error:
        sys.exit(f"mongod: {error}")
