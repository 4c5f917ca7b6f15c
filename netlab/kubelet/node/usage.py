"""Measures what the node and its containers use, for ``kubectl top``.

Mirrors the kubelet's ``/metrics/resource`` together with metrics-server, which turns two readings
of a counter into a rate. A reading is taken every ten seconds, and one more when somebody asks for
containers that were not measured twice yet, so that what is new is told within seconds instead
of after a minute. Reading always costs next to nothing and makes the first answer a fresh one.

Rules for callers: ``run`` is one task; ``usage`` may be called at any time.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from netlab.api.streams import ContainerUsage, NodeUsage
from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.kubelet.inventory import Inventory
from netlab.runtime.cri import ContainerPhase, ContainerRuntime, ContainerState, GroupUsage

log = logging.getLogger(__name__)

INTERVAL_S: Final = 10.0
SHORTEST_WINDOW_S: Final = 1.0
"""Closer together, two readings tell more about the reading than about the container."""

_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment. groups: by container id; node_cpu_ns: since the machine started."""

    at: datetime
    groups: Mapping[str, GroupUsage]
    node_cpu_ns: int
    node_memory_bytes: int


def node_usage(
    before: Reading | None, now: Reading | None, containers: Mapping[str, ContainerState]
) -> NodeUsage | None:
    """Return the rates between two readings; None when there is only one.

    containers: the running ones by id; one that has no earlier reading of its own is left out.
    """
    if before is None or now is None:
        return None
    window_s = (now.at - before.at).total_seconds()
    if window_s <= 0:
        return None
    told = []
    for container_id, usage in now.groups.items():
        state, earlier = containers.get(container_id), before.groups.get(container_id)
        if state is None or earlier is None or usage.cpu_ns < earlier.cpu_ns:
            continue
        own_window_s = (usage.at - earlier.at).total_seconds()
        if own_window_s <= 0:
            continue
        told.append(
            ContainerUsage(
                namespace=state.pod.namespace,
                pod=state.pod.name,
                container=state.name,
                at=usage.at,
                window_s=own_window_s,
                cpu_nano_cores=round((usage.cpu_ns - earlier.cpu_ns) / own_window_s),
                memory_bytes=usage.memory_bytes,
            )
        )
    return NodeUsage(
        at=now.at,
        window_s=window_s,
        cpu_nano_cores=max(0, round((now.node_cpu_ns - before.node_cpu_ns) / window_s)),
        memory_bytes=now.node_memory_bytes,
        containers=tuple(told),
    )


class NodeUsageMeter:
    """Takes readings and keeps the last two. read_node: (processor time in ns, memory in bytes)."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        inventory: Inventory,
        clock: Clock,
        *,
        read_node: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._runtime = runtime
        self._inventory = inventory
        self._clock = clock
        self._read_node = read_node or read_machine
        self._before: Reading | None = None
        self._now: Reading | None = None
        self._reading = asyncio.Lock()

    @property
    def latest(self) -> Reading | None:
        """The last reading; None before the first."""
        return self._now

    async def run(self) -> None:
        """Take a reading every ten seconds."""
        while True:
            try:
                await self.take_reading()
            except (NetlabError, OSError) as error:
                log.warning("measure what containers use: %s", error)
            await self._clock.sleep(INTERVAL_S)

    async def take_reading(self) -> None:
        """Read all counters; the last reading becomes the one before.

        Nothing happens when the last one is too young to be compared with.
        """
        async with self._reading:
            if self._now is not None and 0 <= self._age_s(self._now) < SHORTEST_WINDOW_S:
                return
            groups = await self._runtime.usage()
            cpu_ns, memory_bytes = self._read_node()
            self._before = self._now
            self._now = Reading(self._clock.now(), groups, cpu_ns, memory_bytes)

    async def usage(self) -> NodeUsage | None:
        """Return what is used now; None until it was measured twice."""
        containers = {
            state.id: state
            for pod in self._inventory.snapshot.pods.values()
            for state in pod.containers
        }
        if self._now is not None and not self._knows(containers):
            await self.take_reading()
        return node_usage(self._before, self._now, containers)

    def _knows(self, containers: Mapping[str, ContainerState]) -> bool:
        """True when each running container was measured twice."""
        if self._before is None or self._now is None:
            return False
        twice = self._before.groups.keys() & self._now.groups.keys()
        running = (s.id for s in containers.values() if s.phase is ContainerPhase.RUNNING)
        return twice.issuperset(running)

    def _age_s(self, reading: Reading) -> float:
        return (self._clock.now() - reading.at).total_seconds()


def read_machine() -> tuple[int, int]:
    """Return (processor time used by all processes in ns, memory in use less inactive cache).

    Source: proc(5), /proc/stat (user, nice, system, idle, iowait, irq, softirq, steal) and
    /proc/meminfo.
    """
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = [int(word) for word in words[:8]]
    idle = ticks[3] + ticks[4]
    cpu_ns = (sum(ticks) - idle) * _NANO // os.sysconf("SC_CLK_TCK")
    facts = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        facts[name] = int(rest.split()[0]) * 1024
    used = facts["MemTotal"] - facts["MemFree"] - facts.get("Inactive(file)", 0)
    return cpu_ns, max(0, used)
