"""Links, routes, namespaces, sysctls, connections and rules, against the kernel."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from netlab import command
from netlab.errors import HostError, NetworkError
from netlab.net.conntrack import delete_flows, list_flows
from netlab.net.iptables import Iptables
from netlab.net.links import Links, call_links
from netlab.net.netns import create_netns, is_netns, list_netns, open_socket, remove_netns
from netlab.net.rtnetlink import Route
from netlab.net.sysctl import read_sysctl, write_sysctls

pytestmark = pytest.mark.system

DEFAULT = IPv4Network("0.0.0.0/0")


@pytest.fixture
async def netns() -> AsyncIterator[Path]:
    path = await create_netns(f"nltest-{secrets.token_hex(3)}")
    yield path
    await remove_netns(path.name)
    assert path.name not in list_netns()


async def test_namespace_is_seen_by_iproute2(netns: Path) -> None:
    assert is_netns(netns)
    assert netns.name in list_netns()
    listed = (await command.run(["ip", "netns"], timeout_s=5)).text()
    assert netns.name in listed.split()
    with pytest.raises(NetworkError, match="File exists"):
        await create_netns(netns.name)


async def test_removing_a_namespace_twice_and_after_a_crash(netns: Path) -> None:
    await remove_netns(netns.name)
    await remove_netns(netns.name)
    netns.touch()
    assert not is_netns(netns)
    await remove_netns(netns.name)
    assert netns.name not in list_netns()


async def test_bridge_addresses_and_routes_are_idempotent(netns: Path) -> None:
    def twice(links: Links) -> tuple[list[IPv4Interface], list[Route]]:
        for _ in range(2):
            links.ensure_link_up("lo")
            links.ensure_bridge("br0", mtu_bytes=1400, mac="0a:58:00:00:00:01")
            links.ensure_address("br0", IPv4Interface("10.9.0.1/24"))
            links.ensure_route(DEFAULT, gateway=IPv4Address("10.9.0.254"))
            links.ensure_route(
                IPv4Network("10.96.0.0/12"), link="br0", source=IPv4Address("10.9.0.1")
            )
        link = links.link("br0")
        assert link is not None
        assert (link.kind, link.mtu_bytes, link.mac) == ("bridge", 1400, "0a:58:00:00:00:01")
        return links.addresses("br0"), links.routes()

    addresses, routes = await call_links(netns, twice)
    source = IPv4Address("10.9.0.1")
    assert addresses == [IPv4Interface("10.9.0.1/24")]
    assert routes == [
        Route(IPv4Network("10.9.0.0/24"), None, "br0", source),
        Route(IPv4Network("10.96.0.0/12"), None, "br0", source),
        Route(DEFAULT, IPv4Address("10.9.0.254"), "br0", None),
    ]

    def remove(links: Links) -> list[Route]:
        for _ in range(2):
            links.remove_route(DEFAULT)
            links.remove_address("br0", IPv4Interface("10.9.0.1/24"))
        left = links.routes()
        for _ in range(2):
            links.remove_link("br0")
        return left

    assert await call_links(netns, remove) == []


@pytest.mark.parametrize(
    ("action", "message"),
    [
        pytest.param(
            lambda links: links.ensure_route(DEFAULT, gateway=IPv4Address("10.9.0.254")),
            "set route to 0.0.0.0/0: Network is unreachable",
            id="gateway out of reach",
        ),
        pytest.param(
            lambda links: links.ensure_address("none", IPv4Interface("10.9.0.1/24")),
            "link none: no such link",
            id="no such link",
        ),
        pytest.param(
            lambda links: links.ensure_bridge("lo", mtu_bytes=1500),
            "add bridge lo: a link of another kind has this name",
            id="name in use",
        ),
        pytest.param(
            lambda links: links.ensure_bridge("a-name-that-is-too-long", mtu_bytes=1500),
            "read link a-name-that-is-too-long: Numerical result out of range",
            id="long name",
        ),
    ],
)
async def test_refusals_are_told(netns: Path, action: object, message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        await call_links(netns, action)  # type: ignore[arg-type]
    assert str(caught.value) == message


async def test_sysctls_tell_what_they_were(netns: Path) -> None:
    told: list[tuple[str, str]] = []
    wanted = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.route_localnet": "0"}
    changed = await write_sysctls(netns, wanted, lambda name, before: told.append((name, before)))
    assert changed == {"net.ipv4.ip_forward": "0"}
    assert told == [("net.ipv4.ip_forward", "0")]
    assert await write_sysctls(netns, wanted) == {}
    await write_sysctls(netns, changed)
    assert await read_sysctl(netns, "net.ipv4.ip_forward") == "0"
    assert await read_sysctl(netns, "net.ipv4.nothing") is None
    with pytest.raises(HostError, match="this kernel does not have it"):
        await write_sysctls(netns, {"net.ipv4.nothing": "1"})


async def test_flows_are_listed_and_deleted(netns: Path) -> None:
    await call_links(netns, lambda links: links.ensure_link_up("lo"))
    # connections are tracked once a rule asks for it
    await Iptables(netns).restore(
        "*nat\n-A OUTPUT -p udp -d 127.0.0.1 --dport 53 -j DNAT --to-destination 127.0.0.1:5353\n"
        "COMMIT\n"
    )
    client = await open_socket(netns, socket.AF_INET, socket.SOCK_DGRAM, bind=("127.0.0.1", 4000))
    with client:
        client.sendto(b"x", ("127.0.0.1", 53))
        client.sendto(b"x", ("127.0.0.1", 54))
    flows = await list_flows(netns, "udp")
    ends = {flow.original.destination_port: flow.reply.source_port for flow in flows}
    assert ends == {53: 5353, 54: 54}
    assert await list_flows(netns, "tcp") == []
    translated = [flow for flow in flows if flow.original.destination_port == 53]
    assert await delete_flows(netns, translated) == 1
    assert await delete_flows(netns, translated) == 0
    assert [f.original.destination_port for f in await list_flows(netns, "udp")] == [54]


async def test_refused_restore_names_its_line(netns: Path) -> None:
    iptables = Iptables(netns)
    with pytest.raises(NetworkError, match=r"line \d: .*NOPE"):
        await iptables.restore("*nat\n-A OUTPUT -j NOPE\nCOMMIT\n")
    held = await iptables.save("nat")
    assert all(not chain.lines for chains in held.tables.values() for chain in chains.values())


async def test_generation_counts_everybodys_changes(netns: Path) -> None:
    iptables = Iptables(netns, tool="iptables-nft")
    first = await iptables.generation()
    assert await iptables.generation() == first
    await command.run(["iptables-nft", "-N", "X"], timeout_s=5, netns=netns)
    assert await iptables.generation() != first
    iptables.close()
    assert await Iptables(netns, tool="iptables-legacy").generation() is None


async def test_only_empty_tables_of_ours_are_removed(netns: Path) -> None:
    iptables = Iptables(netns, tool="iptables-nft")
    await iptables.restore(
        "*nat\n:X - [0:0]\nCOMMIT\n*mangle\n-A INPUT -j ACCEPT\n-D INPUT -j ACCEPT\nCOMMIT\n"
        "*filter\n-A INPUT -j ACCEPT\n-D INPUT -j ACCEPT\nCOMMIT\n"
    )
    await iptables.remove_empty_tables(frozenset({"filter"}))
    listed = (await command.run(["nft", "list", "tables"], timeout_s=5, netns=netns)).text()
    assert sorted(listed.split("\n")) == ["", "table ip filter", "table ip nat"]
