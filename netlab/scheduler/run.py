"""The scheduler's loop: pods without a node -> bindings.

Mirrors kube-scheduler: one pod after the other, a decision, a POST to ``pods/binding``, and the
events and the PodScheduled condition that tell it. The decision itself is ``choose``.

A bound pod counts as bound at once (``_assumed``), before the watch shows it. A pod that found no
node waits for a node to change; a binding that fails is tried again after a growing delay. Pods
that name another scheduler are left to it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from netlab.api.core import Node, Pod
from netlab.api.kinds import NODE, POD
from netlab.api.view import Object
from netlab.client.events import EventRecorder
from netlab.client.informer import Informer, Key, key_of, wait_synced
from netlab.client.interface import Client
from netlab.client.queue import WorkQueue
from netlab.clock import Clock, rfc3339
from netlab.errors import ApiError, is_conflict, is_not_found
from netlab.scheduler.choose import Refusal, choose_node

log = logging.getLogger(__name__)

SCHEDULER_NAME = "default-scheduler"
WORKERS = 16
"""Bindings under way at the same time, so that they can share a commit of the store."""


class Scheduler:
    """Binds pods to nodes. Run ``run()`` as a task; ``synced`` is set when it has seen all."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._recorder = EventRecorder(client, clock, component=SCHEDULER_NAME)
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._pods: Informer[Pod] = Informer(client, POD, clock)
        self._nodes: Informer[Node] = Informer(client, NODE, clock)
        self._assumed: dict[str, Pod] = {}
        self._waiting: set[Key] = set()
        self.synced = asyncio.Event()
        self._pods.on_change(self._pod_changed)
        self._nodes.on_change(self._node_changed)

    async def run(self) -> None:
        """Bind pods until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._recorder.run(), self._nodes.run(), self._pods.run()):
                    group.create_task(work)
                await wait_synced((self._nodes, self._pods))
                self.synced.set()
                for _ in range(WORKERS):
                    group.create_task(self._worker())
        finally:
            self._queue.close()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        if new is None or new.spec.node_name:
            self._assumed.pop(pod.metadata.uid, None)
            self._waiting.discard(key_of(pod))
        if new is None:
            self._queue.forget(key_of(pod))
        elif _awaits_node(new) and (old is None or old.spec != new.spec):
            self._queue.add(key_of(new))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None or (old is not None and _same_for_scheduling(old, new)):
            return
        for key in self._waiting:
            self._queue.add(key)
        self._waiting.clear()

    async def _worker(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._schedule(key)
                self._queue.forget(key)
            except (ApiError, OSError, TimeoutError) as error:
                level = logging.DEBUG if is_not_found(error) else logging.WARNING
                log.log(level, "pod %s/%s: %s", *key, error)
                if not is_not_found(error):
                    self._queue.retry(key)
            except Exception:  # the top of a loop: one faulty pod must not stop the others
                log.exception("pod %s/%s", *key)
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def _schedule(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or not _awaits_node(pod) or pod.metadata.uid in self._assumed:
            return
        others = [other for other in self._pods.list() if other.spec.node_name]
        chosen = choose_node(pod, self._nodes.list(), [*others, *self._assumed.values()])
        if isinstance(chosen, Refusal):
            self._waiting.add(key)
            await self._refuse(pod, chosen)
        else:
            await self._bind(pod, chosen.metadata.name)

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
    )


def _same_for_scheduling(old: Node, new: Node) -> bool:
    return _gist(old) == _gist(new)


def _gist(node: Node) -> Object:
    return {
        "spec": node.spec,
        "labels": node.metadata.labels,
        "conditions": [(c.type, c.status) for c in node.status.conditions],
        "allocatable": node.status.allocatable,
    }
