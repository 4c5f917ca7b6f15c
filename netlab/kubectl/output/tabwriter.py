"""Aligned columns, by the rules of Go's ``text/tabwriter``.

A cell is text that ends with a tab; what follows the last tab of a line belongs to no column. A
column is as wide as its widest cell in a block of neighbouring lines, plus padding, so a line
without tabs starts new blocks. kubectl's own addition is kept too: a writer may remember widths
from one flush to the next, so that the rows of a watch stay aligned.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class TabWriter:
    """Collects lines of cells and aligns them. min_width includes the padding."""

    def __init__(self, *, min_width: int, padding: int, remember: bool = False) -> None:
        self._min_width = min_width
        self._padding = padding
        self._remembered: list[int] | None = [] if remember else None
        self._lines: list[Sequence[str]] = []

    def add(self, cells: Sequence[str]) -> None:
        """Add a line; its last cell is the text after the last tab."""
        self._lines.append(cells)

    def add_text(self, text: str) -> None:
        """Add whole lines whose cells are separated by tabs; a final newline ends the last."""
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self._lines += [line.split("\t") for line in lines]

    def forget_widths(self) -> None:
        """Start anew with the widths of the next flush."""
        if self._remembered is not None:
            self._remembered = []

    def flush(self) -> str:
        """Return the aligned lines and start over."""
        lines, self._lines = self._lines, []
        out: list[str] = []
        self._format(lines, 0, len(lines), [], out)
        return "".join(out)

    def _format(
        self, lines: list[Sequence[str]], start: int, end: int, widths: list[int], out: list[str]
    ) -> None:
        column = len(widths)
        at = start
        while at < end:
            if column >= len(lines[at]) - 1:
                at += 1
                continue
            _write(lines[start:at], widths, out)
            start = at
            width = self._min_width
            while at < end and column < len(lines[at]) - 1:
                width = max(width, len(lines[at][column]) + self._padding)
                at += 1
            self._format(lines, start, at, [*widths, self._remember(column, width)], out)
            start = at
        _write(lines[start:end], widths, out)

    def _remember(self, column: int, width: int) -> int:
        if self._remembered is None:
            return width
        if column < len(self._remembered):
            width = max(width, self._remembered[column])
            self._remembered[column] = width
        elif column == len(self._remembered):
            self._remembered.append(width)
        return width


def _write(lines: list[Sequence[str]], widths: list[int], out: list[str]) -> None:
    count = len(widths)
    for line in lines:
        for index, cell in enumerate(line):
            out.append(cell.ljust(widths[index]) if index < count else cell)
        out.append("\n")
