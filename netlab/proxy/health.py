"""Answer load balancers: does this node have endpoints of a Service?

A Service with ``externalTrafficPolicy: Local`` has a ``healthCheckNodePort``; a load balancer asks
there, by HTTP, which nodes to send to. Mirrors kube-proxy ``pkg/proxy/healthcheck``: 200 with local
endpoints while the node's rules are in order, else 503, and a JSON body that says which of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from netlab.errors import NetworkError
from netlab.net.netns import open_socket

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
MOST_REQUEST_BYTES = 8192
BACKLOG = 16


class ServiceHealth(msgspec.Struct, frozen=True, gc=False):
    """What one health check port answers."""

    namespace: str
    service: str
    local_endpoints: int


def answer_health(health: ServiceHealth, *, proxy_healthy: bool) -> bytes:
    """Return the HTTP response. proxy_healthy: whether the node's rules are in order."""
    good = health.local_endpoints and proxy_healthy
    code = "200 OK" if good else "503 Service Unavailable"
    body = json.dumps(
        {
            "service": {"namespace": health.namespace, "name": health.service},
            "localEndpoints": health.local_endpoints,
            "serviceProxyHealthy": proxy_healthy,
        }
    )
    head = (
        f"HTTP/1.1 {code}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {health.local_endpoints}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (head + body).encode()


class HealthServer:
    """One HTTP listener per health check port, on all addresses of the node's namespace.

    proxy_healthy: asked at each request whether the node's rules are in order.
    """

    def __init__(self, netns: Path | None, proxy_healthy: Callable[[], bool]) -> None:
        self._netns = netns
        self._proxy_healthy = proxy_healthy
        self._listeners: dict[int, asyncio.Server] = {}
        self._health: Mapping[int, ServiceHealth] = {}

    async def update(self, health: Mapping[int, ServiceHealth]) -> None:
        """Answer on exactly these ports from now on."""
        self._health = health
        for port in [port for port in self._listeners if port not in health]:
            await self._stop(port)
        for port in [port for port in health if port not in self._listeners]:
            try:
                await self._start(port)
            except NetworkError as error:
                log.warning("health check port %d: %s", port, error)

    async def _start(self, port: int) -> None:
        listening = await open_socket(
            self._netns, socket.AF_INET, socket.SOCK_STREAM, bind=("", port), backlog=BACKLOG
        )

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(port, reader, writer)

        self._listeners[port] = await asyncio.start_server(
            serve, sock=listening, limit=MOST_REQUEST_BYTES
        )

    async def _serve(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await reader.readuntil(b"\r\n\r\n")
                health = self._health.get(port)
                if health is not None:
                    writer.write(answer_health(health, proxy_healthy=self._proxy_healthy()))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that went away or sends nonsense gets no answer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _stop(self, port: int) -> None:
        listener = self._listeners.pop(port)
        listener.close()
        await listener.wait_closed()

    async def close(self) -> None:
        """Stop all listeners."""
        for port in list(self._listeners):
            await self._stop(port)
