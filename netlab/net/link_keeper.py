"""Keep the links of one namespace as their makers want them, woken by the kernel.

One keeper per network namespace: whoever makes links there tells it what they shall be like, and it
puts right what somebody undid: a link that was set down, an address or route that was taken away.

Rules for callers: a function given to ``want`` is asked again at each look, on the event loop, and
must answer at once. ``run`` as a task until cancelled.

Left out: the inside of other namespaces. The keeper tells those who ask which of them changed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from netlab.clock import Clock
from netlab.errors import NetlabError
from netlab.net.link_state import Fault, Wanted
from netlab.net.links import call_links
from netlab.net.monitor import HERE, MISSED, open_monitor
from netlab.net.netlink import NETLINK_ROUTE

log = logging.getLogger(__name__)

# rtnetlink's groups: links, and addresses and routes of IPv4 and IPv6
GROUPS = (1, 5, 7, 9, 11)
# one act of somebody's is several messages, and one look is enough for them
SETTLE_S = 0.05
# somebody who undoes each repair at once is answered ever more slowly
MOST_PAUSE_S = 10.0


class LinkKeeper:
    """The wanted links of the namespace at ``netns``; None is the process's own."""

    def __init__(self, netns: Path | None) -> None:
        self._netns = netns
        self._wanted: dict[str, Callable[[], Wanted]] = {}
        self._elsewhere: list[Callable[[frozenset[int]], Awaitable[None]]] = []
        self._mended: list[Callable[[], Awaitable[None]]] = []
        self._told: set[str] = set()

    def want(self, owner: str, wanted: Callable[[], Wanted]) -> None:
        """Keep what ``wanted`` returns, in place of what the owner wanted before."""
        self._wanted[owner] = wanted

    def forget(self, owner: str) -> None:
        """Keep nothing for the owner any more; what is there stays."""
        self._wanted.pop(owner, None)

    def on_change_elsewhere(self, told: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """Have ``told`` awaited when links of other namespaces change, with their numbers.

        MISSED among them: any may have changed.
        """
        self._elsewhere.append(told)

    def on_mended(self, told: Callable[[], Awaitable[None]]) -> None:
        """Have ``told`` awaited after each repair: what hung on the links may be gone."""
        self._mended.append(told)

    async def ensure(self) -> list[Fault]:
        """Have all that is wanted; return what was not so.

        Raises: NetworkError when the kernel refuses a repair.
        """
        wanted = [ask() for ask in self._wanted.values()]
        if not wanted:
            return []
        return await call_links(
            self._netns, lambda links: [fault for one in wanted for fault in links.mend(one)]
        )

    async def run(self, clock: Clock) -> None:
        """Look now and whenever the kernel tells of a change, and mend, until cancelled."""
        monitor = await open_monitor(self._netns, NETLINK_ROUTE, groups=GROUPS, everywhere=True)
        pause_s = SETTLE_S
        with monitor:
            changed = frozenset({MISSED})
            while True:
                if changed & {HERE, MISSED}:
                    repaired = await self._look()
                    pause_s = min(pause_s * 2, MOST_PAUSE_S) if repaired else SETTLE_S
                elsewhere = changed - {HERE}
                if elsewhere:
                    for told in self._elsewhere:
                        await told(elsewhere)
                changed = await monitor.wait()
                await clock.sleep(pause_s)
                changed |= monitor.take()

    async def _look(self) -> bool:
        """Return whether something was mended."""
        try:
            faults = await self.ensure()
        except (NetlabError, OSError) as error:
            self._tell(f"links: {error}")
            return False
        if not faults:
            self._told.clear()
            return False
        mended = [fault.text for fault in faults if fault.requests]
        for fault in faults:
            if fault.requests:
                self._tell(f"mended: {fault.text}")
            else:  # whoever made it makes it anew, or is just taking it away
                log.info("%s", fault.text)
        if mended:
            for told in self._mended:
                await told()
        return bool(mended)

    def _tell(self, text: str) -> None:
        if text not in self._told:  # told once, not at every repair of a fight
            self._told.add(text)
            log.warning("%s", text)
