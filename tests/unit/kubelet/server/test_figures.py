"""What the kubelet tells in figures, and which of its logs it sends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.apiserver.metrics import parse_summary
from netlab.kubelet.node.usage import Reading
from netlab.kubelet.server.figures import (
    agent_metrics,
    family,
    probe_metrics,
    resource_metrics,
    summary,
)
from netlab.kubelet.server.files import listing, locate, names_in
from netlab.runtime.cri import ContainerPhase, GroupUsage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def used(pod: str, container: str, cpu: int, memory: int) -> ContainerUsage:
    return ContainerUsage("shop", pod, container, NOW, 9.5, cpu, memory)


def test_the_summary_is_read_back_as_it_was_measured() -> None:
    usage = NodeUsage(NOW, 10.0, 500, 4096, (used("web", "a", 1, 2), used("web", "b", 3, 4)))
    told = summary("node0", usage, {("shop", "web"): "u1"})
    (pod,) = told["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "shop", "uid": "u1"}
    assert (pod["cpu"]["usageNanoCores"], pod["memory"]["workingSetBytes"]) == (4, 6)
    import msgspec

    assert parse_summary(msgspec.json.encode(told)) == usage


def test_a_node_that_was_not_measured_yet_tells_nothing() -> None:
    told = summary("node0", None, {})
    assert told == {"node": {"nodeName": "node0"}, "pods": []}
    assert parse_summary(b'{"node":{"nodeName":"node0"},"pods":[]}') is None
    assert parse_summary(b"not json") is None


def state(name: str, phase: ContainerPhase = ContainerPhase.RUNNING) -> Any:
    pod = SimpleNamespace(namespace="shop", name="web")
    return SimpleNamespace(name=name, pod=pod, phase=phase, started_at=NOW)


def test_counters_of_containers() -> None:
    groups = {"id1": GroupUsage(NOW, 1_500_000_000, 2048), "gone": GroupUsage(NOW, 1, 1)}
    text = resource_metrics(Reading(NOW, groups, 3_000_000_000, 4096), {"id1": state("a")})
    labels = '{container="a",namespace="shop",pod="web"}'
    assert f"container_cpu_usage_seconds_total{labels} 1.5\n" in text
    assert f"container_memory_working_set_bytes{labels} 2048\n" in text
    assert f"container_start_time_seconds{labels} 1767225600\n" in text
    assert "node_cpu_usage_seconds_total 3\n" in text
    assert "resource_scrape_error 0\n" in text
    assert "gone" not in text
    assert "resource_scrape_error 1\n" in resource_metrics(None, {})


def test_probes_and_the_agent_itself() -> None:
    text = probe_metrics({("c", "shop", "web", "Liveness", "failed"): 2})
    assert (
        'prober_probe_total{container="c",namespace="shop",pod="web",'
        'probe_type="Liveness",result="failed"} 2\n'
    ) in text
    text = agent_metrics("node0", [state("a"), state("b", ContainerPhase.EXITED)], 1)
    assert 'kubelet_running_containers{container_state="running"} 1\n' in text
    assert 'kubelet_running_containers{container_state="exited"} 1\n' in text
    assert "kubelet_running_pods 1\n" in text


def test_labels_are_escaped() -> None:
    assert 'x{l="a\\"b\\\\c\\nd"} 1\n' in family("x", "gauge", "", [({"l": 'a"b\\c\nd'}, 1)])


def test_only_logs_of_pods_are_sent(tmp_path: Path) -> None:
    log = tmp_path / "pods" / "shop_web_u1" / "a" / "0.log"
    log.parent.mkdir(parents=True)
    log.write_text("x")
    (tmp_path / "secret").write_text("no")
    (tmp_path / "pods" / "way-out").symlink_to(tmp_path / "secret")
    assert locate(tmp_path, "/pods/shop_web_u1/a/0.log") == log.resolve()
    assert locate(tmp_path, "/pods/") == (tmp_path / "pods").resolve()
    for path in ("/secret", "/pods/../secret", "/pods/way-out", "/pods/none", "/", "/pods/a\0b"):
        assert locate(tmp_path, path) is None, path
    assert names_in(tmp_path / "pods" / "shop_web_u1") == ["a/"]
    assert '<a href="a%3Cb/">a&lt;b/</a>' in listing(["a<b/"])
