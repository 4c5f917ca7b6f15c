"""Keep kernel parameters of one namespace as their makers want them.

The kernel tells nobody of a change of these files, so they are read now and then: a few reads on a
thread that lasts 0.3 ms.

Rules for callers: ``want`` adds to what is wanted; two who want a parameter must want the same.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from netlab.clock import Clock
from netlab.errors import HostError, NetlabError
from netlab.net.sysctl import SysctlRecorder, write_sysctls

log = logging.getLogger(__name__)

POLL_S = 1.0


class SysctlKeeper:
    """The wanted parameters of the namespace at ``netns``.

    record: told the previous value of each parameter before it is changed.
    """

    def __init__(self, netns: Path | None, record: SysctlRecorder | None = None) -> None:
        self._netns = netns
        self._record = record
        self._recorded: dict[str, str] = {}
        self._unrecorded: dict[str, str] = {}

    async def want(self, values: Mapping[str, str], *, record: bool = True) -> None:
        """Set parameters, in the given order, and keep them so.

        record: False for those of a link that is ours, which go with it.

        Raises: HostError when the kernel lacks one; NetworkError when one cannot be set.
        """
        await write_sysctls(self._netns, values, self._record if record else None)
        (self._recorded if record else self._unrecorded).update(values)

    async def ensure(self) -> dict[str, str]:
        """Have what is wanted; return what those that somebody changed were.

        Raises: NetworkError when one cannot be set.
        """
        changed = await write_sysctls(self._netns, self._recorded, self._record)
        with contextlib.suppress(HostError):  # the link of a parameter is gone just now
            changed |= await write_sysctls(self._netns, self._unrecorded)
        return changed

    async def run(self, clock: Clock) -> None:
        """Look again and again, and put right, until cancelled."""
        while True:
            await clock.sleep(POLL_S)
            try:
                changed = await self.ensure()
            except (NetlabError, OSError) as error:
                log.warning("%s", error)
                continue
            for name, value in changed.items():
                log.warning("mended: sysctl %s was %s", name, value)
