"""What is missing of wanted links, addresses and routes, and that nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from netlab.net.link_state import Observed, Wanted, WantedLink, WantedRoute, plan_links
from netlab.net.rtnetlink import Link, Route

ADDRESS = IPv4Interface("10.244.0.1/24")
DEFAULT = IPv4Network("0.0.0.0/0")
GATEWAY = IPv4Address("10.244.0.254")
MAC = "0a:58:0a:f4:00:01"
WANTED = Wanted(
    "on the node",
    (
        WantedLink(name="cni0", kind="bridge", mtu_bytes=1500, mac=MAC, addresses=(ADDRESS,)),
        WantedLink(name="veth1", kind="veth", mtu_bytes=1500, bridge="cni0"),
    ),
    (WantedRoute(destination=DEFAULT, link="cni0", gateway=GATEWAY),),
)
BRIDGE = Link(2, "cni0", "bridge", True, 1500, MAC, 0, running=True)
PORT = Link(3, "veth1", "veth", True, 1500, "02:00:00:00:00:01", 2, True, True, True, True)
CONNECTED = Route(ADDRESS.network, None, "cni0", ADDRESS.ip)
WAY_OUT = Route(DEFAULT, GATEWAY, "cni0", None)
WHOLE = Observed((BRIDGE, PORT), ((2, ADDRESS),), (CONNECTED, WAY_OUT))


def links(*changed: Link) -> Observed:
    names = {link.name: link for link in (BRIDGE, PORT)} | {link.name: link for link in changed}
    return replace(WHOLE, links=tuple(names.values()))


def told(observed: Observed) -> list[str]:
    return [fault.text for fault in plan_links(WANTED, observed)]


@pytest.mark.parametrize(
    ("observed", "faults"),
    [
        pytest.param(WHOLE, [], id="all is well"),
        pytest.param(links(replace(BRIDGE, up=False)), ["cni0 is down on the node"], id="down"),
        pytest.param(
            links(replace(BRIDGE, mtu_bytes=1300)),
            ["cni0 has MTU 1300, not 1500, on the node"],
            id="MTU",
        ),
        pytest.param(
            links(replace(BRIDGE, mac="02:00:00:00:00:07")),
            [f"cni0 has the MAC 02:00:00:00:00:07, not {MAC}, on the node"],
            id="MAC",
        ),
        pytest.param(
            links(replace(BRIDGE, arp=False)), ["cni0 does not speak ARP on the node"], id="arp"
        ),
        pytest.param(
            links(replace(PORT, master=0)), ["veth1 is not a port of cni0"], id="off the bridge"
        ),
        pytest.param(
            links(replace(PORT, hairpin=False)), ["veth1 is not in hairpin mode"], id="hairpin"
        ),
        pytest.param(
            links(replace(PORT, forwarding=False)), ["veth1 passes no frames to cni0"], id="blocked"
        ),
        pytest.param(
            links(replace(PORT, forwarding=False, running=False)),
            [],
            id="a port without carrier passes nothing, and need not",
        ),
        pytest.param(
            replace(WHOLE, addresses=()), [f"cni0 lacks the address {ADDRESS} on the node"], id="ip"
        ),
        pytest.param(
            replace(WHOLE, routes=(WAY_OUT,)),
            ["cni0 has no route to 10.244.0.0/24 on the node"],
            id="connected route",
        ),
        pytest.param(
            replace(WHOLE, routes=(CONNECTED,)),
            [f"there is no default route via {GATEWAY} on the node"],
            id="default route",
        ),
        pytest.param(
            replace(WHOLE, routes=(CONNECTED, replace(WAY_OUT, metric=500))),
            [f"there is no default route via {GATEWAY} on the node"],
            id="somebody's route with a metric does not stand in",
        ),
        pytest.param(
            replace(
                WHOLE,
                addresses=((2, ADDRESS), (2, IPv4Interface("10.55.0.1/24"))),
                routes=(CONNECTED, WAY_OUT, replace(WAY_OUT, metric=500)),
            ),
            [],
            id="what is not ours is no fault",
        ),
    ],
)
def test_faults(observed: Observed, faults: list[str]) -> None:
    assert told(observed) == faults
    assert all(fault.requests for fault in plan_links(WANTED, observed))


def test_a_missing_bridge_is_made_and_a_missing_veth_only_told() -> None:
    empty = Observed((), (), ())
    found = {fault.text: bool(fault.requests) for fault in plan_links(WANTED, empty)}
    assert found == {
        "bridge cni0 is missing on the node": True,
        "veth1 is missing on the node": False,
        f"there is no default route via {GATEWAY} on the node": False,
    }


def test_a_link_of_another_kind_is_left_alone() -> None:
    [fault] = plan_links(Wanted("here", WANTED.links[:1]), links(replace(BRIDGE, kind="dummy")))[:1]
    assert fault.requests == ()
    assert "another kind" in fault.text
