"""The table that the whole-lab benchmark prints, and the figures in it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line: a result, beside what this machine needs at least, beside the goal."""

    what: str
    result: str
    floor: str = "–"
    goal: str = "–"

    def line(self) -> str:
        return f"| {self.what} | **{self.result}** | {self.floor} | {self.goal} |"


HEAD = "| what | netlab | this machine's floor, same run | goal or published |\n|---|---|---|---|"


def table(rows: Sequence[Row]) -> str:
    return "\n".join([HEAD, *(row.line() for row in rows)])


def p50(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile; of fewer than a hundred samples that is the slowest."""
    if len(values) < 100:
        return max(values)
    return statistics.quantiles(values, n=100)[98]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def both_ms(values: Sequence[float]) -> str:
    """Return median and worst of some seconds."""
    return f"{ms(p50(values))} (p99 {ms(p99(values))})"
