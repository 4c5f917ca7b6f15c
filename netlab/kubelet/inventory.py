"""Knows which sandboxes and containers exist, with as few listings as possible.

Mirrors the kubelet's pod lifecycle event generator (PLEG). Callers that ask while a listing is on
its way share the next one: a hundred pods that start together cost a few listings.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from netlab.kubelet.planning.steps import Observed
from netlab.runtime.cri import ContainerRuntime, ContainerState, PodIdentity, SandboxStatus


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the runtime has. pods: by uid; owners: uid by container or sandbox id."""

    pods: dict[str, Observed] = field(default_factory=dict)
    identities: dict[str, PodIdentity] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def pod(self, uid: str) -> Observed:
        """Return what exists of a pod."""
        return self.pods.get(uid, Observed())


def group_by_pod(sandboxes: list[SandboxStatus], containers: list[ContainerState]) -> Snapshot:
    """Return a snapshot of the two listings."""
    snapshot = Snapshot()
    sandboxes_of: defaultdict[str, list[SandboxStatus]] = defaultdict(list)
    containers_of: defaultdict[str, list[ContainerState]] = defaultdict(list)
    for sandbox in sandboxes:
        identity = sandbox.config.pod
        snapshot.identities[identity.uid] = identity
        snapshot.owners[sandbox.id] = identity.uid
        sandboxes_of[identity.uid].append(sandbox)
    for container in containers:
        snapshot.identities[container.pod.uid] = container.pod
        snapshot.owners[container.id] = container.pod.uid
        containers_of[container.pod.uid].append(container)
    for uid in snapshot.identities:
        snapshot.pods[uid] = Observed(tuple(sandboxes_of[uid]), tuple(containers_of[uid]))
    return snapshot


class Inventory:
    """The latest snapshot, and new ones on request."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._lock = asyncio.Lock()
        self._begun = 0
        self._completed = 0
        self.snapshot = Snapshot()

    async def refresh(self) -> Snapshot:
        """Return a snapshot that was begun after this call.

        Raises: ContainerError.
        """
        asked_at = self._begun
        async with self._lock:
            # a listing that another caller began after we asked serves us too
            if self._completed <= asked_at:
                self._begun += 1
                number = self._begun
                # containers first: one that ends in between still has its sandbox listed
                containers = await self._runtime.list_containers()
                sandboxes = await self._runtime.list_sandboxes()
                self.snapshot = group_by_pod(sandboxes, containers)
                self._completed = number
            return self.snapshot
