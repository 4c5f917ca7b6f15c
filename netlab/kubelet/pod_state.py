"""What is known of one pod: shared by the worker that looks and plans, and the actions it takes.

Rules: everything here is used on the event loop only. ``woken`` is set by whoever knows of a
change; who waits for it clears it, and must not go to sleep without another look at the pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.client.events import EventRecorder
from netlab.kubelet.node_parts import container_field
from netlab.kubelet.planning.plan import REMOVED_GRACE_S
from netlab.kubelet.planning.steps import Memory, Observed
from netlab.runtime.cri import PodIdentity

T = TypeVar("T")


class EndingError(Exception):
    """Something was given up because the pod shall end."""


class PodState:
    """The mutable state of one pod.

    pod: as the API server last told it, None when it has no such pod (any more). last_pod: the
    last one that was not None. seen: exactly what the runtime listed; observed: the same, with
    what was added to it. pod_ip: as found in the sandbox of number ip_attempt; with None there it
    is only what the API server tells. cleaned: nothing of the pod is left. refresh_due: files of
    volumes may have changed.
    """

    def __init__(self, identity: PodIdentity, pod: Pod | None, events: EventRecorder) -> None:
        self.identity = identity
        self.pod = pod
        self.last_pod = pod
        self.memory = Memory()
        self.seen = Observed()
        self.observed = Observed()
        self.pod_ip = pod.status.pod_ip if pod is not None else ""
        self.ip_attempt: int | None = None
        self.cleaned = False
        self.refresh_due = False
        self.woken = asyncio.Event()
        self._events = events

    def remember(self, **changes: Any) -> None:
        """Change some fields of the memory."""
        self.memory = replace(self.memory, **changes)

    def tell(self, kind: str, reason: str, message: str, container: str = "") -> None:
        """Record an event of the pod, or of one of its containers."""
        if self.pod is not None:
            path = container_field(container, self.pod) if container else ""
            self._events.record(POD, self.pod, kind, reason, message, field_path=path)

    @property
    def ending(self) -> bool:
        """True when the pod shall end, or has to."""
        return self.pod is None or self.pod.metadata.deletion_timestamp is not None

    def ending_grace_s(self) -> float | None:
        """Return how long a pod that shall end has for it; None when it shall not end."""
        if self.pod is None:
            return REMOVED_GRACE_S
        if self.pod.metadata.deletion_timestamp is None:
            return None
        return self.pod.metadata.deletion_grace_period_seconds

    async def shorter_grace(self, current_s: float) -> float:
        """Wait until the pod shall end sooner than in ``current_s``; return the new grace."""
        while True:
            await self.woken.wait()
            self.woken.clear()  # nothing is lost: after the stop the pod is looked at anew
            grace_s = self.ending_grace_s()
            if grace_s is not None and grace_s < current_s:
                return grace_s

    async def unless_ending(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` does; cancel it as soon as the pod shall end.

        Raises: EndingError; what ``work`` raises.
        """
        working = asyncio.ensure_future(work)
        try:
            while not self.ending:
                waking = asyncio.ensure_future(self.woken.wait())
                try:
                    await asyncio.wait({working, waking}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
                if working.done():
                    return working.result()
                self.woken.clear()  # nothing is lost: after its steps the pod is looked at anew
            raise EndingError
        finally:
            working.cancel()
            await asyncio.wait({working})
