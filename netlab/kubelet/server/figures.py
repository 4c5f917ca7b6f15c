"""What the kubelet tells in figures: ``/stats/summary`` and the ``/metrics`` of Prometheus.

Mirrors ``pkg/kubelet/server/stats`` and ``pkg/kubelet/metrics/collectors``. Only what is measured
is told: processor and memory of the node and its containers, what probes have found, how many pods
and containers there are.

netlab leaves out: file systems, network and swap in the summary; ``/metrics/cadvisor``. The summary
says over how long a rate was measured (``windowSeconds``), which Kubernetes' does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from netlab.api.release import RELEASE
from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.api.view import Object
from netlab.kubelet.node.usage import Reading
from netlab.runtime.cri import ContainerPhase, ContainerState
from netlab.timestamps import rfc3339

NANO = 1_000_000_000

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[Labels, float]


def summary(node: str, usage: NodeUsage | None, uids: Mapping[tuple[str, str], str]) -> Object:
    """Return ``/stats/summary``. uids: of the node's pods, by namespace and name."""
    told: Object = {"node": {"nodeName": node}, "pods": []}
    if usage is None:
        return told
    told["node"] |= _amounts(usage.at, usage.window_s, usage.cpu_nano_cores, usage.memory_bytes)
    by_pod: dict[tuple[str, str], list[ContainerUsage]] = {}
    for each in usage.containers:
        by_pod.setdefault((each.namespace, each.pod), []).append(each)
    for key, containers in sorted(by_pod.items()):
        told["pods"].append(_pod(key, containers, uids.get(key, "")))
    return told


def _pod(key: tuple[str, str], containers: Sequence[ContainerUsage], uid: str) -> Object:
    latest = max(containers, key=lambda each: each.at)
    cpu = sum(each.cpu_nano_cores for each in containers)
    memory = sum(each.memory_bytes for each in containers)
    return {
        "podRef": {"name": key[1], "namespace": key[0], "uid": uid},
        "containers": [
            {"name": each.container}
            | _amounts(each.at, each.window_s, each.cpu_nano_cores, each.memory_bytes)
            for each in sorted(containers, key=lambda each: each.container)
        ],
        **_amounts(latest.at, latest.window_s, cpu, memory),
    }


def _amounts(at: datetime, window_s: float, cpu_nano_cores: int, memory_bytes: int) -> Object:
    time = rfc3339(at)
    return {
        "cpu": {"time": time, "usageNanoCores": cpu_nano_cores, "windowSeconds": window_s},
        "memory": {"time": time, "workingSetBytes": memory_bytes},
    }


def resource_metrics(reading: Reading | None, states: Mapping[str, ContainerState]) -> str:
    """Return ``/metrics/resource``: counters since the start. states: the containers, by id."""
    families = []
    if reading is not None:
        families = [
            family(
                "node_cpu_usage_seconds_total",
                "counter",
                "Cumulative cpu time consumed by the node in core-seconds",
                [({}, reading.node_cpu_ns / NANO)],
            ),
            family(
                "node_memory_working_set_bytes",
                "gauge",
                "Current working set of the node in bytes",
                [({}, reading.node_memory_bytes)],
            ),
            *_container_families(reading, states),
        ]
    error: list[Sample] = [({}, float(reading is None))]
    families.append(family("resource_scrape_error", "gauge", "1 if there was an error", error))
    return "".join(families)


def _container_families(reading: Reading, states: Mapping[str, ContainerState]) -> list[str]:
    cpu: list[Sample] = []
    memory: list[Sample] = []
    started: list[Sample] = []
    for container_id, used in sorted(reading.groups.items()):
        state = states.get(container_id)
        if state is None:
            continue
        labels = {
            "container": state.name,
            "namespace": state.pod.namespace,
            "pod": state.pod.name,
        }
        cpu.append((labels, used.cpu_ns / NANO))
        memory.append((labels, used.memory_bytes))
        if state.started_at is not None:
            started.append((labels, state.started_at.timestamp()))
    return [
        family(
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed by the container in core-seconds",
            cpu,
        ),
        family(
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set of the container in bytes",
            memory,
        ),
        family(
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds",
            started,
        ),
    ]


def probe_metrics(counts: Mapping[tuple[str, str, str, str, str], int]) -> str:
    """Return ``/metrics/probes``. counts: by container, namespace, pod, kind and result."""
    names = ("container", "namespace", "pod", "probe_type", "result")
    samples = [(dict(zip(names, key, strict=True)), n) for key, n in sorted(counts.items())]
    help_text = (
        "Cumulative number of a liveness, readiness or startup probe for a container by result."
    )
    return family("prober_probe_total", "counter", help_text, samples)


def agent_metrics(node: str, states: Iterable[ContainerState], pods: int) -> str:
    """Return ``/metrics``. pods: that have a sandbox."""
    by_state = dict.fromkeys(ContainerPhase, 0)
    for state in states:
        by_state[state.phase] += 1
    labels = {
        ContainerPhase.CREATED: "created",
        ContainerPhase.RUNNING: "running",
        ContainerPhase.EXITED: "exited",
    }
    build = {"git_version": RELEASE}
    return "".join(
        (
            family("kubernetes_build_info", "gauge", "A metric with a constant 1.", [(build, 1)]),
            family("kubelet_node_name", "gauge", "The node's name.", [({"node": node}, 1)]),
            family(
                "kubelet_running_containers",
                "gauge",
                "Number of containers currently running",
                [({"container_state": labels[p]}, n) for p, n in by_state.items()],
            ),
            family(
                "kubelet_running_pods",
                "gauge",
                "Number of pods that have a running pod sandbox",
                [({}, pods)],
            ),
        )
    )


def family(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> str:
    """Return the lines of one metric in Prometheus' text format."""
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
