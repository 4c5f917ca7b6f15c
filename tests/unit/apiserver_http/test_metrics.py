"""The resource metrics API answers as metrics-server does."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.apiserver.metrics import go_duration

AT = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "/apis/metrics.k8s.io/v1beta1"
CONTAINER = ContainerUsage(
    namespace="default",
    pod="a",
    container="c",
    at=AT,
    window_s=15.25,
    cpu_nano_cores=12345678,
    memory_bytes=3 * 1024 * 1024,
)
USAGE = NodeUsage(
    at=AT,
    window_s=10,
    cpu_nano_cores=250_000_000,
    memory_bytes=1 << 30,
    containers=(CONTAINER, replace(CONTAINER, pod="gone"), replace(CONTAINER, container="b")),
)


@pytest.fixture
async def measured(lab):
    async def usage():
        return USAGE

    lab.node.usage = usage
    await lab.make_pod("a", "b", "c")
    await lab.make_pod("idle")


async def answer(http, path):
    async with http.get(BASE + path) as response:
        return response.status, await response.json()


async def test_pods(http, measured):
    status, found = await answer(http, "/namespaces/default/pods")
    assert (status, found["kind"]) == (200, "PodMetricsList")
    (item,) = found["items"]
    assert item["metadata"]["name"] == "a"
    assert (item["timestamp"], item["window"]) == ("2026-01-01T00:00:00Z", "15.25s")
    usage = {"cpu": "12345678n", "memory": "3072Ki"}
    assert item["containers"] == [{"name": "b", "usage": usage}, {"name": "c", "usage": usage}]
    assert (await answer(http, "/pods"))[1]["items"] == found["items"]
    assert (await answer(http, "/namespaces/default/pods/a"))[1]["containers"] == item["containers"]


async def test_nodes(http, measured):
    _, found = await answer(http, "/nodes")
    assert [item["usage"] for item in found["items"]] == [
        {"cpu": "250000000n", "memory": "1048576Ki"}
    ]
    _, found = await answer(http, "/nodes?labelSelector=no=such")
    assert found["items"] == []


REFUSED = [
    ("/namespaces/default/pods/idle", 404, 'podmetrics.metrics.k8s.io "default/idle" not found'),
    ("/nodes/node7", 404, 'nodemetrics.metrics.k8s.io "node7" not found'),
    ("/namespaces/default/nodes", 404, "the server could not find the requested resource"),
    ("/dogs", 404, "the server could not find the requested resource"),
    ("/pods?watch=true", 405, "the server does not allow this method on the requested resource"),
]


@pytest.mark.parametrize(("path", "code", "message"), REFUSED)
async def test_refused(http, measured, path, code, message):
    status, found = await answer(http, path)
    assert (status, found["message"]) == (code, message)


async def test_nothing_is_known_before_the_second_measurement(lab, http):
    async def usage():
        return None

    lab.node.usage = usage
    assert (await answer(http, "/nodes"))[1]["items"] == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(15.032, "15.032s"), (10, "10s"), (65.5, "1m5.5s"), (0.25, "0.25s")]
)
def test_durations(seconds, text):
    assert go_duration(seconds) == text
