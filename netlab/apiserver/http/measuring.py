"""What the API server has done, as Prometheus reads it from ``/metrics``.

Mirrors ``k8s.io/apiserver/pkg/endpoints/metrics`` in names and labels, for requests, watches and
stored objects, and the process figures that every Go program exports. Every figure is counted or
read when it is asked for.

netlab leaves out what it has not: priority and fairness, etcd, caches, admission webhooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from netlab.apiserver.http.paths import Target

_REQUEST = ("verb", "group", "version", "resource", "subresource", "scope", "code")
# seconds; a lab answers within milliseconds
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _StoredObjects(Collector):
    """Counts what is stored, by resource, when somebody asks."""

    def __init__(self, count: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._count = count

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects by resource.",
            labels=["resource"],
        )
        for resource, number in self._count():
            family.add_metric([resource], number)
        yield family


class Measures:
    """Counts requests. stored: (resource, number of objects) of every kind."""

    def __init__(self, stored: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "apiserver_request_total",
            "Requests by verb, resource, scope and code.",
            _REQUEST,
            registry=self._registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "Seconds until the answer, watches and streams excepted.",
            ("verb", "resource"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._inflight = Gauge(
            "apiserver_current_inflight_requests",
            "Requests that are being answered, by kind.",
            ("request_kind",),
            registry=self._registry,
        )
        self._lasting = Gauge(
            "apiserver_longrunning_requests",
            "Watches and streams that are open.",
            ("verb", "resource"),
            registry=self._registry,
        )
        self._registry.register(_StoredObjects(stored))
        ProcessCollector(registry=self._registry)

    def page(self) -> tuple[bytes, str]:
        """Return the text and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    @contextmanager
    def under_way(self, verb: str, target: Target | None, *, lasting: bool) -> Iterator[None]:
        """Count a request as being answered while the context lasts."""
        if lasting:
            gauge = self._lasting.labels(verb.upper(), target.resource if target else "")
        else:
            reading = verb in ("get", "list", "watch")
            gauge = self._inflight.labels("readOnly" if reading else "mutating")
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def answered(
        self, verb: str, target: Target | None, code: int, took_s: float, *, lasting: bool
    ) -> None:
        """Count an answer. target: None for a path that is no resource's."""
        known = target is not None and target.kind is not None
        shown = target if known and target is not None else Target("", "", "", None)
        self._requests.labels(
            verb.upper(),
            shown.group,
            shown.version,
            shown.resource,
            # of a name that nobody serves there may be any number
            shown.subresource if code != 404 else "",
            _scope(shown),
            str(code),
        ).inc()
        if not lasting:
            self._durations.labels(verb.upper(), shown.resource).observe(took_s)


def _scope(target: Target) -> str:
    if not target.resource:
        return ""
    if target.name:
        return "resource"
    return "namespace" if target.namespace else "cluster"
