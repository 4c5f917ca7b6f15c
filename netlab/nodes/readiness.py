"""Ask the cluster's DNS server, from the node, until it answers.

The last thing ``netlab up`` waits for: the question goes through the Service's rules to a pod, so
an answer proves API server, scheduler, kubelet, network, kube-proxy and DNS at once.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from ipaddress import IPv4Address
from pathlib import Path

from netlab.clock import Clock
from netlab.net.netns import open_socket

RETRY_S = 0.02
"""Asked this often: until the rules exist a question is refused or lost at once."""


def a_question(identifier: int, name: str) -> bytes:
    """Return a DNS query for the A records of ``name``. Source: RFC 1035, section 4.1."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split("."))
    return identifier.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"


async def wait_for_dns(netns: Path | None, server: IPv4Address, name: str, clock: Clock) -> None:
    """Return when ``server`` answers for ``name`` without an error and with a record."""
    loop = asyncio.get_running_loop()
    while True:
        # a fresh socket each time: connection tracking would keep an old one on its old way
        asking = await open_socket(netns, socket.AF_INET, socket.SOCK_DGRAM)
        with asking:
            identifier = secrets.randbelow(1 << 16)
            try:
                await loop.sock_connect(asking, (str(server), 53))
                await loop.sock_sendall(asking, a_question(identifier, name))
                async with asyncio.timeout(RETRY_S * 5):
                    answer = await loop.sock_recv(asking, 512)
            except (OSError, TimeoutError):
                answer = b""
        right_id = answer[:2] == identifier.to_bytes(2, "big")
        if len(answer) >= 12 and right_id and answer[3] & 0x0F == 0 and answer[6:8] != b"\0\0":
            return
        await clock.sleep(RETRY_S)
