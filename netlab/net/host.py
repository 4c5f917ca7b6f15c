"""One network namespace and who keeps it: its links, its kernel parameters and its rules.

Everything that netlab wants in a node's namespace is told to the one ``NetworkHost`` of it, which
writes it, and puts it right when somebody undoes it: nobody else writes there.

Rules for callers: one object per namespace and process; components get it as an argument. ``run``
as a task, and ``close`` at the end.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from netlab.clock import Clock
from netlab.net.link_keeper import LinkKeeper
from netlab.net.netfilter.owner import Netfilter
from netlab.net.sysctl import SysctlRecorder
from netlab.net.sysctl_keeper import SysctlKeeper


class NetworkHost:
    """The namespace at ``netns``, None for the process's own.

    record: told the previous value of each kernel parameter before it is changed. tool: see
    ``iptables.Iptables``. netfilter: None makes the real one.
    """

    def __init__(
        self,
        netns: Path | None,
        *,
        record: SysctlRecorder | None = None,
        tool: str = "iptables",
        netfilter: Netfilter | None = None,
    ) -> None:
        self.netns = netns
        self.netfilter = netfilter or Netfilter(netns, tool=tool)
        self.links = LinkKeeper(netns)
        self.sysctls = SysctlKeeper(netns, record)
        self.links.on_mended(self._links_mended)

    async def run(self, clock: Clock) -> None:
        """Keep everything as it is wanted, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.netfilter.run(clock))
            group.create_task(self.links.run(clock))
            group.create_task(self.sysctls.run(clock))

    async def _links_mended(self) -> None:
        # a link that was made anew has the kernel's parameters, not ours
        await self.sysctls.ensure()

    def close(self) -> None:
        """Close what is open."""
        self.netfilter.close()
