"""How long hostile bodies hold up the API server: the event loop's longest stall.

    python -m benchmarks.bodies

Each body is sent to a server in this process, three times; the least of the three stalls counts,
because a busy machine only adds. Told as processor time of the loop's thread, which other programs
do not lengthen, and on the clock. The goal is 250 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from netlab.api import schemas
from netlab.api.kinds import builtin_catalog
from tests.support.api import api_lab
from tests.support.hostile_bodies import MAPS, hostile_bodies, send

ROUNDS = 3


class Stall:
    """Ticks for ever; cpu_s and clock_s: the longest times between two ticks since ``reset``."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.cpu_s = self.clock_s = 0.0

    async def tick(self) -> None:
        while True:
            cpu, clock = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            self.cpu_s = max(self.cpu_s, time.thread_time() - cpu)
            self.clock_s = max(self.clock_s, time.perf_counter() - clock)


@dataclass(frozen=True)
class Row:
    """What one body did."""

    name: str
    size: int
    code: int
    took_s: float
    cpu_s: float
    clock_s: float


async def measure(folder: Path) -> list[Row]:
    """Return a row for each body, that of its best round."""
    schemas.prepare(builtin_catalog().stored())
    stall, rows = Stall(), []
    async with api_lab(folder) as lab, lab.session() as http:
        ticking = asyncio.create_task(stall.tick())
        for name, request in hostile_bodies().items():
            rounds = []
            for _ in range(ROUNDS):
                await http.post(MAPS, json={"metadata": {"name": "ok"}})
                stall.reset()
                begun = time.perf_counter()
                code = await send(http, request)
                took_s = time.perf_counter() - begun
                await asyncio.sleep(0.01)
                size = len(request.body)
                rounds.append(Row(name, size, code, took_s, stall.cpu_s, stall.clock_s))
            rows.append(min(rounds, key=lambda row: row.cpu_s))
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
    return rows


def main() -> None:
    with TemporaryDirectory() as folder:
        rows = asyncio.run(measure(Path(folder)))
    print("# Hostile bodies\n")
    print(f"`python -m benchmarks.bodies`: least of {ROUNDS} rounds, client in the same process.\n")
    print("| body | kB | answer | ms until it | longest stall, ms | on the clock, ms |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        times = " | ".join(f"{each * 1000:.0f}" for each in (row.took_s, row.cpu_s, row.clock_s))
        print(f"| {row.name} | {row.size / 1000:.0f} | {row.code} | {times} |")
    print(f"\nLongest of all: {max(row.cpu_s for row in rows) * 1000:.0f} ms (goal: 250 ms).")


if __name__ == "__main__":
    main()
