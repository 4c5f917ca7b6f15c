"""Registers the Node and keeps it alive: its status, and the Lease that is cheaper to renew.

Mirrors ``registerWithAPIServer``, ``syncNodeStatus`` and client-go's node lease controller. Every
ten seconds, and at once when the Node was changed by somebody else, what the API server tells is
compared with what is true, and written when it differs or is five minutes old; the Lease is renewed
every ten seconds. A Node or a Lease that somebody has deleted is made again: the node is still
there, and so are its pods. (A kubelet of Kubernetes registers only when it starts.)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from ipaddress import IPv4Network

from netlab.api.core import Node
from netlab.api.kinds import LEASE, NODE
from netlab.api.view import Object
from netlab.client.delays import asked_s
from netlab.client.informer import Informer
from netlab.errors import (
    ApiError,
    NetlabError,
    UnreadableError,
    is_already_exists,
    is_not_found,
)
from netlab.kubelet.node.machine import read_machine, read_pressure
from netlab.kubelet.node.objects import (
    LEASE_NAMESPACE,
    NodeFacts,
    is_ready,
    is_shown,
    lease_object,
    missing_labels,
    node_labels,
    node_object,
    node_patch,
    node_status,
)
from netlab.kubelet.node_parts import NORMAL, WARNING, NodeParts

log = logging.getLogger(__name__)

CHECK_S = 10.0
STATUS_AGE_S = 300.0
LEASE_S = 10.0
RETRY_S = 0.5
LONGEST_RETRY_S = 8.0
JITTER = 0.2

NO_RANGE = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:the node has no range of pods yet (spec.podCIDR)"
)


class NodeHeartbeat:
    """The Node object of one agent.

    shown: the informer of this one Node; somebody else runs it. ``known`` is set once there is a
    Node, ``ready`` while the API server has it as Ready.
    """

    def __init__(
        self,
        parts: NodeParts,
        shown: Informer[Node],
        *,
        labels: Mapping[str, str],
    ) -> None:
        self._parts = parts
        self._pod_cidr: IPv4Network | None = None
        self._has_range = asyncio.Event()
        self._labels = labels
        self._node: Node | None = None
        self._shown = shown
        self._written_at_s: float | None = None
        self._problems: tuple[str, ...] = (NO_RANGE,)
        self._changed = asyncio.Event()
        self.known = asyncio.Event()
        self.ready = asyncio.Event()

    @property
    def node(self) -> Node | None:
        """The Node as registered."""
        return self._node

    def set_problems(self, *problems: str) -> None:
        """Say why the node is not ready; nothing means that it is."""
        if problems != self._problems:
            self._problems = problems
            self._changed.set()

    async def pod_cidr(self) -> IPv4Network:
        """Return the node's part of the pods' range, as soon as its Node has one.

        The first one holds as long as the agent runs, also when the Node is registered again.
        """
        await self._has_range.wait()
        assert self._pod_cidr is not None, "the event is set together with the range"
        return self._pod_cidr

    async def run(self) -> None:
        """Register, then write status and Lease until cancelled."""
        self._shown.on_change(self._node_changed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_status())
            tasks.create_task(self._run_lease())

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        """Look at once at what somebody else has done to the Node."""
        if new is not None:
            self._take_range(new)
        if new is None:
            self.ready.clear()
        known = self._node
        if (
            new is None
            or known is None
            or new.metadata.resource_version != known.metadata.resource_version
        ):
            self._changed.set()

    def _take_range(self, node: Node) -> None:
        if self._pod_cidr is not None or not node.spec.pod_cidr:
            return
        try:
            self._pod_cidr = IPv4Network(node.spec.pod_cidr)
        except ValueError as error:
            log.warning("node %s: spec.podCIDR: %s", node.metadata.name, error)
            return
        self._has_range.set()

    def warn(self, reason: str, message: str) -> None:
        """Tell as an event what is wrong with the node."""
        self._tell(reason, message, WARNING)

    def _tell(self, reason: str, message: str, kind: str = NORMAL) -> None:
        if self._node is not None:
            self._parts.events.record(NODE, self._node, kind, reason, message)

    async def _facts(self) -> NodeFacts:
        state_dir = self._parts.config.state_dir
        images = []
        problems = list(self._problems)
        try:
            images = await self._parts.runtime.list_images()
        except NetlabError as error:
            problems.append(f"container runtime is down: {error}")
        return NodeFacts(
            name=self._parts.node_name,
            address=self._parts.host_ip,
            machine=read_machine(state_dir),
            pressure=read_pressure(state_dir),
            pod_cidr=self._pod_cidr,
            labels=self._labels,
            images=images,
            problems=problems,
            port=self._parts.config.kubelet_port,
        )

    async def _registered(self, facts: NodeFacts) -> Object:
        """Return the Node as the API server has it; made, or taken over, where that is due."""
        client, name = self._parts.client, self._parts.node_name
        try:
            node = await client.get(NODE, None, name)
        except ApiError as error:
            if not is_not_found(error):
                raise
            node = await self._create(facts)
        node = await self._mended(node)
        known = self._node
        if known is not None and known.metadata.uid == node["metadata"]["uid"]:
            return node
        if known is not None:
            log.warning("node %s was deleted by somebody: registered again", name)
        node = await self._take_over(node, facts)
        self._node, self._written_at_s = Node.parse(node), None
        self._take_range(self._node)
        self.known.set()
        self._tell("Starting", "Starting kubelet.")
        return node

    async def _mended(self, node: Object) -> Object:
        """Return the Node without a status that nobody can read: it is ours, and written anew."""
        try:
            Node.parse(node)
        except UnreadableError as error:
            log.warning("%s; its status is written anew", error)
            empty = {"status": dict.fromkeys(node.get("status") or {})}
            name = self._parts.node_name
            return await self._parts.client.patch(NODE, None, name, empty, subresource="status")
        return node

    async def _create(self, facts: NodeFacts) -> Object:
        client, now = self._parts.client, self._parts.clock.now()
        try:
            return await client.create(NODE, None, node_object(facts, now))
        except ApiError as error:
            if not is_already_exists(error):
                raise
            return await client.get(NODE, None, self._parts.node_name)

    async def _take_over(self, node: Object, facts: NodeFacts) -> Object:
        """Give the Node the labels of this agent; all else stays as it is."""
        wanted = node_labels(facts.name, facts.machine.architecture) | dict(facts.labels)
        have = node["metadata"].get("labels") or {}
        patch: Object = {}
        if not wanted.items() <= have.items():
            patch["metadata"] = {"labels": wanted}
        if not patch:
            return node
        return await self._parts.client.patch(NODE, None, facts.name, patch)

    async def _run_status(self) -> None:
        trouble = Trouble(f"status of node {self._parts.node_name}")
        while True:
            self._changed.clear()
            try:
                await self._sync_status()
                trouble.over()
            except (NetlabError, OSError, TimeoutError) as error:
                # whatever changes meanwhile: an API server in need is not asked more often
                await self._parts.clock.sleep(trouble.next_delay_s(error))
                continue
            await self._wait_changed(CHECK_S)

    async def _wait_changed(self, delay_s: float) -> None:
        async def ring() -> None:
            await self._parts.clock.sleep(delay_s)
            self._changed.set()

        alarm = asyncio.create_task(ring())
        try:
            await self._changed.wait()
        finally:
            alarm.cancel()

    async def _sync_status(self) -> None:
        facts, clock = await self._facts(), self._parts.clock
        client = self._parts.client
        node = await self._registered(facts)
        labels = missing_labels(node, facts)
        if labels:
            node = await client.patch(NODE, None, facts.name, {"metadata": {"labels": labels}})
        shown = node.get("status") or {}
        status = node_status(facts, shown, clock.now())
        written_s, now_s = self._written_at_s, clock.monotonic_s()
        # free memory and disk change all the time and are not part of what is compared
        fresh = written_s is not None and now_s - written_s < STATUS_AGE_S
        if not fresh or not is_shown(shown, status):
            patch = node_patch(shown, status)
            node = await client.patch(NODE, None, facts.name, patch, subresource="status")
            self._written_at_s = now_s
        self._node = Node.parse(node)
        if not is_ready(node):
            self.ready.clear()
        elif not self.ready.is_set():
            self.ready.set()
            self._tell("NodeReady", f"Node {facts.name} status is now: NodeReady")

    async def _run_lease(self) -> None:
        trouble = Trouble(f"lease of node {self._parts.node_name}")
        await self.known.wait()
        while True:
            delay_s = LEASE_S
            try:
                await self._renew_lease()
                trouble.over()
            except (NetlabError, OSError, TimeoutError) as error:
                delay_s = trouble.next_delay_s(error)
            await self._parts.clock.sleep(delay_s)

    async def _renew_lease(self) -> None:
        client, name, node = self._parts.client, self._parts.node_name, self._node
        assert node is not None, "the lease is of a node that was registered"
        lease = lease_object(node, self._parts.clock.now())
        patch = {
            "metadata": {"ownerReferences": lease["metadata"]["ownerReferences"]},
            "spec": lease["spec"],
        }
        try:
            await client.patch(LEASE, LEASE_NAMESPACE, name, patch)
        except ApiError as error:
            if not is_not_found(error):
                raise
            await client.create(LEASE, LEASE_NAMESPACE, lease)


class Trouble:
    """Calls that fail in a row: how long to wait, told once as long as the reason is the same."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._failures = 0
        self._told = ""

    def next_delay_s(self, error: Exception) -> float:
        """Return how long to wait before the next try: longer each time, and never just as long
        as all the other nodes wait.
        """
        text = str(error) or type(error).__name__
        if text != self._told:
            log.warning("%s: %s", self._subject, text)
            self._told = text
        delay_s = min(RETRY_S * 2.0**self._failures, LONGEST_RETRY_S)
        self._failures = min(self._failures + 1, 16)
        return max(delay_s * random.uniform(1.0, 1.0 + JITTER), asked_s(error))

    def over(self) -> None:
        """Take note that a call has succeeded."""
        if self._failures:
            log.info("%s: written again", self._subject)
        self._failures, self._told = 0, ""
