"""Writes one pod's status to the API server, only when it has changed.

Mirrors the kubelet's status manager: ``submit`` never waits, and of several statuses submitted
while one is being written only the last follows. The pod's uid goes along as a precondition, so
that a status never lands on another pod of the same name.
"""

from __future__ import annotations

import asyncio
import logging

from netlab.api.kinds import POD
from netlab.api.pods import Pod
from netlab.api.view import Object
from netlab.client.interface import Client
from netlab.clock import Clock
from netlab.errors import NetlabError, is_conflict, is_not_found
from netlab.kubelet.status.pod import status_patch

log = logging.getLogger(__name__)

RETRY_S = 1.0


class StatusReporter:
    """The status of one pod. Run ``run()`` as a task."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._wanted: tuple[Pod, Object] | None = None
        self._written: Object | None = None
        self._submitted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def latest(self) -> Object | None:
        """The status submitted last, written or not."""
        return self._wanted[1] if self._wanted else self._written

    def submit(self, pod: Pod, status: Object) -> None:
        """Have ``status`` written soon."""
        if status == self.latest:
            return
        self._wanted = (pod, status)
        self._idle.clear()
        self._submitted.set()

    async def flush(self) -> None:
        """Wait until the API server has what was submitted."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write what is submitted until cancelled."""
        while True:
            await self._submitted.wait()
            self._submitted.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            if not await self._write(*wanted):
                self._submitted.set()
                await self._clock.sleep(RETRY_S)
            elif self._wanted is wanted:
                self._wanted = None
                self._idle.set()

    async def _write(self, pod: Pod, status: Object) -> bool:
        meta = pod.metadata
        patch = status_patch(pod, self._written, status)
        try:
            await self._client.patch(
                POD, meta.namespace, meta.name, patch, patch_type="merge", subresource="status"
            )
        except (NetlabError, OSError, TimeoutError) as error:
            # once the pod is gone, or another one has its name, nobody waits for this status
            if not (is_not_found(error) or is_conflict(error)):
                log.warning("status of pod %s/%s: %s", meta.namespace, meta.name, error)
                return False
        self._written = status
        return True
