"""What pyroute2 costs beside our own netlink: its import, its memory, a request; and uvloop.

pyroute2 is no dependency: install one version, run this, install the other. As root:

    pip install pyroute2==0.9.7 && python benchmarks/pyroute.py
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

from netlab.net.links import Links

TIMES = 200
CLASSES = "from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg"


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def started_ms(code: str) -> float:
    """Milliseconds of a fresh interpreter that runs the code: the least of five."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - started) * 1e3

    return min(once() for _ in range(5))


def median_ms(action: Callable[[], Any], times: int = TIMES) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1e3


def theirs() -> dict[str, float]:
    from pyroute2 import IPRoute

    route = IPRoute()
    found = {
        "open_ms": median_ms(lambda: IPRoute().close(), 30),
        "link_ms": median_ms(lambda: route.get_links(1)),
        "links_ms": median_ms(lambda: list(route.get_links())),
        "routes_ms": median_ms(lambda: list(route.get_routes())),
    }
    route.close()
    return found


def ours() -> dict[str, float]:
    with Links() as links:
        return {
            "open_ms": median_ms(lambda: Links().__exit__(), 30),
            "link_ms": median_ms(lambda: links.link("lo")),
            "links_ms": median_ms(links.links),
            "routes_ms": median_ms(links.routes),
        }


async def beside_uvloop() -> dict[str, str]:
    """Whether it works on a thread beside a uvloop loop, and on the loop itself."""
    from pyroute2 import IPRoute

    def work() -> str:
        with IPRoute() as route:
            return f"{len(list(route.get_links()))} links"

    def told(error: Exception) -> str:
        return f"{type(error).__name__}: {error}"

    found = {}
    try:
        found["thread"] = await asyncio.to_thread(work)
    except Exception as error:
        found["thread"] = told(error)
    try:
        found["loop"] = work()
    except Exception as error:
        found["loop"] = told(error)
    return found


def main() -> None:
    bare_ms = started_ms("pass")
    before_mb = resident_mb()
    mine = ours()
    from pyroute2 import IPRoute  # noqa: F401 - the import is what is measured

    print(
        json.dumps(
            {
                "pyroute2": version("pyroute2"),
                "import_ms": started_ms("from pyroute2 import IPRoute") - bare_ms,
                "classes_ms": started_ms(CLASSES) - bare_ms,
                "import_mb": resident_mb() - before_mb,
                "theirs": theirs(),
                "ours": mine,
                "uvloop": uvloop.run(beside_uvloop()),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
