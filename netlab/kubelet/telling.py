"""Tells containers that wait in back-off, as events that are repeated as long as they do.

The kubelet records these events in each of its passes, every ten seconds or so; here they have a
clock of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.client.events import EventRecorder
from netlab.kubelet.node_parts import NORMAL, WARNING, container_field
from netlab.kubelet.planning.container_plan import pod_text
from netlab.kubelet.planning.steps import Waiting

REPEAT_S = 10.0


class BackOffTeller:
    """The back-off events of one pod."""

    def __init__(self, events: EventRecorder) -> None:
        self._events = events
        self._told: dict[str, tuple[str, datetime]] = {}

    def tell(self, pod: Pod, waiting: Mapping[str, Waiting], now: datetime) -> datetime | None:
        """Tell containers in back-off if it is time; return when to come again."""
        backing_off = {n: why for n, why in waiting.items() if why.reason.endswith("BackOff")}
        self._told = {n: told for n, told in self._told.items() if n in backing_off}
        for name, why in backing_off.items():
            reason, due = self._told.get(name, ("", now))
            if reason != why.reason or now >= due:
                self._record(pod, name, why)
                self._told[name] = (why.reason, now + timedelta(seconds=REPEAT_S))
        return min((due for _, due in self._told.values()), default=None)

    def _record(self, pod: Pod, name: str, why: Waiting) -> None:
        path = container_field(name, pod)
        if why.reason == "ImagePullBackOff":
            self._events.record(POD, pod, NORMAL, "BackOff", why.message, field_path=path)
            text = f"Error: {why.reason}"
            self._events.record(POD, pod, WARNING, "Failed", text, field_path=path)
        else:
            text = f"Back-off restarting failed container {name} in pod {pod_text(pod)}"
            self._events.record(POD, pod, WARNING, "BackOff", text, field_path=path)
