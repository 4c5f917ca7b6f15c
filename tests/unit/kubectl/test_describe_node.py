"""Amounts and events in ``describe node``."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from netlab.kubectl.describe.amounts import amount, canonical
from netlab.kubectl.describe.context import Context
from netlab.kubectl.describe.lines import Lines
from netlab.kubectl.describe.node import _add_pods, describe_node


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("24684084Ki", "24684084Ki"),
        ("1024Ki", "1Mi"),
        ("4096Mi", "4Gi"),
        ("1000k", "1M"),
        ("1500m", "1500m"),
        ("264212084Ki", "264212084Ki"),
        ("110", "110"),
        ("0", "0"),
    ],
)
def test_quantities_are_written_as_the_api_machinery_does(text, shown):
    assert canonical(text) == shown
    assert amount(text) == amount(shown)


def pod(name, *resources):
    containers = [{"resources": each} for each in resources]
    return {"metadata": {"namespace": "d", "name": name}, "spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        pytest.param(
            [{"requests": {"memory": "64M"}, "limits": {"memory": "128Mi"}}],
            "64M (6%)",
            "128Mi (13%)",
            id="each keeps its own way of writing",
        ),
        pytest.param(
            [{"requests": {"memory": "64M"}}, {"requests": {"memory": "64Mi"}}],
            "131108864 (13%)",
            "0 (0%)",
            id="a sum is written as its first part",
        ),
        pytest.param(
            [{"requests": {"memory": "0"}}, {"requests": {"memory": "64Mi"}}],
            "64Mi (6%)",
            "0 (0%)",
            id="nothing has no way of writing",
        ),
    ],
)
def test_memory_asked_for(resources, requests, limits):
    lines = Lines()
    context = SimpleNamespace(now=datetime(2026, 1, 1, tzinfo=UTC))
    _add_pods(lines, [pod("p", *resources)], {"memory": "1000M"}, context)
    row = next(line for line in lines.text().splitlines() if " p " in line)
    assert f"{requests} " in row
    assert f"{limits} " in row


def test_events_of_the_kubelet_and_of_controllers_are_shown():
    """The kubelet gives the node's name as uid, controllers the node's own uid."""

    def call(method, path, query=None):
        wanted = (query or {}).get("fieldSelector", "")
        items = [
            {"type": "Normal", "reason": f"By{uid}", "message": "m"}
            for uid in ("node0", "uid-7")
            if f"involvedObject.uid={uid}" in wanted.split(",")
        ]
        return {"items": items}

    resources = SimpleNamespace(find=lambda word: SimpleNamespace(path=lambda *words: word))
    session = SimpleNamespace(resources=resources, client=SimpleNamespace(call=call))
    context = Context(session, show_events=True, now=datetime(2026, 1, 1, tzinfo=UTC))
    lines = Lines()
    describe_node(lines, {"metadata": {"name": "node0", "uid": "uid-7"}}, context)
    text = lines.text()
    assert "Bynode0" in text
    assert "Byuid-7" in text
