"""Ask the cluster's DNS server, from the node, until it answers.

The last thing ``netlab up`` waits for: the question goes through the Service's rules to a pod, so
an answer proves API server, scheduler, kubelet, network, kube-proxy and DNS at once.
"""

from __future__ import annotations

import secrets
import socket
from ipaddress import IPv4Address
from pathlib import Path

from netlab.clock import Clock
from netlab.config import LabConfig
from netlab.net.netns import call_in_netns

RETRY_S = 0.02
ANSWER_TIMEOUT_S = 0.1
QUESTIONS_A_SECOND = 10


def a_question(identifier: int, name: str) -> bytes:
    """Return a DNS query for the A records of ``name``. Source: RFC 1035, section 4.1."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split("."))
    return identifier.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"


def is_answer(message: bytes, identifier: int) -> bool:
    """True when the message answers our question, without an error and with a record."""
    return (
        len(message) >= 12
        and message[:2] == identifier.to_bytes(2, "big")
        and message[3] & 0x0F == 0
        and message[6:8] != b"\0\0"
    )


def system_question(config: LabConfig) -> str:
    """Return the name that every cluster's DNS server answers for."""
    return f"kubernetes.default.svc.{config.cluster_domain}"


async def wait_for_dns(netns: Path | None, server: IPv4Address, name: str, clock: Clock) -> None:
    """Return when ``server`` answers for ``name`` without an error and with a record."""
    while not await call_in_netns(netns, lambda: _ask(server, name)):
        await clock.sleep(RETRY_S)


async def dns_answers(netns: Path | None, server: IPv4Address, name: str) -> bool:
    """True when ``server`` answers for ``name`` within a second."""
    return await call_in_netns(
        netns, lambda: any(_ask(server, name) for _ in range(QUESTIONS_A_SECOND))
    )


def _ask(server: IPv4Address, name: str) -> bool:
    # a fresh socket each time: connection tracking would keep an old one on its old way
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(ANSWER_TIMEOUT_S)
        identifier = secrets.randbelow(1 << 16)
        try:
            asking.connect((str(server), 53))
            asking.send(a_question(identifier, name))
            return is_answer(asking.recv(512), identifier)
        except OSError:  # refused by a rule, lost, or nobody there yet
            return False
