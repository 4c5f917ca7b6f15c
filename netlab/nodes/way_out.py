"""A sandboxed lab's way out, for ``netlab up --internet``: a masqueraded veth into the host.

Without it a sandbox has no connection at all, and that is the rule. With it, the namespace that
plays the VM has a link ``uplink0`` and a default route through the host, as a VM behind NAT has:
what it sends leaves with the host's address, and nothing outside can begin to speak to it.
The lab then reaches what the host reaches, the host itself and its neighbours included.

What it makes on the host is found again by its marks alone, so that nothing need be remembered to
take it away: the link by a name made of the lab's, the rules by their comment. That the host
forwards packets is shared by all labs; ``lab.forwarding`` notes how that was.

Everything is idempotent. outside: the namespace that leads on, None for the host's own.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from netlab import command
from netlab.config import LabConfig
from netlab.net.link_state import Wanted, WantedLink, WantedRoute
from netlab.net.links import Links, call_links
from netlab.net.sysctl import write_sysctls

UPLINK = "uplink0"
MTU_BYTES = 1500
RANGE = IPv4Network("198.18.0.0/15")
"""Set aside for tests of network devices, so that nobody routes it. Source: RFC 2544, RFC 6890."""

FORWARDING = "net.ipv4.ip_forward"
_DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
_NAT = ("-t", "nat", "-A", "POSTROUTING")
_FORWARD = ("-t", "filter", "-I", "FORWARD")
_ANSWERS = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
_LIMIT_S = 10


@dataclass(frozen=True, slots=True)
class WayOut:
    """The two ends: the link on the host and its address, and the node's address on ``uplink0``."""

    link: str
    host: IPv4Interface
    node: IPv4Interface
    mark: str


def way_out_of(config: LabConfig) -> WayOut:
    """Return the ends of a lab's way out. No two labs of a machine share a port, nor a network."""
    number = config.api_port % (RANGE.num_addresses // 4)
    first = RANGE.network_address + 4 * number
    return WayOut(
        link=f"nl{hashlib.sha256(config.name.encode()).hexdigest()[:10]}",
        host=IPv4Interface(f"{first + 1}/30"),
        node=IPv4Interface(f"{first + 2}/30"),
        mark=f"netlab way out of {config.name}",
    )


def uplink(config: LabConfig) -> tuple[WantedLink, WantedRoute]:
    """Return what the node has of it: the link, and the default route."""
    way = way_out_of(config)
    return (
        WantedLink(name=UPLINK, addresses=(way.node,)),
        WantedRoute(destination=_DEFAULT_ROUTE, link=UPLINK, gateway=way.host.ip),
    )


async def open_way_out(config: LabConfig, *, outside: Path | None = None) -> None:
    """Make the link between the node's namespace and the one that leads on, and its rules.

    Raises: NetworkError, CommandError.
    """
    way, inside = way_out_of(config), config.netns
    there = await call_links(inside, lambda links: links.exists(UPLINK))

    def connect(links: Links) -> None:
        if links.exists(way.link) and not there:
            links.remove_link(way.link)
        if not links.exists(way.link):
            links.create_veth(
                way.link, peer_name=UPLINK, peer_netns=inside, bridge=None, mtu_bytes=MTU_BYTES
            )
        links.mend(Wanted("on the host", (WantedLink(name=way.link, addresses=(way.host,)),)))

    await call_links(outside, connect)
    await write_sysctls(outside, {FORWARDING: "1"})
    await _remove_rules(way, outside)
    for arguments in rules(way):
        await _iptables(outside, *arguments)


def rules(way: WayOut) -> list[list[str]]:
    """Return the arguments of iptables that let the node's packets out and the answers in.

    At the head of FORWARD, because what others put there may drop all they do not know.
    """
    note = ["-m", "comment", "--comment", way.mark]
    network = str(way.host.network)
    return [
        [*_NAT, "-s", network, "!", "-o", way.link, *note, "-j", "MASQUERADE"],
        [*_FORWARD, "-i", way.link, *note, "-j", "ACCEPT"],
        [*_FORWARD, "-o", way.link, *_ANSWERS, *note, "-j", "ACCEPT"],
    ]


async def close_way_out(config: LabConfig, *, outside: Path | None = None) -> None:
    """Take link and rules away; what is gone already is no error.

    Raises: NetworkError, CommandError.
    """
    way = way_out_of(config)
    await _remove_rules(way, outside)
    await call_links(outside, lambda links: links.remove_link(way.link))


async def _remove_rules(way: WayOut, outside: Path | None) -> None:
    for table in ("nat", "filter"):
        listed = await command.run(
            ["iptables-save", "-t", table], timeout_s=_LIMIT_S, netns=outside, check=False
        )
        for arguments in removals(listed.text(), way.mark):
            await _iptables(outside, "-t", table, *arguments)


def removals(saved: str, mark: str) -> list[list[str]]:
    """Return the arguments that delete each rule of an ``iptables-save`` that has the comment."""
    found = []
    for line in saved.splitlines():
        if line.startswith("-A ") and mark in line:
            words = shlex.split(line)
            if mark in words:
                found.append(["-D", *words[1:]])
    return found


async def _iptables(outside: Path | None, *arguments: str) -> None:
    await command.run(["iptables", "-w", *arguments], timeout_s=_LIMIT_S, netns=outside)
