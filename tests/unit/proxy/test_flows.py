"""Which UDP connections must be forgotten."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from netlab.net.conntrack import Direction, Flow
from netlab.proxy.flows import UdpPort, stale_flows
from tests.unit.proxy.objects import POD_CIDR

CLIENT, VIP = IPv4Address("10.244.0.9"), IPv4Address("10.96.0.10")
NODE = IPv4Address("10.100.199.200")
OLD, NEW = IPv4Address("10.244.0.2"), IPv4Address("10.244.0.3")
DNS = UdpPort(frozenset({VIP}), 53, 30053, frozenset({(NEW, 5353)}))


def flow(to: IPv4Address, port: int, answering: IPv4Address, answering_port: int) -> Flow:
    return Flow(
        "udp",
        Direction(CLIENT, 4000, to, port),
        Direction(answering, answering_port, CLIENT, 4000),
    )


@pytest.mark.parametrize(
    ("one", "stale"),
    [
        pytest.param(flow(VIP, 53, NEW, 5353), False, id="endpoint of now"),
        pytest.param(flow(VIP, 53, OLD, 5353), True, id="vanished endpoint"),
        pytest.param(flow(VIP, 53, VIP, 53), True, id="before the first endpoint"),
        pytest.param(flow(VIP, 53, NEW, 53), True, id="other port of the endpoint"),
        pytest.param(flow(NODE, 30053, OLD, 5353), True, id="node port"),
        pytest.param(flow(VIP, 54, OLD, 5353), False, id="not a Service port"),
        pytest.param(flow(OLD, 5353, OLD, 5353), False, id="straight to a pod"),
        pytest.param(
            flow(OLD, 30053, OLD, 30053), False, id="straight to a pod, node port's number"
        ),
    ],
)
def test_stale(one: Flow, stale: bool) -> None:
    assert stale_flows([one], [DNS], POD_CIDR) == ([one] if stale else [])
