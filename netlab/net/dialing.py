"""Connections from a node or a pod's own network, for port-forward and the proxy.

The socket is opened inside the network namespace and connected on the event loop; it stays in that
namespace whoever uses it. Mirrors what containerd does for CRI ``PortForward``: 127.0.0.1 first,
then ::1, because a server may listen on only one of them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from netlab.api.streams import ByteStream
from netlab.errors import NetworkError
from netlab.net.netns import open_socket

BUFFER_BYTES = 256 * 1024
"""What is read ahead; asyncio pauses the connection at twice as much."""

DIAL_TIMEOUT_S = 30.0
LOCALHOST_TIMEOUT_S = 5.0


async def dial(
    netns: Path | None, address: str, port: int, *, timeout_s: float = DIAL_TIMEOUT_S
) -> ByteStream:
    """Return a connection made in the network namespace at ``netns`` (None: the process's own).

    Raises: OSError; TimeoutError among them.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = await open_socket(netns, family, socket.SOCK_STREAM)
    except NetworkError as error:
        raise OSError(str(error)) from error
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=BUFFER_BYTES)
    except BaseException:
        sock.close()
        raise
    return ByteStream(reader, writer)


async def dial_localhost(netns: Path | None, port: int) -> ByteStream:
    """Return a connection to a port of localhost inside a network namespace.

    Raises: OSError telling what was tried, worded as containerd does.
    """
    try:
        return await dial(netns, "127.0.0.1", port, timeout_s=LOCALHOST_TIMEOUT_S)
    except OSError as error:
        first = f"dial tcp4 127.0.0.1:{port}: {_reason(error)}"
    try:
        return await dial(netns, "::1", port, timeout_s=LOCALHOST_TIMEOUT_S)
    except OSError as error:
        second = f"dial tcp6 [::1]:{port}: {_reason(error)}"
        raise OSError(f"IPv4: {first} IPv6 {second}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.errno:
        return "i/o timeout"
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"connect: {text[:1].lower()}{text[1:]}"
