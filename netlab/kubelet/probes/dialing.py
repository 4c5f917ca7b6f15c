"""Connects from the node to a pod, and says what went wrong in the words of kubectl's users.

The kubelet is a Go program, and the texts of its dialer stand in every tutorial's events:
``dial tcp 10.244.0.5:81: connect: connection refused``. The drivers of probes and hooks share it.

Connections are real ones, made in the node's network namespace: the source is the node, and the
rules of the node apply.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from pathlib import Path

from netlab.api.containers import Container
from netlab.api.names import int64
from netlab.errors import NetworkError
from netlab.net.netns import call_in_netns, open_socket

MAX_PORT = 65535


class DialError(Exception):
    """A connection could not be made or broke; the text is Go's."""


class PortError(Exception):
    """A port has a name that the container does not know, or is out of range."""


def resolve_port(port: int | str, container: Container) -> int:
    """Return the number of a container's port given by number or name.

    Raises: PortError.
    """
    number = port if isinstance(port, int) else _named_port(port, container)
    if not 0 < number <= MAX_PORT:
        raise PortError(f"invalid port number: {number}")
    return number


def _named_port(name: str, container: Container) -> int:
    for port in container.ports:
        if port.name == name:
            return port.container_port
    number = int64(name)
    if number is not None:
        return number
    raise PortError(f'strconv.Atoi: parsing "{name}": invalid syntax')


def join_host_port(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cause(error: OSError) -> str:
    """Return an operating system's error as Go writes it: ``connection refused``."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]


async def dial_tcp(netns: Path | None, host: str, port: int) -> socket.socket:
    """Return a connected, non-blocking socket; the caller bounds the time and closes it.

    Raises: DialError.
    """
    family, address = await _resolve(netns, host)
    where = f"dial tcp {join_host_port(address, port)}"
    try:
        connection = await open_socket(netns, family, socket.SOCK_STREAM)
    except (NetworkError, OSError) as error:
        raise DialError(f"{where}: {error}") from error
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except OSError as error:
        connection.close()
        raise DialError(f"{where}: connect: {cause(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


async def _resolve(netns: Path | None, host: str) -> tuple[socket.AddressFamily, str]:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return await _look_up(netns, host)
    return (socket.AF_INET if version == 4 else socket.AF_INET6), host


async def _look_up(netns: Path | None, host: str) -> tuple[socket.AddressFamily, str]:
    def look_up() -> list[str]:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in found]

    try:
        addresses = await call_in_netns(netns, look_up)
    except (OSError, UnicodeError) as error:
        raise DialError(f"dial tcp: lookup {host}: no such host") from error
    except NetworkError as error:
        raise DialError(f"dial tcp: lookup {host}: {error}") from error
    return socket.AF_INET, addresses[0]
