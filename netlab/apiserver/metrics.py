"""The resource metrics API: what nodes and containers use, for ``kubectl top``.

Mirrors metrics-server (``metrics.k8s.io/v1beta1``), which a cluster of Kubernetes installs as an
add-on and which scrapes the kubelets; here each node is asked when somebody wants to know. A pod
whose containers were not measured twice yet is missing, and so is a node: kubectl then says
``metrics not available yet``.

netlab leaves out watching, which metrics-server cannot do either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from netlab.api.field_errors import no_such_resource, not_found
from netlab.api.kinds import NODE, POD, Kind
from netlab.api.kinds.metrics import NODE_METRICS, POD_METRICS
from netlab.api.meta import AnyObject
from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.api.view import Object
from netlab.apiserver.http.exchange import Answer, Exchange, answer_bytes, method_not_allowed
from netlab.apiserver.http.paths import Target
from netlab.apiserver.http.query import is_watch, list_options
from netlab.apiserver.http.rendering import render_item, render_list
from netlab.apiserver.registry import Registry
from netlab.apiserver.requests import Item, ListOptions, ListResult
from netlab.apiserver.streams.kubelets import Kubelets
from netlab.errors import ApiError
from netlab.timestamps import rfc3339

WINDOW_S = 10.0
"""Over which a kubelet that does not say so has measured: that of cadvisor."""


class MetricsHandlers:
    """Answers requests below ``/apis/metrics.k8s.io/v1beta1``."""

    def __init__(self, registry: Registry, kubelets: Kubelets) -> None:
        self._registry = registry
        self._kubelets = kubelets

    async def handle(self, exchange: Exchange, target: Target, kind: Kind[Any]) -> Answer:
        """Answer a get or a list.

        Raises: ApiError NotFound or MethodNotAllowed.
        """
        if target.subresource:
            raise no_such_resource()
        if target.name and kind.namespaced and not target.namespace:
            raise no_such_resource()
        if exchange.request.method not in ("GET", "HEAD") or is_watch(exchange.query):
            raise method_not_allowed()
        form = exchange.form()
        if target.name:
            options = ListOptions(field_selector=f"metadata.name={target.name}")
        else:
            options = list_options(exchange.query)
        items = await self._items(kind, target.namespace, options, exchange.now)
        if not target.name:
            listed = ListResult(items, "")
            return answer_bytes(render_list(kind, listed, form), form.content_type)
        if not items:
            shown = f"{target.namespace}/{target.name}" if kind.namespaced else target.name
            raise not_found(_named_by_kind(kind), shown)
        return answer_bytes(render_item(kind, items[0], form), form.content_type)

    async def _items(
        self, kind: Kind[Any], namespace: str, options: ListOptions, now: datetime
    ) -> list[Item]:
        nodes = await self._usage_by_node()
        # selectors are about the measured object, whose labels its metrics carry
        measured = POD if kind is POD_METRICS else NODE
        listed = await self._registry.list(measured, namespace or None, options)
        objects = [item.object for item in listed.items]
        if kind is NODE_METRICS:
            found = node_metrics(objects, nodes, now)
        else:
            found = pod_metrics(objects, nodes.values(), now)
        return [Item(msgspec.json.encode(each), each) for each in found]

    async def _usage_by_node(self) -> dict[str, NodeUsage]:
        listed = await self._registry.list(NODE, None, ListOptions())
        names = [item.object["metadata"]["name"] for item in listed.items]
        answers = await asyncio.gather(*(self._usage(name) for name in names))
        pairs = zip(names, answers, strict=True)
        return {name: usage for name, usage in pairs if usage is not None}

    async def _usage(self, node: str) -> NodeUsage | None:
        """Return what a node uses; None when it cannot be asked, or was not measured twice."""
        try:
            return parse_summary(await self._kubelets.read(node, "/stats/summary"))
        except ApiError:
            return None  # a silent node has no figures; the others' must not wait for it


class _Cpu(msgspec.Struct, rename="camel"):
    time: datetime
    usage_nano_cores: int
    window_seconds: float = WINDOW_S


class _Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int


class _Ref(msgspec.Struct):
    name: str
    namespace: str


class _Measured(msgspec.Struct, rename="camel"):
    name: str = ""
    cpu: _Cpu | None = None
    memory: _Memory | None = None


class _MeasuredPod(msgspec.Struct, rename="camel"):
    pod_ref: _Ref
    containers: list[_Measured] = []


class _Summary(msgspec.Struct):
    node: _Measured
    pods: list[_MeasuredPod] = []


def parse_summary(data: bytes) -> NodeUsage | None:
    """Return what a kubelet's ``/stats/summary`` tells; None while the node is not measured."""
    try:
        told = msgspec.json.decode(data, type=_Summary)
    except msgspec.MsgspecError:
        return None
    cpu, memory = told.node.cpu, told.node.memory
    if cpu is None or memory is None:
        return None
    containers = [
        ContainerUsage(
            namespace=pod.pod_ref.namespace,
            pod=pod.pod_ref.name,
            container=each.name,
            at=each.cpu.time,
            window_s=each.cpu.window_seconds,
            cpu_nano_cores=each.cpu.usage_nano_cores,
            memory_bytes=each.memory.working_set_bytes,
        )
        for pod in told.pods
        for each in pod.containers
        if each.cpu is not None and each.memory is not None
    ]
    return NodeUsage(
        at=cpu.time,
        window_s=cpu.window_seconds,
        cpu_nano_cores=cpu.usage_nano_cores,
        memory_bytes=memory.working_set_bytes,
        containers=tuple(containers),
    )


def _named_by_kind(kind: Kind[Any]) -> Kind[Any]:
    """metrics-server calls its resources podmetrics and nodemetrics when it does not find one."""
    return Kind(kind.group, kind.version, kind.kind, kind.kind.lower(), AnyObject)


def node_metrics(
    nodes: Sequence[Object], usages: Mapping[str, NodeUsage], now: datetime
) -> list[Object]:
    """Return a NodeMetrics for each node that was measured, by name."""
    measured = [node for node in nodes if node["metadata"]["name"] in usages]
    found = []
    for node in sorted(measured, key=lambda each: str(each["metadata"]["name"])):
        usage = usages[node["metadata"]["name"]]
        found.append(
            {
                **_head(NODE_METRICS, node, now),
                "timestamp": rfc3339(usage.at),
                "window": go_duration(usage.window_s),
                "usage": _amounts(usage.cpu_nano_cores, usage.memory_bytes),
            }
        )
    return found


def pod_metrics(pods: Sequence[Object], usages: Iterable[NodeUsage], now: datetime) -> list[Object]:
    """Return a PodMetrics for each pod with measured containers, by namespace and name."""
    by_pod: dict[tuple[str, str], list[ContainerUsage]] = {}
    for usage in usages:
        for container in usage.containers:
            by_pod.setdefault((container.namespace, container.pod), []).append(container)
    keyed = {(pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in pods}
    found = []
    for key in sorted(keyed.keys() & by_pod.keys()):
        containers = sorted(by_pod[key], key=lambda each: each.container)
        latest = max(containers, key=lambda each: each.at)
        found.append(
            {
                **_head(POD_METRICS, keyed[key], now),
                "timestamp": rfc3339(latest.at),
                "window": go_duration(latest.window_s),
                "containers": [
                    {
                        "name": each.container,
                        "usage": _amounts(each.cpu_nano_cores, each.memory_bytes),
                    }
                    for each in containers
                ],
            }
        )
    return found


def _head(kind: Kind[Any], measured: Object, now: datetime) -> Object:
    of = measured["metadata"]
    metadata: Object = {"name": of["name"], "creationTimestamp": rfc3339(now)}
    if of.get("namespace"):
        metadata["namespace"] = of["namespace"]
    if of.get("labels"):
        metadata["labels"] = of["labels"]
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def _amounts(cpu_nano_cores: int, memory_bytes: int) -> Object:
    return {
        "cpu": f"{cpu_nano_cores}n" if cpu_nano_cores else "0",
        "memory": f"{memory_bytes // 1024}Ki",
    }


def go_duration(seconds: float) -> str:
    """Return a duration as Go prints it: ``15.032s``, ``1m5s``."""
    millis = round(seconds * 1000)
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"
