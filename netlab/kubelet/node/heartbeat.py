"""Registers the Node and keeps it alive: its status, and the Lease that is cheaper to renew.

Mirrors ``registerWithAPIServer``, ``syncNodeStatus`` and client-go's node lease controller. The
status is compared every ten seconds, and written when it has changed or is five minutes old; the
Lease is renewed every ten seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from ipaddress import IPv4Network

from netlab.api.core import Node
from netlab.api.kinds import LEASE, NODE
from netlab.api.view import Object
from netlab.errors import ApiError, NetlabError, is_already_exists, is_not_found
from netlab.kubelet.node.machine import read_machine, read_pressure
from netlab.kubelet.node.objects import (
    LEASE_NAMESPACE,
    NodeFacts,
    lease_object,
    node_labels,
    node_object,
    node_status,
    without_heartbeats,
)
from netlab.kubelet.node_parts import NORMAL, NodeParts
from netlab.timestamps import rfc3339_micro

log = logging.getLogger(__name__)

CHECK_S = 10.0
STATUS_AGE_S = 300.0
LEASE_S = 10.0
RETRY_S = 0.5


class NodeHeartbeat:
    """The Node object of one agent. ``ready`` is set once the API server has it as Ready."""

    def __init__(
        self,
        parts: NodeParts,
        *,
        pod_cidr: IPv4Network | None,
        labels: Mapping[str, str],
    ) -> None:
        self._parts = parts
        self._pod_cidr = pod_cidr
        self._labels = labels
        self._node: Node | None = None
        self._written: Object | None = None
        self._written_at_s = 0.0
        self._problems: tuple[str, ...] = ("container runtime network not ready",)
        self._changed = asyncio.Event()
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

    async def run(self) -> None:
        """Register, then write status and Lease until cancelled."""
        while self._node is None:
            try:
                self._node = await self._register()
            except (NetlabError, OSError, TimeoutError) as error:
                log.warning("register node %s: %s", self._parts.node_name, error)
                await self._parts.clock.sleep(RETRY_S)
        self._tell("Starting", "Starting kubelet.")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_status())
            tasks.create_task(self._run_lease())

    def _tell(self, reason: str, message: str) -> None:
        if self._node is not None:
            self._parts.events.record(NODE, self._node, NORMAL, reason, message)

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
        )

    async def _register(self) -> Node:
        facts = await self._facts()
        now = self._parts.clock.now()
        wanted = node_object(facts, now)
        client = self._parts.client
        try:
            created = Node.parse(await client.create(NODE, None, wanted))
        except ApiError as error:
            if not is_already_exists(error):
                raise
            return await self._adopt(facts)
        return created

    async def _adopt(self, facts: NodeFacts) -> Node:
        """Take over the Node of an earlier life: labels of ours, all else as it is."""
        client, name = self._parts.client, self._parts.node_name
        labels = node_labels(name, facts.machine.architecture) | dict(facts.labels)
        patch: Object = {"metadata": {"labels": labels}}
        node = Node.parse(await client.get(NODE, None, name))
        if facts.pod_cidr is not None and not node.spec.pod_cidr:
            patch["spec"] = {"podCIDR": str(facts.pod_cidr), "podCIDRs": [str(facts.pod_cidr)]}
        return Node.parse(await client.patch(NODE, None, name, patch))

    async def _run_status(self) -> None:
        while True:
            self._changed.clear()
            delay_s = CHECK_S
            try:
                await self._sync_status()
            except (NetlabError, OSError, TimeoutError) as error:
                log.warning("status of node %s: %s", self._parts.node_name, error)
                delay_s = RETRY_S
            await self._wait_changed(delay_s)

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
        facts = await self._facts()
        clock = self._parts.clock
        status = node_status(facts, self._node, clock.now())
        # free memory and disk change all the time and are not part of what is compared
        same = self._written is not None and (
            without_heartbeats(status) == without_heartbeats(self._written)
        )
        if not same or clock.monotonic_s() - self._written_at_s >= STATUS_AGE_S:
            answer = await self._parts.client.patch(
                NODE, None, facts.name, {"status": status}, subresource="status"
            )
            was_ready = self._is_ready()
            self._node = Node.parse(answer)
            self._written, self._written_at_s = status, clock.monotonic_s()
            if self._is_ready() and not was_ready:
                self._tell("NodeReady", f"Node {facts.name} status is now: NodeReady")
        if facts.problems:
            self.ready.clear()
        else:
            self.ready.set()

    def _is_ready(self) -> bool:
        conditions = self._node.status.conditions if self._node else ()
        return any(c.type == "Ready" and c.status == "True" for c in conditions)

    async def _run_lease(self) -> None:
        while True:
            delay_s = LEASE_S
            try:
                await self._renew_lease()
            except (NetlabError, OSError, TimeoutError) as error:
                log.warning("lease of node %s: %s", self._parts.node_name, error)
                delay_s = RETRY_S
            await self._parts.clock.sleep(delay_s)

    async def _renew_lease(self) -> None:
        client, name, node = self._parts.client, self._parts.node_name, self._node
        now = self._parts.clock.now()
        try:
            patch = {"spec": {"holderIdentity": name, "renewTime": rfc3339_micro(now)}}
            await client.patch(LEASE, LEASE_NAMESPACE, name, patch)
            return
        except ApiError as error:
            if not is_not_found(error) or node is None:
                raise
        await client.create(LEASE, LEASE_NAMESPACE, lease_object(node, now))
