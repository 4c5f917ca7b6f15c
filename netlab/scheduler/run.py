"""The scheduler's loop: pods without a node -> bindings.

Mirrors kube-scheduler: one pod after the other, a decision, a POST to ``pods/binding``, and the
events and the PodScheduled condition that tell it. The decision itself is ``choose``.

A bound pod counts as bound at once (``_assumed``), before the watch shows it. A pod that found no
node waits until a node or storage changes or a pod makes room; a binding that fails is tried again
after a growing delay. Claims that wait for their first consumer are told of the chosen node, and
the pod is bound once they are. Pods that name another scheduler are left to it; pods with
``schedulingGates`` wait until somebody takes these away.

netlab leaves out: preemption, and most of upstream's hints on which change helps which pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from netlab.api.core import Node
from netlab.api.kinds import (
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
)
from netlab.api.meta import AnyObject
from netlab.api.pods import Pod
from netlab.api.storage import PersistentVolumeClaim
from netlab.api.storage_marks import SELECTED_NODE
from netlab.api.view import Object
from netlab.client.events import EventRecorder
from netlab.client.informer import Informer, Key, key_of, wait_synced
from netlab.client.informers import SharedInformers
from netlab.client.interface import Client
from netlab.client.workers import Workers
from netlab.clock import Clock
from netlab.errors import ApiError, is_conflict, is_not_found
from netlab.scheduler.choose import Refusal, choose_node
from netlab.scheduler.filters import Context
from netlab.scheduler.plugins import PLACEMENTS
from netlab.timestamps import rfc3339

log = logging.getLogger(__name__)

SCHEDULER_NAME = "default-scheduler"
WORKERS = 16
"""Bindings under way at the same time, so that they can share a commit of the store."""

LONGEST_DELAY_S = 10.0
"""kube-scheduler's podMaxBackoffSeconds."""

_NODE_INDEX: Final = "node-that-holds"


class Scheduler:
    """Binds pods to nodes. Run ``run()`` as a task; ``synced`` is set when it has seen all."""

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._recorder = EventRecorder(client, clock, component=SCHEDULER_NAME)
        self._workers: Workers[Key] = Workers(
            "pod", clock, self._work, count=WORKERS, longest_s=LONGEST_DELAY_S
        )
        self._queue = self._workers.queue
        self._pods = informers.of(POD, index={_NODE_INDEX: _node_that_holds})
        self._nodes = informers.of(NODE)
        self._claims = informers.of(PERSISTENT_VOLUME_CLAIM)
        self._volumes = informers.of(PERSISTENT_VOLUME)
        self._classes = informers.of(STORAGE_CLASS)
        self._context = Context(
            pods_on=self._pods_on,
            claim=self._claims.get,
            volume=lambda name: self._volumes.get("", name),
            storage_class=lambda name: self._classes.get("", name),
            claims=self._claims.list,
            volumes=self._volumes.list,
        )
        self._assumed: dict[str, Pod] = {}
        self._waiting: set[Key] = set()
        # pods whose node is chosen and whose claims are being bound there
        self._placing: set[str] = set()
        self.synced = asyncio.Event()
        self._pods.on_change(self._pod_changed)
        self._nodes.on_change(self._node_changed)
        self._claims.on_change(self._storage_changed)
        self._volumes.on_change(self._storage_changed)
        self._classes.on_change(self._storage_changed)

    @property
    def _informers(self) -> tuple[Informer[Any], ...]:
        return (self._nodes, self._claims, self._volumes, self._classes, self._pods)

    async def run(self) -> None:
        """Bind pods until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            await wait_synced(self._informers)
            self.synced.set()
            group.create_task(self._workers.run())

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        if new is None or new.spec.node_name:
            self._assumed.pop(pod.metadata.uid, None)
            self._placing.discard(pod.metadata.uid)
            self._waiting.discard(key_of(pod))
        if new is None:
            self._queue.forget(key_of(pod))
        elif _awaits_node(new) and (old is None or old.spec != new.spec):
            self._queue.add(key_of(new))
        if old is not None and _node_that_holds(old) and (new is None or not _node_that_holds(new)):
            self._retry_waiting()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is not None and _same_for_scheduling(old, new):
            return
        self._placing.clear()  # the chosen node may be the one that has changed
        self._retry_waiting()

    def _storage_changed(self, old: AnyObject | None, new: AnyObject | None) -> None:
        self._retry_waiting(_uses_claims)

    def _retry_waiting(self, concerns: Callable[[Pod], bool] = lambda pod: True) -> None:
        for key in list(self._waiting):
            pod = self._pods.get(*key)
            if pod is None or concerns(pod):
                self._waiting.discard(key)
                self._queue.add(key)

    def _pods_on(self, node: str) -> Sequence[Pod]:
        assumed = [pod for pod in self._assumed.values() if pod.spec.node_name == node]
        return [*self._pods.by_index(_NODE_INDEX, node), *assumed]

    async def _work(self, key: Key) -> None:
        try:
            await self._schedule(key)
        except ApiError as error:
            if not is_not_found(error):
                raise
            log.debug("pod %s/%s: %s", *key, error)  # it is gone; nobody need try again

    async def _schedule(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or not _awaits_node(pod) or pod.metadata.uid in self._assumed:
            return
        uid = pod.metadata.uid
        claims = self._unplaced(pod)
        told = all(SELECTED_NODE in claim.metadata.annotations for claim in claims)
        if uid in self._placing and claims and told:
            # a provisioner that gives up takes the mark away, and a node is chosen anew
            self._waiting.add(key)
            return
        self._placing.discard(uid)
        chosen = choose_node(pod, self._nodes.list(), self._context)
        if isinstance(chosen, Refusal):
            self._waiting.add(key)
            await self._refuse(pod, chosen)
            return
        if claims:
            self._placing.add(uid)
            self._waiting.add(key)
            await self._place(claims, chosen.metadata.name)
        else:
            await self._bind(pod, chosen.metadata.name)

    def _unplaced(self, pod: Pod) -> list[PersistentVolumeClaim]:
        return [claim for ask in PLACEMENTS for claim in ask(pod, self._context)]

    async def _place(self, claims: Sequence[PersistentVolumeClaim], node: str) -> None:
        for claim in claims:
            if claim.metadata.annotations.get(SELECTED_NODE) == node:
                continue
            patch: Any = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._client.patch(PERSISTENT_VOLUME_CLAIM, *key_of(claim), patch)

    async def _bind(self, pod: Pod, node: str) -> None:
        namespace, name = key_of(pod)
        uid = pod.metadata.uid
        self._assumed[uid] = msgspec.structs.replace(
            pod, spec=msgspec.structs.replace(pod.spec, node_name=node)
        )
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create_subresource(POD, namespace, name, "binding", binding)
        except BaseException as error:
            self._assumed.pop(uid, None)
            if isinstance(error, ApiError) and is_conflict(error):
                return  # somebody else bound it; the watch will show where
            raise
        self._recorder.record(
            POD, pod, "Normal", "Scheduled",
            f"Successfully assigned {namespace}/{name} to {node}",
        )  # fmt: skip
        current = self._pods.get(namespace, name)
        if current is None or current.spec.node_name:
            self._assumed.pop(uid, None)  # the watch was quicker than the answer

    async def _refuse(self, pod: Pod, refusal: Refusal) -> None:
        self._recorder.record(POD, pod, "Warning", "FailedScheduling", refusal.message)
        old = pod.status.condition("PodScheduled")
        if old is not None and (old.status, old.message) == ("False", refusal.message):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": refusal.message,
            "lastProbeTime": None,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        patch: Any = {"status": {"conditions": [condition]}}
        await self._client.patch(
            POD,
            pod.metadata.namespace,
            pod.metadata.name,
            patch,
            patch_type="strategic",
            subresource="status",
        )


def _awaits_node(pod: Pod) -> bool:
    return (
        not pod.spec.node_name
        and pod.metadata.deletion_timestamp is None
        and pod.spec.scheduler_name == SCHEDULER_NAME
        and not pod.spec.scheduling_gates
    )


def _node_that_holds(pod: Pod) -> tuple[str, ...]:
    """The node whose room the pod takes; none for a pod that has ended."""
    ended = pod.status.phase in ("Succeeded", "Failed")
    return (pod.spec.node_name,) if pod.spec.node_name and not ended else ()


def _uses_claims(pod: Pod) -> bool:
    return any(volume.persistent_volume_claim is not None for volume in pod.spec.volumes)


def _same_for_scheduling(old: Node, new: Node) -> bool:
    return _gist(old) == _gist(new)


def _gist(node: Node) -> Object:
    return {
        "spec": node.spec,
        "labels": node.metadata.labels,
        "conditions": [(c.type, c.status) for c in node.status.conditions],
        "allocatable": node.status.allocatable,
    }
