"""The pages a cluster's probes and scrapers ask for, on CoreDNS's ports.

``:8080/health`` the process works; ``:8181/ready`` it knows all names; ``:9153/metrics`` counters
in Prometheus' text form, under CoreDNS's names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from netlab.dns.server import Counters, DnsServer

HEALTH_PORT, READY_PORT, METRICS_PORT = 8080, 8181, 9153
REQUEST_TIMEOUT_S = 5.0
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

Page: TypeAlias = Callable[[], tuple[int, str]]


def metrics(counters: Counters) -> str:
    """Return the counters as Prometheus reads them."""
    lines = [
        "# HELP coredns_dns_requests_total Questions answered, by protocol.",
        "# TYPE coredns_dns_requests_total counter",
        f'coredns_dns_requests_total{{proto="udp",zone="."}} {counters.udp}',
        f'coredns_dns_requests_total{{proto="tcp",zone="."}} {counters.tcp}',
        "# HELP coredns_dns_responses_total Answers, by response code.",
        "# TYPE coredns_dns_responses_total counter",
    ]
    for rcode, count in enumerate(counters.rcodes):
        if count:
            name = RCODES.get(rcode, str(rcode))
            lines.append(f'coredns_dns_responses_total{{rcode="{name}",zone="."}} {count}')
    lines += [
        "# HELP coredns_forward_requests_total Questions passed on to the node's resolvers.",
        "# TYPE coredns_forward_requests_total counter",
        f"coredns_forward_requests_total {counters.forwarded}",
        "# HELP netlab_dns_dropped_total Datagrams that could not be answered.",
        "# TYPE netlab_dns_dropped_total counter",
        f"netlab_dns_dropped_total {counters.dropped}",
    ]
    return "\n".join(lines) + "\n"


class StatusPages:
    """Serves the pages. ``start`` and ``close`` belong together."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._listeners: list[asyncio.Server] = []

    async def start(self, address: str) -> None:
        """Listen on the three ports.

        Raises: OSError when one of them is taken.
        """
        pages: tuple[tuple[int, str, Page], ...] = (
            (HEALTH_PORT, "/health", lambda: (200, "OK")),
            (READY_PORT, "/ready", self._ready),
            (METRICS_PORT, "/metrics", lambda: (200, metrics(self._server.counters))),
        )
        for port, path, page in pages:
            handler = _handler(path, page)
            self._listeners.append(await asyncio.start_server(handler, address, port))

    def _ready(self) -> tuple[int, str]:
        return (200, "OK") if self._server.table.synced else (503, "kubernetes")

    async def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.close()


_Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _handler(path: str, page: Page) -> _Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                asked = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0]
                status, text = page() if asked == path else (404, "404 page not found\n")
                body = text.encode()
                writer.write(
                    b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
                    % (status, b"OK" if status == 200 else b"Error", len(body), body)
                )
                await writer.drain()
        except (OSError, EOFError, TimeoutError, IndexError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return handle
