"""Keeps one pod's status at the API server true: writes it when it has changed, here or there.

Mirrors the kubelet's status manager: ``submit`` never waits, and of several statuses submitted
while one is being written only the last follows. ``reconcile`` compares what the object tells with
what was written last, and writes that again when somebody else has changed it; at most once a
second, so that two writers who disagree do not keep the API server busy. The pod's uid goes along
as a precondition, so that a status never lands on another pod of the same name.
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
from netlab.kubelet.status.pod import status_patch, tells

log = logging.getLogger(__name__)

RETRY_S = 1.0
RECONCILE_S = 1.0
"""A status that somebody else keeps changing is written again no more often than this."""


class StatusReporter:
    """The status of one pod. Run ``run()`` as a task."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._wanted: tuple[Pod, Object] | None = None
        self._written: Object | None = None
        self._version = ""
        self._shown: Pod | None = None
        self._reconciled_s = -RECONCILE_S
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

    def reconcile(self, pod: Pod) -> None:
        """Write the last status again if the object, as the API server tells it, differs.

        An object that is older than the last write tells nothing: it is an echo on its way.
        """
        self._shown = pod
        if self._wanted is not None or self._written is None:
            return  # looked at once more when that is written
        if not _is_newer(pod.metadata.resource_version, self._version):
            return
        if tells(pod.status, self._written):
            return
        self._wanted = (pod, self._written)
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
            if wanted[1] is self._written:
                await self._wait_turn()
                wanted = self._wanted or wanted
            if not await self._write(*wanted):
                self._submitted.set()
                await self._clock.sleep(RETRY_S)
            elif self._wanted is wanted:
                self._wanted = None
                self._idle.set()
                if self._shown is not None:
                    self.reconcile(self._shown)

    async def _wait_turn(self) -> None:
        now_s = self._clock.monotonic_s()
        due_s = self._reconciled_s + RECONCILE_S
        if now_s < due_s:
            await self._clock.sleep(due_s - now_s)
        self._reconciled_s = self._clock.monotonic_s()

    async def _write(self, pod: Pod, status: Object) -> bool:
        meta = pod.metadata
        patch = status_patch(self._shown or pod, status)
        try:
            answer = await self._client.patch(
                POD, meta.namespace, meta.name, patch, patch_type="merge", subresource="status"
            )
        except (NetlabError, OSError, TimeoutError) as error:
            # once the pod is gone, or another one has its name, nobody waits for this status
            if not (is_not_found(error) or is_conflict(error)):
                log.warning("status of pod %s/%s: %s", meta.namespace, meta.name, error)
                return False
        else:
            self._version = answer["metadata"].get("resourceVersion", "")
        self._written = status
        return True


def _is_newer(version: str, than: str) -> bool:
    """True unless the resource versions show that the first is not the later one."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
