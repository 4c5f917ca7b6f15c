"""What a load balancer is told about this node, and what a failed pass owes to the next."""

from __future__ import annotations

import json

import pytest

from netlab.api.core import Service
from netlab.api.discovery import EndpointSlice
from netlab.proxy.desired import Desired
from netlab.proxy.endpoints import Place
from netlab.proxy.health import ServiceHealth, answer_health
from tests.unit.proxy.objects import service_object, slice_object


@pytest.mark.parametrize(
    ("local", "proxy_healthy", "status"),
    [
        pytest.param(2, True, 200, id="endpoints, rules in order"),
        pytest.param(0, True, 503, id="no endpoints here"),
        pytest.param(2, False, 503, id="endpoints, but the rules could not be written"),
    ],
)
def test_answer(local: int, proxy_healthy: bool, status: int) -> None:
    answer = answer_health(ServiceHealth("shop", "web", local), proxy_healthy=proxy_healthy)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body) == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": local,
        "serviceProxyHealthy": proxy_healthy,
    }


def test_udp_changes_that_could_not_be_carried_out_are_told_again() -> None:
    desired = Desired(Place("node0"))
    port = {"name": "dns", "port": 53, "protocol": "UDP"}
    service = Service.parse(service_object(ports=[port]))
    piece = EndpointSlice.parse(slice_object("10.244.0.2", ports=(("dns", 5353, "UDP"),)))
    desired.refresh(("default", "web"), service, [piece])
    told = desired.take_changed_udp()
    assert told
    assert [one.port for one in told] == [53]
    assert desired.take_changed_udp() is None
    desired.keep_changed_udp()
    assert desired.take_changed_udp() == told
