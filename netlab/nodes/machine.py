"""Node 0: the VM itself, or the network namespace that plays it.

In a sandboxed lab the node is a network namespace of its own with a bridge ``netlab0`` that has
the node's address, and no way out: no link leads to the host and there is no default route, unless
the user asks for one (``way_out``). On the host the node's address is one that a link already has
(the Vagrant machine's private address) or, when none has it, the address of a bridge ``netlab0``
that the lab adds. Further nodes will be plugged into that bridge.

A ClusterIP is on no link. A packet of the node itself is routed before the Service rules rewrite
its destination, so some route must lead to it; where there is no default route, one for the
Service range is added. Everything is written to the ledger before it is made; all is idempotent.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal, Protocol

from netlab import command
from netlab.config import RESOLVED_CONF, LabConfig
from netlab.errors import HostError
from netlab.net.iptables import Iptables
from netlab.net.link_state import LOOPBACK, Observed, Wanted, WantedLink, WantedRoute
from netlab.net.links import Links, call_links
from netlab.net.netns import create_netns, is_netns, remove_netns
from netlab.nodes.way_out import open_way_out, uplink

FABRIC_BRIDGE = "netlab0"
FABRIC_MTU_BYTES = 1500
DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
BR_NETFILTER = Path("/proc/sys/net/bridge")

_LOOPBACK_RESOLVER = re.compile(r"\s*nameserver\s+(127\.|::1)")
_SANDBOX_RESOLV_CONF = "# A sandboxed lab has no connection, so there is no resolver to ask.\n"
_SANDBOX_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"


def node_etc(config: LabConfig) -> Path:
    """Return the folder of the sandboxed node's own /etc files."""
    return config.node_etc


class Recorder(Protocol):
    """Where a change is written down before it is made: the lab's undo ledger."""

    def record(
        self, what: Literal["netns", "link", "route", "rules"], name: str, before: str = ""
    ) -> None: ...


async def prepare_node(config: LabConfig, ledger: Recorder, *, tool: str) -> Wanted:
    """Make node 0's namespace, address and routes; what is there already stays.

    Return the links and routes of the node that are the lab's, to be kept so. tool: see
    ``Iptables``.

    Raises: HostError when the kernel lacks a feature; NetworkError when a step fails.
    """
    await _ensure_br_netfilter()
    if config.netns is None:
        tables = (await Iptables(None, tool=tool).save()).tables
        ledger.record("rules", "tables", " ".join(sorted(tables)))
    else:
        _write_node_etc(config)
        ledger.record("netns", config.netns_name)
        if not is_netns(config.netns):
            await remove_netns(config.netns_name)  # a plain file left by a crash
            await create_netns(config.netns_name)
    if config.internet:
        await open_way_out(config)
    wanted = wanted_links(config, await call_links(config.netns, Links.observe))
    if config.netns is None:
        if any(link.name == FABRIC_BRIDGE for link in wanted.links):
            ledger.record("link", FABRIC_BRIDGE)
        if await call_links(None, _lacks_default_route):
            ledger.record("route", str(config.service_cidr))
    await call_links(config.netns, lambda links: links.mend(wanted))
    # only now is there a link that the route can lead through
    whole = add_service_route(wanted, config, await call_links(config.netns, Links.observe))
    await call_links(config.netns, lambda links: links.mend(whole))
    return whole


def wanted_links(config: LabConfig, observed: Observed) -> Wanted:
    """Return the links of the node that are the lab's, given what there is."""
    has_address = any(address.ip == config.node_ip for _, address in observed.addresses)
    # lo of the host is the host's own matter, but a lab without it would not work
    links = [LOOPBACK] if config.sandbox else [WantedLink(name="lo")]
    if not has_address or observed.link(FABRIC_BRIDGE) is not None:
        bridge = WantedLink(
            name=FABRIC_BRIDGE,
            kind="bridge",
            mtu_bytes=FABRIC_MTU_BYTES,
            addresses=(config.node_address,),
        )
        links.append(bridge)
    if not config.internet:
        return Wanted("on the node", tuple(links))
    link, route = uplink(config)
    return Wanted("on the node", (*links, link), (route,))


def add_service_route(wanted: Wanted, config: LabConfig, observed: Observed) -> Wanted:
    """Return ``wanted`` with a route to the Services, where there is no default route."""
    has_default = any(route.destination == DEFAULT_ROUTE for route in observed.routes)
    # a way out may be taken away; the Services shall not go with it
    if has_default and not config.internet:
        return wanted
    names = {link.index: link.name for link in observed.links}
    holder = next((i for i, address in observed.addresses if address.ip == config.node_ip), None)
    if holder is None:
        return wanted
    route = WantedRoute(destination=config.service_cidr, link=names[holder], source=config.node_ip)
    return replace(wanted, routes=(*wanted.routes, route))


async def _ensure_br_netfilter() -> None:
    """Without it a reply between two pods on one bridge would bypass connection tracking."""
    if _has_br_netfilter():
        return
    if shutil.which("modprobe"):
        await command.run(["modprobe", "br_netfilter"], timeout_s=10, check=False)
    if not _has_br_netfilter():
        raise HostError(
            "the kernel has no br_netfilter, which pods on one bridge need to reach each other "
            "through a Service; run: sudo modprobe br_netfilter"
        )


def _has_br_netfilter() -> bool:
    return BR_NETFILTER.exists()


def _write_node_etc(config: LabConfig) -> None:
    folder = node_etc(config)
    folder.mkdir(parents=True, exist_ok=True)
    resolver = _hosts_resolver() if config.internet else _SANDBOX_RESOLV_CONF
    (folder / "resolv.conf").write_text(resolver)
    databases = _SANDBOX_NSSWITCH.rstrip() + (" dns\n" if config.internet else "\n")
    (folder / "nsswitch.conf").write_text(databases)
    (folder / "hosts").write_text(
        f"127.0.0.1 localhost\n{config.node_ip} {config.node_name}\n::1 localhost\n"
    )


def _hosts_resolver() -> str:
    """Return the host's resolv.conf without what only the host itself can ask."""
    path = RESOLVED_CONF if RESOLVED_CONF.exists() else Path("/etc/resolv.conf")
    try:
        lines = path.read_text(errors="replace").splitlines(keepends=True)
    except OSError:
        return _SANDBOX_RESOLV_CONF
    return "".join(line for line in lines if not _LOOPBACK_RESOLVER.match(line))


def _lacks_default_route(links: Links) -> bool:
    return all(route.destination != DEFAULT_ROUTE for route in links.routes())
